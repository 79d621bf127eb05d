"""When the chunks of an answer came, in few bytes: an extension of the response's event, from which a stream can be replayed.

`[unit, lengths, waits, jumps]` as MessagePack, compressed, in base64: the chunks' lengths, the times between them in units of `unit` µs,
and, where a chunk does not begin where the one before it ended, its number and offset. Of more than MOST chunks neighbours are told as one,
at the time of the last of them; of a body whose parts are hidden the lengths are not told, because they would tell of what is hidden.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from itertools import pairwise

import msgspec

EXTENSION = "chunktimes"
UNIT_US = 100
MOST = 16_384
_LEVEL = 1
_SMALL = 256  # bytes that are not compressed
_MOST_BYTES = 1 << 20  # of what is read back
Chunk = tuple[int, int, int]  # offset, length, microseconds since the request's start

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[int], list[int], list[tuple[int, int]]]).decode


def pack(chunks: Sequence[Chunk], with_lengths: bool = True) -> str:
    """The chunks in order of their offsets as the extension's text."""
    if len(chunks) > MOST:
        chunks = _fewer(chunks)
    times = [at // UNIT_US for _, _, at in chunks]
    waits = [later - earlier for earlier, later in pairwise([0, *times])]
    lengths = [length for _, length, _ in chunks] if with_lengths else []
    gapless = not chunks or (chunks[0][0] == 0 and chunks[-1][0] + chunks[-1][1] == sum(lengths))
    jumps = [] if gapless or not with_lengths else _jumps(chunks)
    try:
        packed = _encode((UNIT_US, lengths, waits, jumps))
    except OverflowError:  # lengths that no body has
        packed = _encode((UNIT_US, [], waits, []))
    return b64encode(zlib.compress(packed, _LEVEL) if len(packed) > _SMALL else packed).decode()


def unpack(text: str) -> list[tuple[int | None, int | None, int]]:
    """(offset, length, µs since the request's start) of each chunk; without the lengths where they are not told. Raises ValueError."""
    try:
        packed = b64decode(text, validate=True)
        if packed[:1] == b"\x78":
            reader = zlib.decompressobj()
            packed = reader.decompress(packed, _MOST_BYTES)
        unit, lengths, waits, jumps = _decode(packed)
    except (binascii.Error, zlib.error, msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"the times of chunks are damaged: {type(error).__name__}") from None
    if lengths and len(lengths) != len(waits):
        raise ValueError("the times of chunks are damaged: not as many times as lengths")
    found: list[tuple[int | None, int | None, int]] = []
    begin, at, places = 0, 0, dict(jumps)
    for number, wait in enumerate(waits):
        at += wait * unit
        if not lengths:
            found.append((None, None, at))
            continue
        begin = places.get(number, begin)
        found.append((begin, lengths[number], at))
        begin += lengths[number]
    return found


def _jumps(chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    found, end = [], 0
    for number, (offset, length, _) in enumerate(chunks):
        if offset != end:
            found.append((number, offset))
        end = offset + length
    return found


def _fewer(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Neighbours as one. Chunks between which bytes are missing stay apart only as far as the bound allows."""
    each = -(-len(chunks) // MOST)
    groups = (chunks[start : start + each] for start in range(0, len(chunks), each))
    return [(group[0][0], group[-1][0] + group[-1][1] - group[0][0], group[-1][2]) for group in groups]
