"""Puts the stretches of a body together: any order, repeats and gaps allowed."""

from __future__ import annotations

from itertools import accumulate
from operator import attrgetter

from collector.correlate.state import Stretch, Tail
from collector.messages.exchange import Body


def assemble(stretches: list[Stretch] | None, size: int | None, tail: Tail | None = None) -> Body:
    """The body that these tell of. `size`: the bytes that passed, if the end told it. `tail`: its last bytes, if they were told apart."""
    stretches = stretches or []
    if tail is not None:
        return _with_tail(sorted(stretches, key=attrgetter("offset")), size, tail)
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


def _with_tail(stretches: list[Stretch], size: int | None, tail: Tail) -> Body:
    """Head, gap and tail. Where nothing lies between the captured bytes and the tail, there is no gap."""
    body = _join(stretches, max(size or 0, tail.end))
    if size is None:
        body.size = None
    captured = max((stretch.offset + stretch.held for stretch in stretches if stretch.held), default=0)
    start, end = max(tail.offset, captured), tail.end
    if start >= end:
        return body
    body.data += tail.data[start - tail.offset :]
    if start > captured:
        body.cut = (captured, start - captured)
    body.gaps = [rest for gap in body.gaps for rest in _without(gap, start, end)]
    uncaptured = [(stretch.offset + stretch.held, stretch.end) for stretch in stretches]
    body.truncated = any(first < last and not start <= first <= last <= end for first, last in uncaptured)
    return body


def _without(gap: tuple[int, int], start: int, end: int) -> list[tuple[int, int]]:
    """What of a gap does not lie between start and end."""
    first, last = gap[0], sum(gap)
    rest = [(first, min(last, start)), (max(first, end), last)]
    return [(begin, stop - begin) for begin, stop in rest if begin < stop]
