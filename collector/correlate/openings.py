"""The open exchanges: by key, by stream, by the time they were last heard, and the bytes they hold."""

from __future__ import annotations

from collections import OrderedDict, deque

from collector.correlate import numbers
from collector.correlate.crowd import Crowd
from collector.correlate.pieces import BASE_BYTES, size_of_head
from collector.correlate.state import KeyFields, Open, Pieces, Remembered
from collector.correlate.twins import FEW
from collector.messages.exchange import AccessLog

StreamKey = tuple[str, str, str, int]  # sender, node id, vm, stream
LARGE = 8  # an exchange is large that holds more than this part of what all may hold
_NONE: list[Open] = []


class Openings:
    """Holds them; which one a piece belongs to, crowd.py answers of those under its key."""

    def __init__(self, linger_us: int, limit: int) -> None:
        self._linger_us, self._large_bytes = linger_us, limit // LARGE
        self.serial = 0
        self.bytes = 0
        self.all: OrderedDict[int, Open] = OrderedDict()  # by serial, the longest quiet first
        self.streams: dict[StreamKey, Open] = {}
        self.lingering: deque[tuple[int, int]] = deque()  # (deadline, serial)
        self._by_key: dict[KeyFields, list[Open] | Crowd] = {}
        self._large: dict[int, Open] = {}  # by serial

    def next(self) -> int:
        """A number above all before."""
        self.serial += 1
        return self.serial

    def of(self, key: KeyFields) -> list[Open] | Crowd:
        """What is open under this key."""
        return self._by_key.get(key, _NONE)

    def begin(self, key: KeyFields, now: int, size: int, tap: Pieces | None, log: AccessLog | None, problems: list[str] | None) -> Open:
        """A new exchange, with the witness that it has; `size`: what that takes."""
        open_ = self.make(key, now, size, tap, log, problems)
        self.bytes += open_.size
        self._enter(open_)
        return open_

    def make(self, key: KeyFields, now: int, size: int, tap: Pieces | None, log: AccessLog | None, problems: list[str] | None) -> Open:
        """The same for one that is closed at once: it is not among those that are open."""
        start = key[3]
        told = tuple(problems) if problems else ()
        if not numbers.is_start(start, now):
            start = now
            told += (numbers.START_UNKNOWN,)
        self.serial += 1
        size += BASE_BYTES + len(key[2])
        return Open(self.serial, key, start, now, None, 0, size, tap, log, problems=told)

    def revive(self, closed: Remembered, now: int) -> Open:
        """Opens a closed exchange again, with what was kept of it, as its next revision."""
        kept = closed.kept
        open_ = Open(self.next(), closed.key, closed.start_us, now, closed.twin, closed.revision + 1, BASE_BYTES, gap=closed.gap)
        if kept is not None:
            open_.tap, open_.access_log, open_.size, open_.problems = kept.tap, kept.access_log, kept.size, kept.problems
            open_.log_size = kept.log_size
        elif closed.head is not None:
            open_.tap = closed.head
            open_.size += size_of_head(closed.head)
        open_.lost = closed.lost
        if open_.tap is None and closed.stream is not None:
            open_.tap = Pieces(*closed.stream)
        self.bytes += open_.size
        self._enter(open_)
        return open_

    def grow(self, open_: Open, size: int, now: int) -> None:
        """Something of it came that takes so many bytes."""
        open_.size += size
        self.bytes += size
        if open_.size > self._large_bytes:
            self._large[open_.serial] = open_
        open_.heard_at = now
        self.all.move_to_end(open_.serial)

    def linger(self, open_: Open, now: int) -> None:
        """A witness has ended it: the rest is waited for."""
        open_.deadline = now + self._linger_us
        self.lingering.append((open_.deadline, open_.serial))

    def expired(self, now: int, quiet_since: int) -> Open | None:
        """The next one whose time is over."""
        lingering = self.lingering
        while lingering and lingering[0][0] <= now:
            deadline, serial = lingering.popleft()
            open_ = self.all.get(serial)
            if open_ is not None and open_.deadline == deadline:
                return open_
        if self.all:
            oldest = next(iter(self.all.values()))
            if oldest.heard_at <= quiet_since:
                return oldest
        return None

    def first_to_go(self) -> tuple[Open, bool]:
        """Where too much is open: the largest of the large ones, else the longest quiet; and whether it is large.

        So a stream without an end doesn't close its neighbours. A large one must be closed for good: with its pieces, each part that
        comes later would make all of it again.
        """
        if self._large:
            return max(self._large.values(), key=lambda open_: (open_.size, open_.serial)), True
        return next(iter(self.all.values())), False

    def settle(self, open_: Open) -> None:
        """The tap of this one has told all, and its entry is not there."""
        if open_.settled:
            return
        self.serial += 1
        open_.settled = self.serial
        same = self._by_key[open_.key]
        if isinstance(same, Crowd):
            same.settle(open_)

    def remove(self, open_: Open) -> None:
        """It is open no more."""
        del self.all[open_.serial]
        self._large.pop(open_.serial, None)
        self.bytes -= open_.size
        key, tap = open_.key, open_.tap
        if tap is not None:
            self.streams.pop((key[0], key[1], tap.vm, tap.stream), None)
        same = self._by_key[key]
        if isinstance(same, Crowd):
            same.remove(open_)
            if len(same.opens) <= FEW:
                self._by_key[key] = list(same.opens.values())
        elif len(same) == 1:
            del self._by_key[key]
        else:
            same.remove(open_)

    def restore(self, serial: int, opened: list[Open], lingering: list[tuple[int, int]]) -> None:
        """Takes all of them in, the longest quiet first, as if they had come one by one."""
        self.serial = serial
        self.lingering = deque(lingering)
        by_key: dict[KeyFields, list[Open]] = {}
        for open_ in sorted(opened, key=lambda o: o.serial):
            by_key.setdefault(open_.key, []).append(open_)
        self._by_key = {key: same if len(same) <= FEW else Crowd(same) for key, same in by_key.items()}
        for open_ in opened:
            self.all[open_.serial] = open_
            self.bytes += open_.size
            if open_.size > self._large_bytes:
                self._large[open_.serial] = open_
            if open_.tap is not None:
                self.streams[(*open_.key[:2], open_.tap.vm, open_.tap.stream)] = open_

    def _enter(self, open_: Open) -> None:
        key, tap = open_.key, open_.tap
        self.all[open_.serial] = open_
        if open_.size > self._large_bytes:
            self._large[open_.serial] = open_
        if tap is not None:
            self.streams[key[0], key[1], tap.vm, tap.stream] = open_
        alone = [open_]
        same = self._by_key.setdefault(key, alone)  # a key of four parts is hashed anew each time
        if same is alone:
            return
        if isinstance(same, Crowd):
            same.enter(open_)
        elif len(same) < FEW:
            same.append(open_)
        else:
            self._by_key[key] = Crowd([*same, open_])
