"""JSON that any reader takes: numbers of 64 bits, finite fractions, texts that are UTF-8, nesting with an end; in as few bytes as it has.

Values that were read leniently, or came as protobuf numbers, may be none of it. What has no plain form is left out, and said; a list with
an element that is not known is not known itself.

orjson leaves the room that it wrote in behind what it wrote: 8 KiB for a record of 1.5 KiB, 127 KiB for one of 9 KiB. What is written and
let go at once may have it; what waits for a store may not. A copy costs 0.15 µs.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import orjson

SMALLEST, LARGEST = -(1 << 63), (1 << 64) - 1  # what JSON writers of 64 bits take
DEPTH = 100  # of nesting in what is written; encoders end at about 250
LARGE = "a number beyond 64 bits is left out"
ENDLESS = "a number that is not finite is left out"
SURROGATE = "lone surrogates are told as U+FFFD"
DEEP = f"what is nested deeper than {DEPTH} is left out"
ODD = "a value of no kind that JSON has is left out"


class _Unknown:
    """Stands for what has no plain form."""


UNKNOWN = _Unknown()


def plain(value: object, problems: list[str], depth: int = 0) -> Any:
    """The value as JSON can hold it, or UNKNOWN. Each kind of problem is told once."""
    if isinstance(value, str):
        return _text(value, problems)
    if isinstance(value, dict):
        return _object(value, problems, depth) if depth < DEPTH else _told(DEEP, problems)
    if isinstance(value, list | tuple):
        return _array(value, problems, depth) if depth < DEPTH else _told(DEEP, problems)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if SMALLEST <= value <= LARGEST else _told(LARGE, problems)
    if isinstance(value, float):
        return value if isfinite(value) else _told(ENDLESS, problems)
    return _told(ODD, problems)


def utf8(text: str) -> str:
    """The text with U+FFFD for each lone surrogate."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(text: str, problems: list[str]) -> str:
    told = utf8(text)
    if told != text:
        _told(SURROGATE, problems)
    return told


def _object(value: dict[object, object], problems: list[str], depth: int) -> dict[str, object]:
    found = ((_text(str(key), problems), plain(item, problems, depth + 1)) for key, item in value.items())
    return {key: item for key, item in found if item is not UNKNOWN}


def _array(value: list[object] | tuple[object, ...], problems: list[str], depth: int) -> object:
    found = [plain(item, problems, depth + 1) for item in value]
    return UNKNOWN if any(item is UNKNOWN for item in found) else found


def _told(problem: str, problems: list[str]) -> _Unknown:
    if problem not in problems:
        problems.append(problem)
    return UNKNOWN


def json_bytes(value: object) -> bytes:
    """The value as JSON. Raises orjson.JSONEncodeError as orjson does."""
    return b"%b" % orjson.dumps(value)
