"""Remembers closed exchanges, so that what comes late becomes a revision, a repeat stays a repeat, and nothing comes out twice.

Bounded by time, by number, and by the bytes of the incomplete exchanges that are kept whole. At the byte bound the oldest loses its
pieces and keeps its key: a later piece of it still makes a revision, of that piece alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from heapq import heappop, heappush

from collector.correlate.state import KeyFields, Open, Remembered, log_print
from collector.messages.exchange import AccessLog


class Memory:
    """Closed exchanges by key; more than one under a key are twins."""

    def __init__(self, keys: int, kept_bytes: int) -> None:
        self._keys, self._kept_limit = keys, kept_bytes
        self._by_key: dict[KeyFields, list[Remembered]] = {}
        self._forgetting: list[tuple[int, KeyFields, int, int]] = []  # heap: (forget at, key, twin, revision)
        self._kept: OrderedDict[tuple[KeyFields, int], int] = OrderedDict()  # (key, twin) -> bytes, oldest first
        self._kept_bytes = 0

    def of(self, key: KeyFields) -> list[Remembered]:
        """What is remembered under this key, in the order of the twins."""
        return self._by_key.get(key) or []

    def next_twin(self, key: KeyFields) -> int:
        """The number of the next exchange under this key."""
        found = self._by_key.get(key)
        return 0 if found is None else max(r.twin for r in found) + 1

    def add(self, closed: Remembered, forget_at: int) -> None:
        """Remembers it until `forget_at` (µs), in place of its earlier revision."""
        if closed.revision:
            self._drop(closed.key, closed.twin, closed.revision)
        found = self._by_key.get(closed.key)
        if found is None:
            self._by_key[closed.key] = [closed]
        else:
            found.append(closed)
            found.sort(key=lambda r: r.twin)
        heappush(self._forgetting, (forget_at, closed.key, closed.twin, closed.revision))
        if closed.kept is not None:
            self._kept[closed.key, closed.twin] = closed.kept.size
            self._kept_bytes += closed.kept.size
        while self._kept_bytes > self._kept_limit and self._kept:
            self._let_go(*next(iter(self._kept)))
        while len(self._forgetting) > self._keys:
            self._forget_next()

    def forget(self, now: int) -> None:
        """Forgets what is due."""
        while self._forgetting and self._forgetting[0][0] <= now:
            self._forget_next()

    def take(self, closed: Remembered) -> None:
        """This one is being revised: its pieces are in use again."""
        self._let_go(closed.key, closed.twin)

    def snapshot(self) -> tuple[list[Remembered], list[tuple[int, KeyFields, int, int]]]:
        """Everything, in an order that `restore` needs: the kept ones oldest first."""
        rest = [r for found in self._by_key.values() for r in found if (r.key, r.twin) not in self._kept]
        kept = [r for key, twin in self._kept for r in self.of(key) if r.twin == twin]
        return rest + kept, list(self._forgetting)

    def restore(self, remembered: list[Remembered], forgetting: list[tuple[int, KeyFields, int, int]]) -> None:
        """The inverse of `snapshot`."""
        for closed in remembered:
            self._by_key.setdefault(closed.key, []).append(closed)
            if closed.kept is not None:
                self._kept[closed.key, closed.twin] = closed.kept.size
                self._kept_bytes += closed.kept.size
        for found in self._by_key.values():
            found.sort(key=lambda r: r.twin)
        self._forgetting = list(forgetting)

    def _forget_next(self) -> None:
        _, key, twin, revision = heappop(self._forgetting)
        self._drop(key, twin, revision + 1)

    def _drop(self, key: KeyFields, twin: int, below: int) -> None:
        """Forgets this one if its revision is below the given one."""
        found = self._by_key.get(key, [])
        for index, closed in enumerate(found):
            if closed.twin == twin and closed.revision < below:
                self._let_go(key, twin)
                del found[index]
                break
        if not found:
            self._by_key.pop(key, None)

    def _let_go(self, key: KeyFields, twin: int) -> None:
        size = self._kept.pop((key, twin), None)
        if size is None:
            return
        self._kept_bytes -= size
        for closed in self.of(key):
            if closed.twin == twin:
                closed.kept = None


def is_repeat(log: AccessLog, same: Sequence[Open], closed: Sequence[Remembered]) -> bool:
    """Whether this entry was told before, by an exchange that is open or by one that was closed."""
    heard = [log_print(o.access_log) for o in same if o.access_log is not None] + [c.log for c in closed if c.log is not None]
    return bool(heard) and log_print(log) in heard
