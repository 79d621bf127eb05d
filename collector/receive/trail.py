"""What senders hold of a queue that is first in, first out: amounts by position, given back as the queue moves on.

Bounded: of a long queue it knows runs of entries, not single ones, and a run is given back with its last entry; so what it says may be too
much by one run, never too little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

MAX_ITEMS = 100_000  # amounts kept, about 150 bytes each


class Run:
    """Entries that follow on each other."""

    __slots__ = ("amounts", "entries", "up_to")

    def __init__(self, up_to: int) -> None:
        self.up_to, self.entries = up_to, 0
        self.amounts: dict[str, int] = {}

    def add(self, amounts: Iterable[tuple[str, int]], up_to: int, entries: int) -> int:
        """Returns by how many senders it grew."""
        before = len(self.amounts)
        for key, amount in amounts:
            self.amounts[key] = self.amounts.get(key, 0) + amount
        self.up_to, self.entries = max(self.up_to, up_to), self.entries + entries
        return len(self.amounts) - before


class Trail:
    """Positions may come a little out of order. The number of different keys must be bounded by who calls."""

    def __init__(self, max_items: int = MAX_ITEMS) -> None:
        self._runs: deque[Run] = deque()
        self._max_items, self._items = max_items, 0
        self._grain = 1  # entries in a run
        self._last = 0

    def add(self, position: int, key: str, amount: int) -> None:
        """One more entry of `key`. Who has nothing there is not noted: whoever calls may have forgotten him when it would come back."""
        self._last = max(self._last, position)
        if not amount:
            return
        if not self._runs or self._runs[-1].entries >= self._grain:
            self._runs.append(Run(position))
        self._items += self._runs[-1].add(((key, amount),), position, 1)
        if self._items > self._max_items:
            self._coarsen()

    def forget(self, up_to: int) -> Iterator[tuple[str, int]]:
        """What the runs held that end at `up_to` or before."""
        while self._runs and self._runs[0].up_to <= up_to:
            run = self._runs.popleft()
            self._items -= len(run.amounts)
            yield from run.amounts.items()
        if self._items < self._max_items // 8:
            self._grain = 1

    @property
    def last(self) -> int:
        """The last position ever added."""
        return self._last

    def take_all(self) -> Iterator[tuple[str, int]]:
        """Forgets everything."""
        return self.forget(self._last)

    def __len__(self) -> int:
        return self._items

    def _coarsen(self) -> None:
        """Joins runs two by two, until half of the room is free or one is left."""
        while self._items > self._max_items // 2 and len(self._runs) > 1:
            self._grain *= 2
            runs, self._runs = self._runs, deque()
            for run in runs:
                if self._runs and self._runs[-1].entries + run.entries <= self._grain:
                    self._runs[-1].add(run.amounts.items(), run.up_to, run.entries)
                else:
                    self._runs.append(run)
            self._items = sum(len(run.amounts) for run in self._runs)
