"""Server-sent events (WHATWG HTML §9.2) out of a captured body, whole or cut.

Yields (event name, data, end): `end` is how many bytes of the body had to arrive before a client could dispatch the event. Streams whose
line ends are all LF or all CRLF, which is what servers send, are split in C; anything else is read line by line. An event that the
end of the body left open is yielded only if its data is complete JSON.
"""

import re
from collections.abc import Iterator

from collector.decode.json_text import NotJSONError, loads

Event = tuple[bytes, bytes, int]
LAST = 16  # events that are still read when a stream has more than the limit: usage is at the end
_BOM = b"\xef\xbb\xbf"
_LINES = 4096  # of one event
# The end of a line, the blank line behind it, and further ones.
_LINE_END = re.compile(rb"(?:\r\n|\n|\r)((?:\r\n|\n|\r)?)(?:\r\n|\n|\r)*+")


def events(body: bytes, limit: int) -> Iterator[Event]:
    """The events of `body`. Of more than `limit`, those and the last few."""
    start = 3 if body.startswith(_BOM) else 0
    if b"\r" not in body:
        return _split(body, start, b"\n", limit)
    feeds = body.count(b"\n")
    if feeds == body.count(b"\r") == body.count(b"\r\n"):
        return _split(body, start, b"\r\n", limit)
    return _by_line(body, start, limit)


def count_is_over(body: bytes, limit: int) -> bool:
    """Whether events beyond `limit` are left out."""
    return len(body) > 2 * limit and body.count(b"\n\n") + body.count(b"\r\n\r\n") > limit + LAST


def _split(body: bytes, at: int, newline: bytes, limit: int) -> Iterator[Event]:
    blank = newline * 2
    width = len(blank)
    pieces = (body[at:] if at else body).split(blank, limit)
    rest = pieces.pop()
    for piece in pieces:
        at += len(piece) + width
        if piece[:6] == b"data: " and newline not in piece:
            yield b"", piece[6:], at
        elif event := _fields(piece.split(newline, _LINES)):
            yield event[0], event[1], at
    if len(pieces) == limit:
        at, rest, last = skip_to_last(at, rest, blank)
        for piece in last:
            at += len(piece) + width
            if event := _fields(piece.split(newline, _LINES)):
                yield event[0], event[1], at
    yield from _left_open(_fields(rest.split(newline, _LINES)), at + len(rest))


def skip_to_last(at: int, rest: bytes, blank: bytes) -> tuple[int, bytes, list[bytes]]:
    """Where the last few events of `rest` begin, what is left open behind them, and they."""
    last = rest.rsplit(blank, LAST + 1)
    left_open = last.pop()
    if len(last) > LAST:
        at += len(last.pop(0)) + len(blank)
    return at, left_open, last


def _fields(lines: list[bytes]) -> tuple[bytes, bytes] | None:
    """The event of the lines between two blank ones; none if they hold no data."""
    name = b""
    data: list[bytes] = []
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return (name, b"\n".join(data)) if data else None


def _left_open(event: tuple[bytes, bytes] | None, end: int) -> Iterator[Event]:
    if event is None:
        return
    try:
        loads(event[1])
    except NotJSONError:
        if event[1] != b"[DONE]":
            return
    yield event[0], event[1], end


def _by_line(body: bytes, at: int, limit: int) -> Iterator[Event]:
    lines: list[bytes] = []
    count = 0
    for match in _LINE_END.finditer(body, at):
        if len(lines) < _LINES:
            lines.append(body[at : match.start()])
        at = match.end()
        if not match[1]:
            continue
        if event := _fields(lines):
            count += 1
            yield event[0], event[1], match.end(1)
            if count == limit:
                return
        lines = []
    lines.append(body[at:])
    yield from _left_open(_fields(lines), len(body))
