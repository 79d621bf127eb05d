"""Regular expressions over text, and the mark that stands for what they found.

The engine is RE2 (package google-re2, github.com/google/re2): its time is linear in the text whatever the pattern, so that no text can
hold up the pipeline. In turn it knows no look-around and no back-references.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from types import ModuleType
from typing import Protocol

MARK = "[redacted]"
_MARKED = re.compile(r"\[redacted(?::[0-9a-f]{16})?\]")
_FIXED = re.compile(r"\\[AzQ]|\(\?[a-zA-Z]*-[a-zA-Z]*m")


class Match(Protocol):
    """What matched, as in `re`."""

    def span(self) -> tuple[int, int]: ...


class Compiled(Protocol):
    """A pattern of the engine, which has no types: what is used of it, as in `re`."""

    def search(self, text: str, /) -> Match | None: ...
    def finditer(self, text: str, /) -> Iterator[Match]: ...


class Mark:
    """What is written in place of a value: `[redacted]`, or with a key `[redacted:<16 hex digits>]`, the beginning of its HMAC-SHA256,
    so that equal values can be known as equal.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    def of(self, hidden: str) -> str:
        """The mark of this value."""
        if self._key is None:
            return MARK
        return f"[redacted:{hmac.new(self._key, hidden.encode('utf-8', 'surrogatepass'), sha256).hexdigest()[:16]}]"


class Patterns:
    """Some regular expressions. What any of them matches is hidden."""

    def __init__(self, patterns: Sequence[str], mark: Mark) -> None:
        self._patterns = [compiled(f"(?m){pattern}") for pattern in patterns]
        self._any = compiled("(?m)" + "|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None
        self._mark = mark

    def __bool__(self) -> bool:
        return self._any is not None

    def found(self, text: str) -> bool:
        """Whether any of them matches somewhere. Texts may be looked through together, joined by line ends: `^` and `$` hold at lines."""
        return self._any is not None and self._any.search(text) is not None

    def sub(self, text: str) -> str:
        """The text with marks in it."""
        return self.across([text])[0] if self.found(text) else text

    def resub(self, text: str) -> str:
        """The same for a text that may hold marks already: a match within a mark is none."""
        if not self.found(text):
            return text
        return self.sub(text) if any(map(self.found, _MARKED.split(text))) or self._over_marks(text) else text

    def across(self, pieces: list[str]) -> list[str]:
        """The pieces of one text, with marks where it matched. A match that goes over several is marked in the first of them."""
        text = "".join(pieces)
        spans = self._spans(text)
        return _replaced(text, pieces, spans, [self._mark.of(text[start:stop]) for start, stop in spans]) if spans else pieces

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where any pattern matches, in order; matches that overlap are one."""
        spans: list[tuple[int, int]] = []
        for start, stop in sorted(match.span() for pattern in self._patterns for match in pattern.finditer(text)):
            if spans and start < spans[-1][1]:
                spans[-1] = spans[-1][0], max(stop, spans[-1][1])
            elif stop > start:
                spans.append((start, stop))
        return spans

    def _over_marks(self, text: str) -> bool:
        """Whether a match goes beyond a mark."""
        marks = [match.span() for match in _MARKED.finditer(text)]
        return any(not any(start <= at and end <= stop for start, stop in marks) for at, end in self._spans(text))


def _replaced(text: str, pieces: list[str], spans: list[tuple[int, int]], marks: list[str]) -> list[str]:
    """`spans` in order, without overlaps; one pass over both lists."""
    found, begin, at = [], 0, 0
    for piece in pieces:
        end, out = begin + len(piece), []
        while at < len(spans) and spans[at][0] < end:
            start, stop = spans[at]
            out.append(text[begin:start])  # empty where the match began in an earlier piece
            if start >= begin:
                out.append(marks[at])
            begin = min(stop, end)
            if stop > end:
                break
            at += 1
        found.append("".join(out) + text[begin:end])
        begin = end
    return found


def check(pattern: str) -> None:
    """Raises ValueError that says what is wrong with a pattern."""
    if _FIXED.search(pattern):
        raise ValueError(f"{pattern!r}: use ^ and $, which hold at the ends of lines, in place of \\A, \\z, \\Q and (?-m)")
    if compiled(f"(?m){pattern}").search("") is not None:
        raise ValueError(f"{pattern!r} matches the empty text")


@cache
def _engine() -> ModuleType:
    try:
        import re2  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ValueError("patterns need the package google-re2") from None
    engine: ModuleType = re2
    return engine


@cache
def compiled(pattern: str) -> Compiled:
    """The compiled pattern. Raises ValueError: it is none, or the engine is not installed."""
    engine = _engine()
    options = engine.Options()
    options.log_errors = False
    try:
        found: Compiled = engine.compile(pattern, options)
    except engine.error as error:
        said = error.args[0] if error.args else ""
        raise ValueError(f"{pattern.removeprefix('(?m)')!r}: {said.decode() if isinstance(said, bytes) else said}") from None
    return found
