"""The rules as the decoder applies them, and how they apply to values that JSON texts gave.

Values are changed in place. One text may come in pieces (the events of a stream): a rule sees the whole of it, and its mark goes into
the piece where it began.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from collector.redact.structure import Names, unescaped
from collector.rule_language.paths import EVERY, Hit, Holder, Path, Step, Trail, Tree, children, inner, parse
from collector.rule_language.patterns import Mark, Patterns

Lane = tuple[str | int | None, ...]
Place = tuple[Holder, Step]  # an object or array, and the key in it
Marked = set[tuple[int, Step]]  # the same, with its id
Where = tuple[object, ...]  # a lane; or where an object or array stands, and the key in it
_NUMBERS = frozenset((int, float))
_HOLDS = frozenset((str, dict, list))
# Members that tell a text over again, as tokens: where a pattern found something in the text, they go.
_TOKENS = frozenset((
    "logprobs", "prompt_logprobs", "top_logprobs", "token_ids", "prompt_token_ids", "output_ids", "input_ids", "tokens", "top_tokens",
    "prefill", "bytes",
))  # fmt: skip


class UnsureError(ValueError):
    """The rules cannot be applied surely; the message says why, and never what was in the body."""


class FoundError(UnsureError):
    """There is something to hide in a body that is not written anew."""

    def __init__(self) -> None:
        super().__init__("it holds something to hide, in a form that is not written anew")


class Rules:
    """`paths` name values of JSON, `patterns` are searched in every text. Raises ValueError for one that cannot be read."""

    def __init__(self, paths: Sequence[str] = (), patterns: Sequence[str] = (), key: bytes | None = None) -> None:
        self.mark = Mark(key)
        self.paths: tuple[Path, ...] = tuple(map(parse, paths))
        self.patterns = Patterns(patterns, self.mark)
        self.names = Names(self.paths)
        self.members = frozenset(EVERY if isinstance(path.steps[-1], int) else path.steps[-1] for path in self.paths)

    def __bool__(self) -> bool:
        return bool(self.paths) or bool(self.patterns)

    def apply(self, values: list[object]) -> bool:
        """Redacts the values in the list. True if there was something to hide. What hangs together are the texts at equal places."""
        lanes: list[Lane] = [_lane(value) for value in values] if len(values) > 1 else [()]
        roots = [[value] for value in values]
        marked: Marked = set()
        for path in self.paths:
            self._paths(path, roots, lanes, marked)
        changed = bool(marked)
        if self.patterns and self._patterns(roots, lanes, marked):
            changed = True
            for root in roots:
                _without_tokens(root)
        if changed:
            values[:] = [root[0] for root in roots]
        return changed

    def _paths(self, path: Path, roots: list[list[object]], lanes: list[Lane], marked: Marked) -> None:
        pieces: dict[tuple[Lane, Trail], list[Hit]] = {}
        for root, lane in zip(roots, lanes, strict=True):
            for hit in path.hits(root[0]):
                pieces.setdefault((lane, hit.trail), []).append(hit)
        for hits in pieces.values():
            values = [hit.holder[hit.key] for hit in hits]
            hidden = "".join(value if isinstance(value, str) else json.dumps(value) for value in values)
            for hit, mark in zip(hits, chain((self.mark.of(hidden),), ("" for _ in hits)), strict=False):
                hit.holder[hit.key] = mark
                marked.add((id(hit.holder), hit.key))

    def _patterns(self, roots: list[list[object]], lanes: list[Lane], marked: Marked) -> bool:
        pieces: dict[Where, list[Place]] = {}
        others: set[str] = set()
        for root, lane in zip(roots, lanes, strict=True):
            _gather(root, lane, marked, pieces, others)
        texts = {place: [holder[key] for holder, key in found] for place, found in pieces.items()}
        changed = False
        whole = "\n".join(map("".join, texts.values()))
        if self.patterns.found(whole) or any(map(self.patterns.found, unescaped(whole))):
            for place, text in texts.items():
                changed |= self._pieces(pieces[place], text)
        if self.patterns.found("\n".join(others)):
            for holder in [holder for root in roots for holder in _holders(root)]:
                changed |= self._numbers_and_names(holder)
        if len(roots) > 1:
            self._check_joined(roots, pieces)
        return changed

    def _check_joined(self, roots: list[list[object]], places: Iterable[Where]) -> None:
        """Raises UnsureError: a text of several events holds something to hide if what stands at several positions were one."""
        named = [_names(place) for place in places]
        several = {names for names, count in Counter(named).items() if count > 1}
        for pieces in _in_order(roots, several).values() if several else ():
            if len(set(pieces)) > 1 and self.patterns.resub(joined := "".join(pieces)) != joined:
                raise UnsureError("a text in several parts may hold something to hide")

    def _pieces(self, places: list[Place], texts: list[str]) -> bool:
        text = "".join(texts)
        told = self.patterns.across(texts) if self.patterns.found(text) else texts
        if any(self.patterns.resub(spelled) != spelled for spelled in unescaped("".join(told))):  # JSON in a text, with escapes
            told = [self.mark.of(text), *("" for _ in texts[1:])]
        for (holder, key), text in zip(places, told, strict=True):
            holder[key] = text
        return told != texts

    def _numbers_and_names(self, holder: Tree) -> bool:
        changed = False
        written: Holder = holder
        for key, item, _ in list(children(holder)):
            if type(item) in _NUMBERS and self.patterns.found(repr(item)):
                written[key] = self.mark.of(repr(item))
                changed = True
        if isinstance(holder, dict) and any(map(self.patterns.found, holder)):
            renamed = {self.patterns.sub(key): item for key, item in holder.items()}
            holder.clear()
            holder.update(renamed)
            changed = True
        return changed


def _gather(root: Tree, lane: Lane, marked: Marked, pieces: dict[Where, list[Place]], others: set[str]) -> None:
    """Adds the texts in `root` to `pieces`, by where they stand, and numbers and names to `others`. Here is what a stream's rules cost."""
    waiting: list[tuple[Tree, Where]] = [(root, lane)]
    item: Any  # its type is looked at once
    while waiting:
        holder, trail = waiting.pop()
        if type(holder) is dict:
            others.update(holder)
        elif _NUMBERS.issuperset(map(type, holder)):
            others.add(repr(holder)[1:-1].replace(", ", "\n"))
            continue
        nested = []
        for key, item in holder.items() if type(holder) is dict else enumerate(holder):
            kind = type(item)
            if kind is str:
                if (id(holder), key) not in marked:
                    pieces.setdefault((trail, key), []).append((holder, key))
            elif kind in _NUMBERS:
                others.add(repr(item))
            elif kind is list:
                nested.append((item, (trail, key)))
            elif kind is dict:  # an item is known by its own index, which choices and calls carry
                index = item.get("index", key) if type(holder) is list else key
                nested.append((item, (trail, index if type(index) is int else key)))
        waiting += reversed(nested)  # in the text's order


