"""Newline-delimited JSON out of a captured body: (name, text, end) as for server-sent events, the name always empty."""

from collections.abc import Iterator

from collector.decode.json_text import NotJSONError, loads
from collector.decode.sse import LAST, Event, skip_to_last


def events(body: bytes, limit: int) -> Iterator[Event]:
    """The texts of `body`; of more than `limit`, those and the last few. One that the end left open only if it is complete JSON."""
    at = 0
    lines = body.split(b"\n", limit)
    rest = lines.pop()
    for line in lines:
        at += len(line) + 1
        if text := line.strip():
            yield b"", text, at
    if len(lines) == limit:
        at, rest, last = skip_to_last(at, rest, b"\n")
        for line in last:
            at += len(line) + 1
            if text := line.strip():
                yield b"", text, at
    if (text := rest.strip()) and _complete(text):
        yield b"", text, len(body)


def count_is_over(body: bytes, limit: int) -> bool:
    """Whether lines beyond `limit` are left out."""
    return body.count(b"\n") > limit + LAST


def _complete(text: bytes) -> bool:
    try:
        loads(text)
    except NotJSONError:
        return False
    return True
