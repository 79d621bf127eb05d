"""Adds a part of a tap batch to what is known of its stream."""

from __future__ import annotations

from typing import Any

from collector.correlate.state import Pieces
from collector.messages.exchange import AccessLog, Run
from collector.messages.flags import CLIENT_ABORTED, UPSTREAM_RESET
from collector.messages.tap_pb2 import REQUEST_BODY, REQUEST_RESPONSE

BASE_BYTES = 600  # what an exchange costs in memory besides its pieces
CHUNK_BYTES = 16  # and each chunk's length and time
_ONE_AT_A_TIME = (1, 2)  # HTTPAccessLogEntry.HTTPVersion HTTP/1.0 and 1.1: a connection carries one exchange at a time
INDEX_LIMIT = 1 << 20  # a part's index beyond this is nonsense: it would cost a bit each


def add(pieces: Pieces, part: Any) -> int:
    """Adds the part, returns the bytes it takes; -1: this part came before."""
    bit = 1 << min(part.index, INDEX_LIMIT)
    if pieces.seen & bit:
        return -1
    pieces.seen |= bit
    pieces.level = part.level or REQUEST_RESPONSE
    if part.rule:
        pieces.rule = part.rule
    size = _headers(pieces, part)
    for run in part.runs:
        data = run.data
        lengths = run.lengths[:]  # faster than list()
        kept = Run(run.offset, data, lengths, run.times_us[:])
        (pieces.request_runs if run.direction == REQUEST_BODY else pieces.response_runs).append(kept)
        size += len(data) + CHUNK_BYTES * len(lengths)
    if part.HasField("end"):
        _end(pieces, part)
    return size


def _headers(pieces: Pieces, part: Any) -> int:
    size = 0
    if part.HasField("request_headers"):
        pieces.request_headers = part.request_headers.map
        size += len(pieces.request_headers)
    if part.HasField("response_headers"):
        pieces.response_headers = part.response_headers.map
        pieces.response_headers_us = part.response_headers.at_us
        size += len(pieces.response_headers)
    if part.HasField("request_trailers"):
        pieces.request_trailers = part.request_trailers.map
        size += len(pieces.request_trailers)
    if part.HasField("response_trailers"):
        pieces.response_trailers = part.response_trailers.map
        size += len(pieces.response_trailers)
    return size


def _end(pieces: Pieces, part: Any) -> None:
    end = part.end
    pieces.last_index = min(part.index, INDEX_LIMIT)
    pieces.end_us = end.at_us
    pieces.request_size = end.request_size
    pieces.response_size = end.response_size
    pieces.request_complete = end.request_complete
    pieces.response_complete = end.response_complete
    pieces.flags = end.response_flags
    pieces.code = end.response_code
    pieces.headers_dropped = end.headers_dropped


def fits(pieces: Pieces, log: AccessLog) -> bool:
    """Whether both tell of one exchange, as far as can be seen: they `may_fit`, and the sizes are equal where neither side broke it off.

    Only exchanges with an equal key are asked, so this tells twins apart; those that only `may_fit` are paired when nothing better came.
    """
    if not may_fit(pieces, log):
        return False
    if (pieces.flags | log.flags) & (CLIENT_ABORTED | UPSTREAM_RESET) or _is_named(pieces, log):
        return True
    if pieces.response_complete and pieces.response_size != log.response_body_bytes:
        return False
    return not pieces.request_complete or pieces.request_size == log.request_body_bytes


def may_fit(pieces: Pieces, log: AccessLog) -> bool:
    """False where both certainly tell of different exchanges: other callers, or other paths where the caller does not name the exchange."""
    if pieces.caller_address and pieces.caller_address != log.caller_address:
        return False
    return (
        pieces.request_headers is None
        or _is_named(pieces, log)
        or log.path.encode("utf-8", "surrogateescape") + b"\0" in pieces.request_headers
    )


def _is_named(pieces: Pieces, log: AccessLog) -> bool:
    """Whether an equal caller is proof enough: the tap tells the caller, whose connection carries nothing else meanwhile."""
    return bool(pieces.caller_address) and log.protocol in _ONE_AT_A_TIME