def _names(place: Where) -> tuple[str, ...]:
    """The names that lead to a place, without positions."""
    names = list[str]()
    trail: object = place
    while isinstance(trail, tuple) and len(trail) == 2:  # a lane is longer, or empty
        trail, key = trail
        if isinstance(key, str):
            names.append(key)
    return tuple(reversed(names))


def _in_order(roots: list[list[object]], wanted: set[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """The texts under these names, in their order."""
    found: dict[tuple[str, ...], list[str]] = {}
    waiting: list[tuple[object, tuple[str, ...]]] = [(root, ()) for root in reversed(roots)]
    while waiting:
        value, names = waiting.pop()
        if isinstance(value, str):
            if names in wanted:
                found.setdefault(names, []).append(value)
        elif isinstance(value, dict):
            waiting += [(item, (*names, key)) for key, item in reversed(value.items()) if type(item) in _HOLDS]
        elif isinstance(value, list):
            waiting += [(item, names) for item in reversed(value) if type(item) in _HOLDS]
    return found


def _holders(root: list[object]) -> Iterator[Tree]:
    return (holder for holder, _ in inner(root, ()))


def _lane(event: object) -> Lane:
    """Which of the texts that a stream interleaves an event belongs to."""
    if not isinstance(event, dict):
        return ()
    return tuple(_plain(event.get(name)) for name in ("type", "index", "output_index", "content_index", "item_id"))


def _plain(value: object) -> str | int | None:
    return value if isinstance(value, str | int) else None


def _without_tokens(root: list[object]) -> None:
    for holder in list(_holders(root)):
        if not isinstance(holder, dict):
            continue
        for name in _TOKENS & holder.keys():
            if isinstance(holder[name], list | dict):
                holder[name] = None
        if isinstance(token := holder.get("token"), dict):  # TGI
            token.pop("id", None)
