"""Newline-delimited JSON out of a captured body: (name, text, end) as for server-sent events, the name always empty."""

from collections.abc import Iterator

from collector.decode.json_text import NotJSONError, loads
from collector.decode.sse import Event


def events(body: bytes, limit: int) -> Iterator[Event]:
    """The texts of `body`, at most `limit`; one that the end of the body left open only if it is complete JSON."""
    at = 0
    lines = body.split(b"\n", limit)
    rest = lines.pop()
    for line in lines:
        at += len(line) + 1
        if text := line.strip():
            yield b"", text, at
    if (text := rest.strip()) and len(lines) < limit and _complete(text):
        yield b"", text, len(body)


def _complete(text: bytes) -> bool:
    try:
        loads(text)
    except NotJSONError:
        return False
    return True
