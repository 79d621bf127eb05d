"""Reads header blocks in the serialisation of the proxy-wasm ABI (proxy-wasm spec, `proxy_get_header_map_pairs`).

Little endian: u32 count, count × (u32 name length, u32 value length), count × (name, NUL, value, NUL). Values are bytes: they are read
as latin-1, so that every byte of a header that is not UTF-8 survives.
"""

from __future__ import annotations

from struct import Struct as Layout
from struct import error as LayoutError
from struct import unpack_from

from collector.errors import BadInputError

Headers = list[tuple[str, str]]

_U32 = Layout("<I")
_FEW = 128  # headers, of whose lengths the layout is made once
_LENGTHS = tuple(Layout(f"<{2 * count}I") for count in range(_FEW + 1))


def pairs(block: bytes) -> Headers:
    """[(name, value)] in the block's order. Raises BadInputError if the lengths do not fit the block."""
    if not block:
        return []
    try:
        (count,) = _U32.unpack_from(block)
        sizes = _LENGTHS[count].unpack_from(block, 4) if count <= _FEW else unpack_from(f"<{2 * count}I", block, 4)
    except (LayoutError, MemoryError) as error:
        raise BadInputError(f"header block of {len(block)} bytes: its count does not fit ({error})") from error
    at = 4 + 8 * count
    text = block.decode("latin-1")
    texts = text[at:-1].split("\0")
    if len(texts) == 2 * count and text[-1] == "\0" and tuple(map(len, texts)) == sizes:  # no NUL within, as HTTP demands
        each = iter(texts)
        return list(zip(each, each, strict=True))
    if at + sum(sizes) + 2 * count != len(block):
        raise BadInputError(f"header block of {len(block)} bytes: its lengths do not fit")
    found = []
    for i in range(0, 2 * count, 2):
        middle = at + sizes[i]
        end = middle + 1 + sizes[i + 1]
        found.append((text[at:middle], text[middle + 1 : end]))
        at = end + 1
    return found


def pack(headers: Headers) -> bytes:
    """The block of these pairs: the inverse of `pairs`."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    parts = [_U32.pack(len(raw)), *(_U32.pack(len(n)) + _U32.pack(len(v)) for n, v in raw), *(n + b"\0" + v + b"\0" for n, v in raw)]
    return b"".join(parts)


def first(headers: Headers, name: str) -> str | None:
    """The first value under this (lower-case) name."""
    for key, value in headers:
        if key == name:
            return value
    return None
