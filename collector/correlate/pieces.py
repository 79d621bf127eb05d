"""Adds a part of a tap batch to what is known of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from collector.correlate import numbers
from collector.correlate.spans import mark
from collector.correlate.state import Pieces, Stretch, Tail
from collector.messages.tap_pb2 import REQUEST_BODY, REQUEST_RESPONSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.messages import tap_pb2

# What things cost in memory besides their bytes (tests/correlate/test_memory.py measures it).
BASE_BYTES = 1500  # an exchange
STRETCH_BYTES = 400  # a stretch of a body
CHUNK_BYTES = 80  # a chunk's length and time
TEXT_BYTES = 56  # a text, or a piece of data
_HEAD_BYTES = 500  # a stream without its bodies
_MAX, _CENTURY_US = numbers.MAX, numbers.CENTURY_US


def add(pieces: Pieces, part: tap_pb2.Part, ends: bool) -> int:
    """Adds the part, returns the bytes it takes; -1: this part came before. `ends`: it holds the stream's end."""
    size = 0
    if part.index == pieces.next and pieces.spans is None:
        pieces.next += 1  # in order, as nearly all are
    else:
        size = mark(pieces, part.index)
        if size < 0:
            return -1
    pieces.level = part.level or REQUEST_RESPONSE
    if rule := part.rule:
        pieces.rule = rule
        size += len(rule)
    if principal := part.principal:
        pieces.principal = principal
        size += len(principal)
    size += _headers(pieces, part)
    size += _runs(pieces, part.runs)
    if part.HasField("request_tail"):
        pieces.request_tail, more = _tail(pieces, pieces.request_tail, part.request_tail)
        size += more
    if part.HasField("response_tail"):
        pieces.response_tail, more = _tail(pieces, pieces.response_tail, part.response_tail)
        size += more
    if ends:
        _end(pieces, part)
    return size


def head_of(pieces: Pieces) -> Pieces:
    """The stream without its bodies."""
    return structs.replace(pieces, request_body=None, response_body=None, request_tail=None, response_tail=None)


def size_of_head(pieces: Pieces) -> int:
    """Bytes that a stream without bodies takes."""
    blocks = (pieces.request_headers, pieces.request_trailers, pieces.response_headers, pieces.response_trailers)
    texts = len(pieces.rule) + len(pieces.principal) + len(pieces.caller_address)
    return _HEAD_BYTES + texts + sum(len(block) for block in blocks if block is not None) + 32 * len(pieces.spans or ())


def _tail(pieces: Pieces, held: Tail | None, told: tap_pb2.Tail) -> tuple[Tail | None, int]:
    """A body's tail, and the bytes it takes more. Told twice, which no filter does, the same one is kept in any order."""
    tail = Tail(told.offset, told.data)
    if not tail.data or tail.end > _MAX:
        _refuse(pieces, len(tail.data))
        return held, 0
    if held is None:
        return tail, len(tail.data) + STRETCH_BYTES
    kept = max(held, tail, key=lambda one: (one.end, len(one.data), one.data))
    return kept, max(0, len(kept.data) - len(held.data))


def _headers(pieces: Pieces, part: tap_pb2.Part) -> int:
    size = 0
    if part.HasField("request_headers"):
        pieces.request_headers = block = part.request_headers.map
        size += len(block)
    if part.HasField("response_headers"):
        told = part.response_headers  # each look at a member of a part makes an object: one is enough
        pieces.response_headers, at_us = told.map, told.at_us
        pieces.response_headers_us = at_us if at_us <= _CENTURY_US else _span(pieces, at_us)
        size += len(pieces.response_headers)
    if part.HasField("request_trailers"):
        pieces.request_trailers = part.request_trailers.map
        size += len(pieces.request_trailers)
    if part.HasField("response_trailers"):
        pieces.response_trailers = part.response_trailers.map
        size += len(pieces.response_trailers)
    return size


def _runs(pieces: Pieces, runs: Sequence[tap_pb2.Run]) -> int:
    """Takes runs of chunks in, each joined with the stretch that it continues. Returns the bytes they take."""
    size = 0
    for run in runs[:]:  # taken out at once: whoever goes through them pays for finding that there is no more
        offset, data = run.offset, run.data
        lengths, times = run.lengths[:], run.times_us[:]  # faster than list()
        count, held = len(lengths), len(data)
        total, latest = (lengths[0], times[0]) if count == 1 == len(times) else (sum(lengths), max(times, default=0))
        end = offset + total
        if not count or end > _MAX or held > total or len(times) != count or latest > _CENTURY_US:
            if not count or end > _MAX:
                _refuse(pieces, count)
                continue
            data = data[:total]  # bytes beyond are not said to have passed
            held, times = len(data), _times(pieces, times, count)
        size += held + CHUNK_BYTES * count
        body = _body(pieces, run.direction)
        if body and (last := body[-1]).end == offset and (not held or last.held == last.end - last.offset):
            last.end = end
            last.lengths += lengths
            last.times_us += times
            if held:
                last.data.append(data)
                last.held += held
                size += TEXT_BYTES
        else:
            body.append(Stretch(offset, end, held, [data], lengths, times))
            size += STRETCH_BYTES
    return size


def _body(pieces: Pieces, direction: int) -> list[Stretch]:
    """The stretches of this direction's body."""
    if direction == REQUEST_BODY:
        body = pieces.request_body
        if body is None:
            body = pieces.request_body = []
        return body
    body = pieces.response_body
    if body is None:
        body = pieces.response_body = []
    return body


def _refuse(pieces: Pieces, chunks: int) -> None:
    if chunks:
        _problem(pieces, numbers.OFFSET_REFUSED)


def _times(pieces: Pieces, times: list[int], count: int) -> list[int]:
    """As many times as there are chunks, none beyond a century."""
    if any(time > _CENTURY_US for time in times):
        _problem(pieces, numbers.TIME_CUT)
    return [min(time, _CENTURY_US) for time in (times + [0] * count)[:count]]


def _end(pieces: Pieces, part: tap_pb2.Part) -> None:
    end = part.end
    pieces.last_index = part.index
    at: int | None
    request: int | None
    response: int | None
    at, request, response, code = end.at_us, end.request_size, end.response_size, end.response_code
    if at > _CENTURY_US or request > _MAX or response > _MAX or (code and not 100 <= code <= 999):
        at, request, response, code = _known(pieces, at, request, response, code)
    pieces.end_us = at
    pieces.request_size = request
    pieces.response_size = response
    pieces.request_complete = end.request_complete
    pieces.response_complete = end.response_complete
    pieces.flags = end.response_flags
    pieces.code = code
    pieces.headers_dropped = end.headers_dropped


def _known(pieces: Pieces, at: int, request: int, response: int, code: int) -> tuple[int | None, int | None, int | None, int]:
    """These numbers, absent (the status: 0) where they can't be."""
    if request > _MAX or response > _MAX:
        _problem(pieces, numbers.SIZE_UNKNOWN)
    if code and not 100 <= code <= 999:
        _problem(pieces, numbers.STATUS_UNKNOWN)
        code = 0
    return _span(pieces, at), request if request <= _MAX else None, response if response <= _MAX else None, code


def _span(pieces: Pieces, told: int) -> int | None:
    if told > _CENTURY_US:
        _problem(pieces, numbers.DURATION_UNKNOWN)
        return None
    return told


def _problem(pieces: Pieces, text: str) -> None:
    if text not in pieces.problems:
        pieces.problems += (text,)
