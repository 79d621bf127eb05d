"""JSON as inference servers and their clients really write it, read with the bounds of `Limits`.

The last of duplicate keys wins, as in the servers' own parsers. `NaN`, `Infinity` and lone surrogates, which strict parsers refuse,
are accepted. `complete_part` makes valid JSON of a text that was cut: the members and elements that came whole.
"""

import json
import re
from typing import Any

import orjson

_BOM = b"\xef\xbb\xbf"
# A string, a bracket, or a run of anything else. Possessive, so that no input makes it look twice.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]|[^"{}\[\]]++', re.DOTALL)
_QUOTE = 0x22
_CLOSER = {0x7B: b"}", 0x5B: b"]"}
_CLOSING = frozenset(b"}]")


class NotJSONError(ValueError):
    """The text is not JSON; the message says where."""


def loads(text: bytes) -> Any:
    """The value of a whole JSON text.

    Raises:
        NotJSONError: also for nesting too deep to read.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _lenient(text, error)


def _lenient(text: bytes, error: orjson.JSONDecodeError) -> Any:
    if not (text.startswith(_BOM) or b"NaN" in text or b"Infinity" in text or b"\\u" in text):
        raise NotJSONError(str(error)) from None
    try:
        return _without_surrogates(json.loads(text.removeprefix(_BOM)))
    except (ValueError, RecursionError):
        raise NotJSONError(str(error)) from None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


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
