"""What senders hold of a queue that is first in, first out: amounts by position, given back as the queue moves on.

Bounded: of a long queue it knows spans of entries, not single ones, and a span is given back with its last entry; so what it says may be
too much by one span, never too little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

MAX_ITEMS = 100_000  # amounts kept, about 150 bytes each


class Span:
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
        self._spans: deque[Span] = deque()
        self._max_items, self._items = max_items, 0
        self._grain = 1  # entries in a span
        self._last = 0

    def add(self, position: int, key: str, amount: int) -> None:
        """One more entry of `key`. Who has nothing there is not noted: whoever calls may have forgotten him when it would come back."""
        self._last = max(self._last, position)
        if not amount:
            return
        if not self._spans or self._spans[-1].entries >= self._grain:
            self._spans.append(Span(position))
        self._items += self._spans[-1].add(((key, amount),), position, 1)
        if self._items > self._max_items:
            self._coarsen()

    def forget(self, up_to: int) -> Iterator[tuple[str, int]]:
        """What the spans held that end at `up_to` or before."""
        while self._spans and self._spans[0].up_to <= up_to:
            span = self._spans.popleft()
            self._items -= len(span.amounts)
            yield from span.amounts.items()
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
        """Joins spans two by two, until half of the room is free or one is left."""
        while self._items > self._max_items // 2 and len(self._spans) > 1:
            self._grain *= 2
            spans, self._spans = self._spans, deque()
            for span in spans:
                if self._spans and self._spans[-1].entries + span.entries <= self._grain:
                    self._spans[-1].add(span.amounts.items(), span.up_to, span.entries)
                else:
                    self._spans.append(span)
            self._items = sum(len(span.amounts) for span in self._spans)
