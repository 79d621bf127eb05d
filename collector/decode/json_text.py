"""JSON as inference servers and their clients really write it, read with the bounds of `Limits`.

The last of duplicate keys wins, as in the servers' own parsers. `NaN`, `Infinity` and lone surrogates, which strict parsers refuse,
are accepted; who is going to write what was read is told of them by `lenient`.
`complete_part` makes valid JSON of a text that was cut: the members and elements that came whole.
"""

import json
import re
from collections.abc import Callable
from math import isfinite

import orjson

from collector.messages.plain import ENDLESS, LARGE, LARGEST, SMALLEST, SURROGATE, utf8

_BOM = b"\xef\xbb\xbf"
# A string, a bracket, or a run of anything else. Possessive, so that no input makes it look twice.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]|[^"{}\[\]]++', re.DOTALL)
_QUOTE = 0x22
_CLOSER = {0x7B: b"}", 0x5B: b"]"}
_CLOSING = frozenset(b"}]")
# Up to the next bracket that stands outside of a string.
_NEXT = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[{}\[\]]', re.DOTALL)
_OPENERS = (b"{", b"[")
# Levels that the lenient parser reads. It recurses: without a bound, what is above it on the stack would decide.
_DEEPEST = 256
_STRICT = 1024  # levels that the strict parser reads


class NotJSONError(ValueError):
    """The text is not JSON; the message says where."""


Tell = Callable[[str], None]  # its answer stands for what is not known: None


def loads(text: bytes) -> object:
    """The value of a whole JSON text; numbers stay as they are, be they of any length or not finite.

    Raises:
        NotJSONError: also for nesting too deep to read.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return lenient(text, error, None)


def lenient(text: bytes, error: orjson.JSONDecodeError, told: Tell | None) -> object:
    """The value of a text that a strict parser refused with this error. `told` is called with what had to be changed so that the value can
    be written as JSON again: numbers that no writer takes are null, lone surrogates U+FFFD.

    Raises:
        NotJSONError
    """
    if not (text.startswith(_BOM) or b"NaN" in text or b"Infinity" in text or b"\\u" in text):
        raise NotJSONError(str(error)) from None
    if is_deep(text):
        raise NotJSONError(f"nested deeper than {_DEEPEST}") from None
    try:
        return _without_surrogates(_read(text.removeprefix(_BOM), told), told)
    except (ValueError, RecursionError):
        raise NotJSONError(str(error)) from None


def _read(text: bytes, told: Tell | None) -> object:
    if told is None:
        return json.loads(text)

    def whole(digits: str) -> int | None:
        number = int(digits) if len(digits) <= 20 else LARGEST + 1  # 20 characters hold every number of 64 bits
        return number if SMALLEST <= number <= LARGEST else told(LARGE)

    def fraction(digits: str) -> float | None:
        number = float(digits)
        return number if isfinite(number) else told(ENDLESS)

    return json.loads(text, parse_int=whole, parse_float=fraction, parse_constant=lambda _: told(ENDLESS))


def _without_surrogates(value: object, told: Tell | None) -> object:
    if isinstance(value, str):
        clean = utf8(value)
        if told is not None and clean != value:
            told(SURROGATE)
        return clean
    if isinstance(value, list):
        return [_without_surrogates(item, told) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key, told): _without_surrogates(item, told) for key, item in value.items()}
    return value


def first_value(text: bytes) -> tuple[object, int]:
    """The object or array that a text begins with, and where in the text it ends.

    Raises:
        NotJSONError: it begins with none that is complete.
    """
    end = end_of_value(text, 0, _STRICT) if text[:1] in _OPENERS else 0
    if not end:
        raise NotJSONError("no complete value at its beginning")
    return loads(text[:end]), end


def end_of_value(text: bytes, at: int, most: int) -> int:
    """Where the object or array ends that begins at `at`; 0 if it is not complete, or has more than `most` levels. Whether it is JSON in
    between is not asked.
    """
    depth = 0
    while depth <= most and (match := _NEXT.match(text, at)):
        at = match.end()
        depth += 1 if text[at - 1] in _CLOSER else -1
        if not depth:
            return at
    return 0


def is_deep(text: bytes) -> bool:
    """Whether objects and arrays are nested so deep that not every parser reads them."""
    if text.count(b"{") + text.count(b"[") <= _DEEPEST:
        return False
    at = depth = 0
    while depth <= _DEEPEST and (match := _NEXT.match(text, at)):
        at = match.end()
        depth += 1 if text[at - 1] in _CLOSER else -1
    return depth > _DEEPEST


def complete_part(text: bytes) -> bytes:
    """What came whole of a JSON text that was cut: up to the last element or member that a comma or bracket proves complete.

    Returns b"" where nothing did.
    """
    stack: list[int] = []
    end = 0
    for match in _TOKEN.finditer(text):
        at = match.start()
        mark = text[at]
        if mark == _QUOTE:
            if match.end() - at == 1:  # a string that never ends: nothing behind it can be told apart
                break
        elif mark in _CLOSER:
            stack.append(mark)
            end = at + 1
        elif mark not in _CLOSING:
            end = max(end, text.rfind(b",", at, match.end()))
        elif not stack:
            break
        else:
            stack.pop()
            end = at + 1
    return text[:end] + b"".join(_CLOSER[mark] for mark in reversed(stack)) if end else b""
