"""Reads server-sent events (WHATWG HTML, 9.2), as far as the audit API sends them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """An event. `data`: empty for one that only tells an id."""

    id: str
    name: str
    data: bytes


def events(pieces: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Events in the pieces of an answer, wherever it was cut into them. An event that did not come whole is none."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if b"\n" not in piece:
            continue
        *whole, rest = bytes(held).split(b"\n\n")
        held = bytearray(rest)
        yield from (_read(one) for one in whole)


def _read(block: bytes) -> ServerEvent:
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if name and colon:
            fields[name] = value.removeprefix(b" ")
    return ServerEvent(
        fields.get(b"id", b"").decode("utf-8", "replace"), fields.get(b"event", b"").decode("utf-8", "replace"), fields.get(b"data", b"")
    )
