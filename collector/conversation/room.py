"""How much of a conversation is shown: bounds of parts, texts and depth, and what is said where they end it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, TypeVar

import orjson

from collector.messages.plain import utf8

CHARS = 4 << 20  # of all texts together
ONE = 1 << 20  # of one text
PARTS = 20_000  # of all messages together
NAME = 1024  # characters of a name, a URL, an id
PROBLEMS = 32
T = TypeVar("T")


class Said(TypedDict, total=False):
    """A text, as far as there was room for it."""

    text: str
    cut: bool


class Room:
    """What is left to show. All that is made of hostile bodies takes from it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self._chars, self._parts = CHARS, PARTS

    def problem(self, text: str) -> None:
        """Says it once."""
        if text not in self.problems and len(self.problems) < PROBLEMS:
            self.problems.append(text)

    def take(self, found: Sequence[T], what: str) -> Sequence[T]:
        """As many of these as there is room for."""
        kept = found[: self._parts]
        self._parts -= len(kept)
        if len(kept) < len(found):
            self.problem(f"there are more {what} than {PARTS} parts: the rest is not shown")
        return kept

    def text(self, value: str, longest: int = ONE) -> tuple[str, bool]:
        """The text, and whether it was cut."""
        most = min(longest, self._chars)
        shown = utf8(value[:most])
        self._chars -= len(shown)
        if len(value) > most:
            self.problem(f"a text is cut: one has at most {longest} characters here, all together {CHARS}")
        return shown, len(value) > most

    def json(self, value: object, longest: int = ONE) -> tuple[str, bool]:
        """A value as JSON text; a text as it is."""
        if isinstance(value, str):
            return self.text(value, longest)
        try:
            written = orjson.dumps(value).decode()
        except orjson.JSONEncodeError:
            self.problem("what is nested too deep, or has numbers beyond 64 bits, is not shown")
            return "", True
        return self.text(written, longest)


def short(value: object) -> str | None:
    """A name, an id, a URL: a text or number, cut where it is longer than such things are."""
    if isinstance(value, str):
        return utf8(value[:NAME]) or None
    return str(value) if type(value) is int and abs(value) < 1 << 63 else None
