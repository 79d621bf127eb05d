"""The last members of a JSON text whose beginning is missing, read backwards from its end.

At the end of a text its reader stands outside of any string, and a quote that no backslash precedes begins one: so, backwards, each byte
is known to be inside a string or not, and each bracket's partner is known. What is read is therefore where it seems to be, provided that
the text is complete. Work and memory are those of one pass; deeper than a few levels nothing is kept.
"""

import re

from collector.decode.json_text import NotJSONError, loads
from collector.decode.values import Object

_LEVELS = 4  # of objects and arrays in each other whose members are kept
_DEPTH = 1024  # of nesting that is followed
# In a reversed text: a string, a mark, or a run of anything else. Possessive, so that no input makes it look twice.
_TOKEN = re.compile(rb'"(?:[^"]++|"(?=\\))*+"(?!\\)|[{}\[\],:]|[^"{}\[\],:]++')
_OPENER = {b"}": b"{", b"]": b"["}

Members = Object


class _Level:
    """An object or array that is read from its end on. Positions are those of the reversed text."""

    __slots__ = ("colon", "found", "key", "opener", "value")

    def __init__(self, opener: bytes, value: int) -> None:
        self.opener, self.value = opener, value  # `value`: where the one that is being read begins
        self.colon = -1
        self.key = b""
        self.found: Members = {}


def trailing_members(tail: bytes, wanted: frozenset[str]) -> list[Members]:
    """The wanted members of each object that is still open where `tail` begins, outermost first (an array is an empty one).

    Where the whole text is there, only the outermost is. Nothing where the text ends with no object. Never raises.
    """
    text = tail.rstrip()[::-1]
    if text[:1] != b"}":
        return []
    levels: list[_Level] = []
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        if not _take(levels, match[0], match.start(), text, wanted):
            break
    return [level.found for level in levels[:_LEVELS]]


def trailing_elements(tail: bytes, wanted: frozenset[str]) -> tuple[list[Members], list[bytes]]:
    """Of an array that `tail` ends with: the wanted members of the object that is open where it begins, and the whole ones behind that."""
    text = tail.rstrip()[::-1]
    found: list[bytes] = []
    at, start, depth = 1, 0, 0
    while text[:1] == b"]" and (match := _TOKEN.match(text, at)) and -1 < depth < _DEPTH:
        at, token = match.end(), match[0]
        if token in _OPENER:
            start = start if depth else match.start()
            depth += 1
        elif token == b"{" or token == b"[":
            depth -= 1
            if not depth and token == b"{":
                found.append(text[start:at][::-1])
    return trailing_members(text[start:][::-1], wanted)[:1] if depth > 0 else [], found[::-1]


def _take(levels: list[_Level], token: bytes, at: int, text: bytes, wanted: frozenset[str]) -> bool:
    """Goes on by one token. False: nothing before it can be told, or nothing is left."""
    if token in _OPENER:
        if len(levels) == _DEPTH:
            return False
        levels.append(_Level(_OPENER[token], at + 1))
        return True
    level = levels[-1]
    if token == b"{" or token == b"[":
        return _close(levels, token, text, wanted)
    if token == b",":
        _keep(levels, text, wanted)
        level.value, level.colon, level.key = at + 1, -1, b""
    elif token == b":":
        if level.opener == b"[" or level.colon >= 0:
            return False
        level.colon = at
    elif level.colon >= 0 and not token.isspace():
        if level.key or token[:1] != b'"':
            return False
        level.key = token
    return True


def _close(levels: list[_Level], opener: bytes, text: bytes, wanted: frozenset[str]) -> bool:
    if levels[-1].opener != opener:
        return False
    _keep(levels, text, wanted)
    if len(levels) == 1:
        return False
    levels.pop()
    return True


def _keep(levels: list[_Level], text: bytes, wanted: frozenset[str]) -> None:
    """Keeps the member that was just read, if it is wanted. Of several with one name the last in the text holds."""
    level = levels[-1]
    if not level.key or len(levels) > _LEVELS:
        return
    key = level.key[-2:0:-1].decode("latin-1")
    if key in wanted and key not in level.found:
        try:
            level.found[key] = loads(text[level.value : level.colon][::-1])
        except NotJSONError:
            pass
