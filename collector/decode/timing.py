"""Timing from the times of body chunks, in milliseconds since the request's start.

An event happened when the chunk arrived that completed it. With a content-encoding, that is the chunk after which enough decoded bytes
were there. Gaps are between events with content (text, reasoning, tool-call arguments); chunks are not tokens and are not called so.
"""

from collections.abc import Sequence
from itertools import pairwise

from collector.messages.record import InterToken, Timing

Chunk = tuple[int, int, float]


def ordered(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks that hold bytes, by offset."""
    if len(chunks) == 1 and chunks[0][1] > 0:
        return list(chunks)
    kept = [chunk for chunk in chunks if chunk[1] > 0]
    if len(kept) > 1:
        offsets = [chunk[0] for chunk in kept]
        if offsets != sorted(offsets):
            kept.sort()
    return kept


def arrivals(content: Sequence[int], ends: Sequence[int], times: Sequence[float]) -> list[float]:
    """When each of the rising offsets `content` was there: `ends[i]` bytes were at `times[i]`."""
    found: list[float] = []
    at, count = 0, len(ends)
    for offset in content:
        while at < count and ends[at] < offset:
            at += 1
        if at == count:
            break
        found.append(times[at])
    return found


def between(moments: Sequence[float], stall: float) -> tuple[InterToken, int]:
    """Nearest-rank p50 and p95, and the maximum, of the gaps between moments (seconds) in ms; and how many gaps exceed `stall`."""
    gaps = sorted([later - earlier for earlier, later in pairwise(moments)])
    count = len(gaps)
    told: InterToken = {
        "p50": milliseconds(gaps[(count + 1) // 2 - 1]),
        "p95": milliseconds(gaps[-(-count * 95 // 100) - 1]),
        "max": milliseconds(gaps[-1]),
    }
    stalls = 0
    while stalls < count and gaps[-1 - stalls] > stall:
        stalls += 1
    return told, stalls


def milliseconds(seconds: float) -> float:
    """To the microsecond."""
    # The shorter way takes a fifth of the time; beyond a million seconds a float's last digits would show that it is another one.
    return round(seconds * 1e6) / 1000 if -1e6 < seconds < 1e6 else round(seconds * 1000, 3)


def timing(
    chunks: Sequence[Chunk],
    moments: Sequence[float],
    stall: float,
    completion_tokens: float | None,
    duration: float | None,
    upstream_first_byte: float | None,
) -> Timing:
    """The record's `timing`. `moments`: when each event with content was there, for a stream; `chunks` as `ordered` gives them.

    `tokens_per_s` is the pace after the first token: (completion tokens - 1) over the time from the first content to the last.
    """
    told: Timing = {}
    if chunks:
        told["first_byte_ms"] = milliseconds(chunks[0][2])
        told["chunks"] = len(chunks)
    if moments:
        told["first_token_ms"] = milliseconds(moments[0])
    if len(moments) > 1:
        told["inter_token_ms"], told["stall_count"] = between(moments, stall)
        span = moments[-1] - moments[0]
        if completion_tokens is not None and completion_tokens > 1 and span > 0:
            told["tokens_per_s"] = round((completion_tokens - 1) / span, 3)
    if duration is not None:
        told["duration_ms"] = milliseconds(duration)
    if upstream_first_byte is not None:
        told["upstream_first_byte_ms"] = milliseconds(upstream_first_byte)
    return told
