"""Remembers closed exchanges, so that what comes late becomes a revision, a repeat stays a repeat, and nothing comes out twice.

Bounded by time, by number, by bytes (`KEY_BYTES` for each of that number), and by the bytes of the incomplete exchanges that are kept
whole. At that last bound the oldest loses its bodies and keeps its key and the head of its stream: a later piece of it still makes a
revision, of those. Heads may take a quarter of those bytes more; beyond, the oldest is lost too.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from operator import attrgetter

from msgspec import structs

from collector.correlate.pieces import head_of, size_of_head
from collector.correlate.prints import fits, log_print
from collector.correlate.state import KeyFields, LogPrint, Pieces, Remembered
from collector.correlate.twins import FEW, Waiting
from collector.messages.exchange import AccessLog

HEADS = 4  # heads may take so small a part of what may be kept whole, beside it
KEY_BYTES = 1024  # what one may take on the average, its request id and texts included

_NONE: list[Remembered] = []


class Memory:
    """Closed exchanges by key; more than one under a key are twins."""

    def __init__(self, keys: int, kept_bytes: int) -> None:
        self._keys, self._kept_limit = keys, kept_bytes
        self._by_key: dict[KeyFields, list[Remembered] | Family] = {}
        self._next: dict[KeyFields, int] = {}  # the next twin's number, of keys that ever had more than one
        self._bytes, self._bytes_limit = 0, keys * KEY_BYTES
        self._forgetting: list[tuple[int, KeyFields, int, int]] = []  # heap: (forget at, key, twin, revision)
        self._kept: OrderedDict[int, Remembered] = OrderedDict()  # those with their pieces, by number, oldest first
        self._kept_bytes = 0
        self._heads: OrderedDict[int, Remembered] = OrderedDict()  # those with the head of their stream, the same way
        self._head_bytes = 0

    def of_stream(self, key: KeyFields, vm: str, stream: int) -> Remembered | None:
        """The exchange that this stream was part of."""
        found = self._by_key.get(key)
        if isinstance(found, Family):
            return found.by_stream.get((vm, stream))
        for closed in found or ():
            if closed.stream == (vm, stream):
                return closed
        return None

    def of(self, key: KeyFields) -> list[Remembered] | Family:
        """What is remembered under this key, for the functions below."""
        return self._by_key.get(key, _NONE)

    def log_for(self, key: KeyFields, tap: Pieces) -> Remembered | None:
        """The exchange that lacks a stream, and is kept with an entry that fits this one."""
        found = self._by_key.get(key)
        if isinstance(found, Family):
            twin = found.waiting.log_for(tap)
            return found.by_twin[twin] if twin is not None else None
        for closed in found or ():
            kept = closed.kept
            if closed.stream is None and kept is not None and kept.access_log is not None and fits(tap, kept.access_log):
                return closed
        return None

    def next_twin(self, key: KeyFields) -> int:
        """The number of the next exchange under this key."""
        return self._next.get(key, 1) if key in self._by_key else 0

    def add(self, closed: Remembered, forget_at: int) -> None:
        """Remembers it until `forget_at` (µs), in place of its earlier revision."""
        if closed.revision:
            self._drop(closed.key, closed.twin, closed.revision)
        self._enter(closed)
        if closed.twin:
            self._next[closed.key] = max(self._next.get(closed.key, 0), closed.twin + 1)
        heappush(self._forgetting, (forget_at, closed.key, closed.twin, closed.revision))
        while self._kept_bytes > self._kept_limit and self._kept:
            self._behead(next(iter(self._kept.values())))
        while self._head_bytes > self._kept_limit // HEADS:
            self._let_head_go(next(iter(self._heads.values())))
        while len(self._forgetting) > self._keys or (self._bytes > self._bytes_limit and self._forgetting):
            self._forget_next()

    def forget(self, now: int) -> None:
        """Forgets what is due."""
        while self._forgetting and self._forgetting[0][0] <= now:
            self._forget_next()

    def again(self, key: KeyFields, twin: int, revision: int, forget_at: int) -> bool:
        """Takes note that this one is told again as this revision; False: another one was told as that, or as a later one, before."""
        closed = self._at(key, twin)
        if closed is not None and closed.revision >= revision:
            return False
        if closed is not None:
            self.add(structs.replace(closed, revision=revision), forget_at)
        return True

    def take(self, closed: Remembered) -> None:
        """This one is being revised: its pieces are in use again."""
        self._let_go(closed)

    def snapshot(self) -> tuple[list[Remembered], list[tuple[int, KeyFields, int, int]], list[tuple[KeyFields, int]]]:
        """Everything, in the order of closing, which `restore` needs."""
        remembered = [c for found in self._by_key.values() for c in (found.by_twin.values() if isinstance(found, Family) else found)]
        return sorted(remembered, key=attrgetter("number")), list(self._forgetting), list(self._next.items())

    def restore(
        self, remembered: list[Remembered], forgetting: list[tuple[int, KeyFields, int, int]], twins: list[tuple[KeyFields, int]]
    ) -> None:
        """The inverse of `snapshot`."""
        for closed in remembered:
            self._enter(closed)
        self._forgetting = list(forgetting)
        self._next = dict(twins)

    def _enter(self, closed: Remembered) -> None:
        alone = [closed]
        found = self._by_key.setdefault(closed.key, alone)  # a key of four parts is hashed anew each time
        if isinstance(found, Family):
            found.enter(closed)
        elif found is not alone:
            found.append(closed)
            found.sort(key=attrgetter("twin"))
            if len(found) > FEW:
                self._by_key[closed.key] = Family(sorted(found, key=attrgetter("number")))
        self._bytes += _weight(closed)
        if closed.kept is not None:
            self._kept[closed.number] = closed
            self._kept_bytes += closed.kept.size
        if closed.head is not None:
            self._heads[closed.number] = closed
            self._head_bytes += size_of_head(closed.head)

    def _forget_next(self) -> None:
        _, key, twin, revision = heappop(self._forgetting)
        self._drop(key, twin, revision + 1)

    def _drop(self, key: KeyFields, twin: int, below: int) -> None:
        """Forgets this one if its revision is below the given one."""
        closed = self._at(key, twin)
        if closed is None or closed.revision >= below:
            return
        self._let_go(closed)
        self._bytes -= _weight(closed)
        found = self._by_key[key]
        if isinstance(found, Family):
            found.drop(closed)
            if len(found.by_twin) <= FEW:
                self._by_key[key] = sorted(found.by_twin.values(), key=attrgetter("twin"))
        elif len(found) > 1:
            found.remove(closed)
        else:
            del self._by_key[key]
            self._next.pop(key, None)

    def _at(self, key: KeyFields, twin: int) -> Remembered | None:
        found = self._by_key.get(key)
        if isinstance(found, Family):
            return found.by_twin.get(twin)
        for closed in found or ():
            if closed.twin == twin:
                return closed
        return None

    def _behead(self, closed: Remembered) -> None:
        """Lets its bodies go."""
        tap = closed.kept.tap if closed.kept is not None else None
        self._let_go(closed)
        if tap is not None and not closed.whole:
            closed.head, closed.lost = head_of(tap), closed.lost + 1
            self._heads[closed.number] = closed
            self._head_bytes += size_of_head(closed.head)

    def _let_head_go(self, closed: Remembered) -> None:
        if closed.head is not None:
            del self._heads[closed.number]
            self._head_bytes -= size_of_head(closed.head)
            closed.head = None

    def _let_go(self, closed: Remembered) -> None:
        """Of its pieces, if it has them."""
        self._let_head_go(closed)
        if closed.kept is None:
            return
        del self._kept[closed.number]
        self._kept_bytes -= closed.kept.size
        closed.kept = None
        found = self._by_key[closed.key]
        if isinstance(found, Family):
            found.waiting.drop(closed.twin)


def heard(found: list[Remembered] | Family, log: AccessLog) -> bool:
    """Whether one of these had this very entry."""
    told = log_print(log)
    return told in found.prints if isinstance(found, Family) else any(closed.log == told for closed in found)


def tap_for(found: list[Remembered] | Family, log: AccessLog) -> Remembered | None:
    """The one that lacks an entry, and is kept with a stream that this entry fits."""
    if isinstance(found, Family):
        twin = found.waiting.tap_for(log)
        return found.by_twin[twin] if twin is not None else None
    for closed in found:
        if closed.log is None and closed.kept is not None and closed.kept.tap is not None and fits(closed.kept.tap, log):
            return closed
    return None


class Family:
    """More than a few closed exchanges under one key, taken in in the order of their closing."""

    def __init__(self, members: list[Remembered]) -> None:
        self.by_twin: dict[int, Remembered] = {}
        self.by_stream: dict[tuple[str, int], Remembered] = {}
        self.prints: dict[LogPrint, int] = {}
        self.waiting = Waiting()
        for closed in members:
            self.enter(closed)

    def enter(self, closed: Remembered) -> None:
        self.by_twin[closed.twin] = closed
        if closed.stream is not None:
            self.by_stream[closed.stream] = closed
        if closed.log is not None:
            self.prints[closed.log] = self.prints.get(closed.log, 0) + 1
        kept = closed.kept
        if kept is not None and kept.tap is not None and closed.log is None:
            self.waiting.add_tap(closed.twin, kept.tap)
        elif kept is not None and kept.access_log is not None and closed.stream is None:
            self.waiting.add_log(closed.twin, kept.access_log)

    def drop(self, closed: Remembered) -> None:
        del self.by_twin[closed.twin]
        if closed.stream is not None and self.by_stream.get(closed.stream) is closed:
            del self.by_stream[closed.stream]
        self.waiting.drop(closed.twin)
        if closed.log is not None:
            self.prints[closed.log] -= 1
            if not self.prints[closed.log]:
                del self.prints[closed.log]


def _weight(closed: Remembered) -> int:
    """Bytes that it takes besides what is kept of it."""
    return 700 + len(closed.key[2]) + (4 * len(closed.log[1]) if closed.log is not None else 0)
