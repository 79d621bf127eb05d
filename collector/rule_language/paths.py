"""Paths into JSON, as operators write them: `messages[*].content`, `input`, `inputs[0].data`, `..ssn` (at any depth).

A small part of JSONPath (RFC 9535): names, positions, `[*]` and, at the beginning, `..`. A leading `$` is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

EVERY = "*"
_NESTED = frozenset((dict, list))
Step = str | int
Trail = tuple[Step, ...]
Tree = dict[str, object] | list[object]  # an object or array, as JSON is read
_SEGMENT = re.compile(r"\.?([^.\[\]*\s]+)|\[(\d{1,9})\]|\.?(?:\[\*\]|\*)")


class Holder(Protocol):
    """A Tree to write to, with a key of its own kind: a name of an object, a position of an array."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: str, /) -> None: ...


class Hit(NamedTuple):
    """A place that a path names. `trail` tells places of one event from each other, and is the same for the same place of the next."""

    holder: Holder
    key: Step
    trail: Trail


class Path(NamedTuple):
    """`anywhere`: the steps may begin at any depth."""

    steps: Trail
    anywhere: bool

    def hits(self, value: object) -> list[Hit]:
        """The places in `value` that hold something to hide: null and what is empty does not."""
        starts = inner(value, ()) if self.anywhere else iter(((value, ()),))
        return [hit for start, trail in starts for hit in _walk(start, self.steps, trail)]


def parse(text: str) -> Path:
    """Raises ValueError that says where the path cannot be read."""
    rest = text.strip().removeprefix("$")
    anywhere = rest.startswith("..")
    at, steps = 2 if anywhere else 0, list[Step]()
    while at < len(rest):
        match = _SEGMENT.match(rest, at)
        if match is None or (at == 0 and rest[0] == "." and text[0] != "$"):
            raise ValueError(f"{text!r} cannot be read from {rest[at:]!r} on: expected names, [*] or [number], as in messages[*].content")
        steps.append(match[1] if match[1] is not None else int(match[2]) if match[2] is not None else EVERY)
        at = match.end()
    if not steps:
        raise ValueError(f"{text!r} names nothing: expected a path such as messages[*].content")
    return Path(tuple(steps), anywhere)


def inner(value: object, trail: Trail) -> Iterator[tuple[Tree, Trail]]:
    """Every object and array in `value`, itself included, with its trail. Not by recursion: nesting may be deep."""
    waiting: list[tuple[object, Trail]] = [(value, trail)]
    while waiting:
        holder, at = waiting.pop()
        if isinstance(holder, dict | list):
            yield holder, at
            if isinstance(holder, list) and _NESTED.isdisjoint(map(type, holder)):
                continue
            waiting += [(item, (*at, mark)) for _, item, mark in children(holder) if isinstance(item, dict | list)][::-1]


def children(holder: Tree) -> Iterator[tuple[Step, object, Step]]:
    """(key, value, step of a trail) of an object or array. An item is known by its own `index`, which choices and calls carry."""
    if isinstance(holder, dict):
        for key, item in holder.items():
            yield key, item, key
    else:
        for at, item in enumerate(holder):
            index = item.get("index") if isinstance(item, dict) else None
            yield at, item, index if isinstance(index, int) else at


def _walk(value: object, steps: Trail, trail: Trail) -> Iterator[Hit]:
    if not isinstance(value, dict | list):
        return
    for key, item, mark in children(value):
        if steps[0] not in (EVERY, key) or (isinstance(value, dict) and isinstance(steps[0], int)):
            continue
        if len(steps) > 1:
            yield from _walk(item, steps[1:], (*trail, mark))
        elif item is not None and item != "" and item != [] and item != {}:
            yield Hit(value, key, (*trail, mark))
