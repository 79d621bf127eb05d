"""A shortcut through a token stream: events that differ only in one string.

Servers send hundreds of events that are equal but for the generated piece. `learn` takes a parsed event apart into what stands before
and after that piece and proves, by parsing the event anew with another piece in it, that nothing else would change. `match` then
reads the piece of an event that has the same ends. A piece with quotes, escapes or control characters does not match, so that
whatever matches would have parsed to exactly this.
"""

from typing import Any

from collector.decode.json_text import NotJSONError, loads
from collector.decode.values import Object

_PROBE = "probe"


class Template:
    """The ends that events of one stream have in common."""

    __slots__ = ("_least", "_prefix", "_start", "_stop", "_suffix")

    def __init__(self, prefix: bytes, suffix: bytes) -> None:
        self._prefix = prefix
        self._suffix = suffix
        self._start = len(prefix)
        self._stop = -len(suffix)
        self._least = len(prefix) + len(suffix)

    def match(self, data: bytes) -> str | None:
        """The piece in `data`, if it is an event of this template with a piece that is not empty."""
        if data.startswith(self._prefix) and data.endswith(self._suffix) and len(data) > self._least:
            piece = data[self._start : self._stop]
            if b'"' not in piece and b"\\" not in piece:
                try:
                    text = piece.decode()
                except UnicodeDecodeError:
                    return None
                if text.isprintable():
                    return text
        return None


def learn(data: bytes, event: Object, path: tuple[str | int, ...]) -> Template | None:
    """The template of an event whose string at `path` is the piece; None if it cannot be proven. `event` is `data`, parsed."""
    key = str(path[-1]).encode()
    for mark in (b'"' + key + b'":"', b'"' + key + b'": "'):
        at = data.find(mark)
        if at >= 0:
            start = at + len(mark)
            stop = data.find(b'"', start)
            return _proven(data[:start], data[stop:], event, path) if stop >= 0 else None
    return None


def _proven(prefix: bytes, suffix: bytes, event: Object, path: tuple[str | int, ...]) -> Template | None:
    try:
        probed: Any = loads(prefix + _PROBE.encode() + suffix)
        original: Any = event
        holder = probed
        for step in path[:-1]:
            holder, original = holder[step], original[step]
        if holder[path[-1]] != _PROBE:
            return None
        holder[path[-1]] = original[path[-1]]
    except (NotJSONError, KeyError, IndexError, TypeError):
        return None
    return Template(prefix, suffix) if probed == event else None
