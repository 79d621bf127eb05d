"""Puts the runs of a body together: any order, repeats and gaps allowed."""

from __future__ import annotations

from itertools import accumulate
from operator import attrgetter

from collector.messages.exchange import Body, Run


def assemble(runs: list[Run], size: int | None) -> Body:
    """The body that these runs tell of. `size`: the bytes that passed, if the end told it."""
    if len(runs) == 1 and runs[0].offset == 0:
        run = runs[0]
        total = sum(run.lengths)
        if size is None or size == total:
            return Body(run.data, size, [], len(run.data) < total, _chunks(run))
    return _join(sorted(runs, key=attrgetter("offset")), size)


def _chunks(run: Run) -> list[tuple[int, int, int]]:
    if len(run.lengths) == 1:
        return [(run.offset, run.lengths[0], run.times_us[0] if run.times_us else 0)]
    offsets = accumulate(run.lengths, initial=run.offset)
    return [(offset, length, at) for offset, length, at in zip(offsets, run.lengths, run.times_us, strict=False)]


def _join(runs: list[Run], size: int | None) -> Body:
    body = Body(size=size)
    data: list[bytes] = []
    told = 0  # the offset up to which the runs told of chunks
    for run in runs:
        end = run.offset + sum(run.lengths)
        if run.offset > told:
            body.gaps.append((told, run.offset - told))
        if end <= told and run.lengths:
            continue  # told already
        fresh = max(0, told - run.offset)
        data.append(run.data[fresh:])
        body.truncated = body.truncated or len(run.data) < end - run.offset
        body.chunks += [chunk for chunk in _chunks(run) if chunk[0] >= told]
        told = max(told, end)
    if size is not None and told < size:
        body.gaps.append((told, size - told))
    if size is not None and size < told:
        body.size = told
    body.data = b"".join(data)
    return body
