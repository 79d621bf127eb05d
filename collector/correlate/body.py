"""Puts the stretches of a body together: any order, repeats and gaps allowed."""

from __future__ import annotations

from itertools import accumulate
from operator import attrgetter

from collector.correlate.state import Stretch
from collector.messages.exchange import Body


def assemble(stretches: list[Stretch], size: int | None) -> Body:
    """The body that these tell of. `size`: the bytes that passed, if the end told it."""
    if len(stretches) == 1 and stretches[0].offset == 0:
        only = stretches[0]
        if size is None or size == only.end:
            data = only.data[0] if len(only.data) == 1 else _data(only)
            return Body(data, size, [], only.held < only.end, _chunks(only))
    return _join(sorted(stretches, key=attrgetter("offset")), size)


def _data(stretch: Stretch) -> bytes:
    return stretch.data[0] if len(stretch.data) == 1 else b"".join(stretch.data)


def _chunks(stretch: Stretch) -> list[tuple[int, int, int]]:
    if len(stretch.lengths) == 1:
        return [(stretch.offset, stretch.lengths[0], stretch.times_us[0])]
    offsets = accumulate(stretch.lengths, initial=stretch.offset)
    return list(zip(offsets, stretch.lengths, stretch.times_us, strict=False))


def _join(stretches: list[Stretch], size: int | None) -> Body:
    body = Body(size=size)
    data: list[bytes] = []
    told = 0  # the offset up to which the stretches told of chunks
    for stretch in stretches:
        if stretch.offset > told:
            body.gaps.append((told, stretch.offset - told))
        if stretch.end <= told:
            continue  # told already
        fresh = max(0, told - stretch.offset)
        data.append(_data(stretch)[fresh:])
        body.truncated = body.truncated or stretch.held < stretch.end - stretch.offset
        body.chunks += [chunk for chunk in _chunks(stretch) if chunk[0] >= told]
        told = stretch.end
    if size is not None and told < size:
        body.gaps.append((told, size - told))
    if size is not None and size < told:
        body.size = told
    body.data = b"".join(data)
    return body
