"""Gives inner exchanges to outer ones when each outer takes only so many. Pure, deterministic.

As many as possible find a place (Kuhn's augmenting paths), the likeliest first; and it is told which could have been placed otherwise.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Option(NamedTuple, Generic[Item]):
    """`inner` may belong to `outer`; the least `cost` is the likeliest."""

    cost: tuple[int, ...]
    inner: Item
    outer: Item


class Placed(NamedTuple, Generic[Item]):
    """Where an inner exchange belongs. `certain`: there was no other place for it, and room for all who claimed this one."""

    outer: Item
    certain: bool


def match(options: Sequence[Option[Item]], room: Mapping[Item, int]) -> dict[Item, Placed[Item]]:
    """The outer of every inner that finds one. `options` come in the order of preference; `room`: how many an outer takes."""
    choices = Counter(option.inner for option in options)
    claims = Counter(option.outer for option in options)
    placed = _Assignment(options, room).solve()
    return {inner: Placed(outer, choices[inner] == 1 and claims[outer] <= room[outer]) for inner, outer in placed.items()}


class _Assignment(Generic[Item]):
    """The greedy choice in the order of the options, then augmenting paths for those left over."""

    def __init__(self, options: Sequence[Option[Item]], room: Mapping[Item, int]) -> None:
        self._options, self._left = options, dict(room)
        self._choices: dict[Item, list[Item]] = {}
        self._takers: dict[Item, list[Item]] = {}
        self._place: dict[Item, Item] = {}
        self._dead: set[Item] = set()  # outers from which no search can reach a free place any more

    def solve(self) -> dict[Item, Item]:
        for _, inner, outer in self._options:
            self._choices.setdefault(inner, []).append(outer)
            if inner not in self._place and self._left[outer] > 0:
                self._left[outer] -= 1
                self._move(inner, outer)
        for inner in self._choices:
            if inner not in self._place:
                self._augment(inner)
        return self._place

    def _move(self, inner: Item, outer: Item) -> Item | None:
        """Places it; where it was before."""
        before = self._place.get(inner)
        if before is not None:
            self._takers[before].remove(inner)
        self._place[inner] = outer
        self._takers.setdefault(outer, []).append(inner)
        return before

    def _augment(self, start: Item) -> None:
        """Finds the shortest chain of moves that makes a place for `start`, and makes them."""
        by: dict[Item, Item] = {}  # outer → the inner that would come to it
        waiting = deque([start])
        while waiting:
            inner = waiting.popleft()
            for outer in self._choices[inner]:
                if outer in by or outer in self._dead:
                    continue
                by[outer] = inner
                if self._left[outer] > 0:
                    self._left[outer] -= 1
                    self._shift(outer, by)
                    return
                waiting.extend(self._takers.get(outer, ()))
        self._dead.update(by)

    def _shift(self, outer: Item | None, by: dict[Item, Item]) -> None:
        while outer is not None:
            outer = self._move(by[outer], outer)
