"""The elements of a JSON array that an answer goes on to write (Gemini's stream without `alt=sse`), one after the other as they came."""

from __future__ import annotations

import re
from collections.abc import Iterator

from collector.decode.form import begin
from collector.decode.json_text import end_of_value

_BETWEEN = re.compile(rb"[ \t\r\n,]*+")


class Elements:
    """The objects of the array, as (text, end): `end` is how many bytes of the body had to arrive for it. `closed`: the array came to its
    end. `over`: it has more elements, or more bytes, than are read.
    """

    def __init__(self, body: bytes, most: int, limit: int) -> None:
        """`most` bytes of it and `limit` elements are read."""
        self.closed = False
        self.over = len(body) > most
        self._body = body[:most]
        self._limit = limit

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Up to the first thing that is no object, or not complete."""
        text = self._body
        at = begin(text) + 1
        for _ in range(self._limit):
            at = _end_of_gap(text, at)
            if text[at : at + 1] != b"{":
                self.closed = text[at : at + 1] == b"]"
                return
            end = end_of_value(text, at, len(text))
            if not end:
                return
            yield text[at:end], end
            at = end
        self.over = True


def is_array(body: bytes) -> bool:
    """Whether the body begins as an array."""
    at = begin(body)
    return body[at : at + 1] == b"["


def _end_of_gap(text: bytes, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at
