"""A JSON body that was cut, closed so that it can be read, with the text in whose middle it was cut. Pure.

For numbers and names half a text is worse than none, so the decoder leaves it out; whoever reads what was said wants it.
"""

from __future__ import annotations

import re

from collector.decode.json_text import NotJSONError, complete_part, loads

_ESCAPE = 12  # bytes of the longest escape: two surrogates
# A string that is not closed, from its quote on, at the end of other tokens.
_TOKENS = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)


def closed(text: bytes) -> bytes:
    """The text, closed behind its last character if that is in a string; else as `complete_part` has it."""
    match = _TOKENS.match(text)
    begin = match.end() if match else len(text)
    if begin < len(text):
        for shorter in range(_ESCAPE):
            end = len(text) - shorter
            if end <= begin:
                break
            found = complete_part(text[:end] + b'",')
            if found and _is_json(found, end):
                return found
            if not shorter and not _is_json(complete_part(text[:begin] + b'"",'), begin):
                break  # it stands where no string may: no end of it makes JSON of the text
    return complete_part(text)


def _is_json(text: bytes, end: int) -> bool:
    """Whether it is JSON and the string that was cut is in it."""
    try:
        loads(text)
    except NotJSONError:
        return False
    return len(text) > end
