"""A request's body: read and decompressed up to a limit, never beyond."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

import zstandard

from collector.receive.problem import Refusal

if TYPE_CHECKING:
    from starlette.types import Message, Receive

BODY_SECONDS = 30.0
MAX_WINDOW_BYTES = 8 << 20  # what RFC 8878 asks every decoder to support
MAX_RATIO, FREE_BYTES = 100, 16 << 10  # a body has as many bytes as its compressed ones times this, and these, at most
PIECE = 256  # zstd makes at most 128 KiB of 4 bytes, so such a piece at most 8 MiB


class Budget:
    """Bytes of bodies that are being read, over all connections, bounded."""

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes
        self._held: dict[str, int] = {}

    def take(self, size: int, key: str = "") -> None:
        """Raises Refusal (503) when there is no room. A sender that is known (`key`) can hold as much as it leaves free, and one piece."""
        held = self._held.get(key, 0) if key else 0
        if size > self._free or (held and held + size > self._free):
            raise Refusal(503, "busy", "too many bytes are on their way in: try again", {"retry-after": "1"})
        self._free -= size
        if key:
            self._held[key] = held + size

    def give(self, size: int, key: str = "") -> None:
        self._free += size
        if not key:
            return
        if left := self._held.get(key, 0) - size:  # nothing is held by whom the first piece was refused
            self._held[key] = left
        else:
            self._held.pop(key, None)


async def read_body(receive: Receive, limit: int, budget: Budget, seconds: float = BODY_SECONDS, key: str = "") -> bytes:
    """The whole body. Raises Refusal: 413 as soon as it exceeds the limit, 408 when it does not arrive, 503 when the budget is used up."""
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                return _within(message.get("body", b""), limit)
            return await _read_pieces(receive, message, limit, budget, key)
    except TimeoutError:
        raise Refusal(408, "timeout", f"the body did not arrive within {seconds:g} s", {"connection": "close"}) from None


async def _read_pieces(receive: Receive, message: Message, limit: int, budget: Budget, key: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            if message["type"] != "http.request":
                raise Refusal(400, "disconnected", "the client went away before the body's end")
            piece = message.get("body", b"")
            budget.take(len(piece), key)
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            pieces.append(piece)
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await receive()
    finally:
        budget.give(size, key)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content coding. Raises Refusal: 413 above the limit, 400 for a damaged or cut stream, 415 for other codings.

    What compresses better than text ever does is refused as soon as it has become as large as it may: it costs its sender nothing.
    """
    if encoding in ("", "identity"):
        return body
    limit = min(limit, MAX_RATIO * len(body) + FREE_BYTES)
    if encoding in ("gzip", "x-gzip"):
        return _gunzip(body, limit)
    if encoding == "zstd":
        return _unzstd(body, limit)
    raise Refusal(
        415, "unsupported", f"content-encoding {encoding[:80]!r}: expected identity, gzip or zstd", {"accept-encoding": "gzip, zstd"}
    )


def too_large(limit: int) -> Refusal:
    """413, the same for bodies as they come and decompressed."""
    why = f"ingest.max_batch_bytes; compressed: {MAX_RATIO} times what was sent and {FREE_BYTES} bytes"
    return Refusal(413, "too_large", f"the body exceeds {limit} bytes ({why})")


def _gunzip(body: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        data = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise _damaged("gzip", str(error)) from None
    _within(data, limit)
    if not decoder.eof:
        raise _damaged("gzip", "the stream is cut")
    if decoder.unused_data:
        raise _damaged("gzip", "there are bytes behind the stream's end")
    return data


def _unzstd(body: bytes, limit: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            return _unzstd_pieces(decoder, body, limit)
        if size > limit:
            raise too_large(limit)
        return decoder.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _damaged("zstd", str(error)) from None


def _unzstd_pieces(decoder: zstandard.ZstdDecompressor, body: bytes, limit: int) -> bytes:
    stream = decoder.decompressobj()
    pieces: list[bytes] = []
    size = 0
    for start in range(0, len(body), PIECE):
        if stream.eof:
            raise _damaged("zstd", "there are bytes behind the frame's end")
        pieces.append(stream.decompress(body[start : start + PIECE]))
        size += len(pieces[-1])
        if size > limit:
            raise too_large(limit)
    if not stream.eof:
        raise _damaged("zstd", "the frame is cut")
    if stream.unused_data:
        raise _damaged("zstd", "there are bytes behind the frame's end")
    return b"".join(pieces)


def _within(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise too_large(limit)
    return data


def _damaged(coding: str, why: str) -> Refusal:
    return Refusal(400, "malformed", f"the body is not valid {coding}: {why}")
