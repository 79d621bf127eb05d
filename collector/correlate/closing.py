"""Makes the closed exchange of an open one, and says how complete it is."""

from __future__ import annotations

from hashlib import blake2b

from collector.correlate import numbers
from collector.correlate.access_log import size_of
from collector.correlate.body import assemble
from collector.correlate.limits import Limits
from collector.correlate.pieces import head_of
from collector.correlate.prints import log_print
from collector.correlate.state import KeyFields, Open, Pieces, Remembered
from collector.messages import flags as envoy
from collector.messages.completeness import INCOMPLETE, Completeness
from collector.messages.exchange import AccessLog, Exchange, Key, Node, Tap
from collector.messages.tap_pb2 import METADATA, NONE, REQUEST, REQUEST_RESPONSE

SWITCHING_PROTOCOLS = 101

_NOBODY: KeyFields = ("", "", b"", 0)
_WITHOUT_REQUESTS, _WITHOUT_RESPONSES, _WITH_REQUESTS = (NONE, METADATA), (NONE, METADATA, REQUEST), (REQUEST, REQUEST_RESPONSE)

# Plain integers: enum arithmetic costs more than all else here.
_COMPLETE = int(Completeness.COMPLETE)
_ACCESS_LOG_MISSING = int(Completeness.ACCESS_LOG_MISSING)
_TAP_MISSING = int(Completeness.TAP_MISSING)
_NOT_TAPPED = int(Completeness.NOT_TAPPED)
_REQUEST_BODY_GAP = int(Completeness.REQUEST_BODY_GAP)
_RESPONSE_BODY_GAP = int(Completeness.RESPONSE_BODY_GAP)
_REQUEST_TRUNCATED = int(Completeness.REQUEST_TRUNCATED)
_RESPONSE_TRUNCATED = int(Completeness.RESPONSE_TRUNCATED)
_CLIENT_ABORTED = int(Completeness.CLIENT_ABORTED)
_UPSTREAM_RESET = int(Completeness.UPSTREAM_RESET)
_UNFINISHED = int(Completeness.UNFINISHED)
_HEADERS_GAP = int(Completeness.HEADERS_GAP)


def close(open_: Open, twin: int, node: Node, expects_tap: bool, expects_access_log: bool) -> Exchange:
    """The exchange as far as it is known now."""
    pieces, log = open_.tap, open_.access_log
    told, tap = _witnesses(pieces, log, expects_tap, expects_access_log), None
    if pieces is not None:
        tap = _tap(pieces, log)
        if _is_blind(pieces, log):
            told |= _NOT_TAPPED
            tap.request.size = tap.response.size = None  # it did not see what passed
        else:
            told |= _bodies(tap) | _headers(pieces)
    told |= _aborts(tap, log)
    if not told & INCOMPLETE:
        told |= _COMPLETE
    exchange = Exchange(_key(open_, twin), open_.revision, node, told, tap, log)
    if open_.problems or (pieces is not None and pieces.problems):
        exchange.problems = _problems(open_)
    if open_.start_us != open_.key[3]:
        exchange.start_told = open_.key[3]
    exchange.lost = open_.lost
    return exchange


def remembered(open_: Open, twin: int, number: int, kept: Open | None, loses: bool = False) -> Remembered:
    """What is remembered of it, for what comes late. `loses`: it is too large to be kept."""
    tap, log = open_.tap, open_.access_log
    made = Remembered(
        open_.key,
        twin,
        open_.revision,
        open_.start_us,
        number,
        (tap.vm, tap.stream) if tap is not None else None,
        log_print(log) if log is not None else None,
        tap is not None and tap.whole,
        open_.gap,
        kept,
        head_of(tap) if loses and tap is not None and not tap.whole else None,
        open_.lost + loses,
    )
    if kept is not None:  # what is written down beside it, and what an open one alone needs, takes no place twice
        kept.serial, kept.key, kept.start_us, kept.heard_at, kept.deadline, kept.settled, kept.gap = 0, _NOBODY, 0, 0, None, 0, None
    return made


def kept_of(open_: Open, completeness: int, keeps: bool, limits: Limits) -> tuple[Open | None, int]:
    """What is kept of a closed one for revisions, and for how long it is remembered (µs)."""
    tap, log = open_.tap, open_.access_log
    kept: Open | None = None
    span = limits.linger_us
    if completeness & INCOMPLETE and keeps:
        kept, span = open_, limits.late_us
        if log is not None and not open_.log_size:
            open_.log_size = size_of(log)
            open_.size += open_.log_size
    if tap is not None and tap.last_index is None:
        span = max(numbers.DAY_US, limits.late_us)  # it may still run, however quiet: what it tells later is a revision
    return kept, span


def _key(open_: Open, twin: int) -> Key:
    """What names it. Where the told start can't be, the told one goes into the twin's number: two of them stay two."""
    sender, node, request_id, told = open_.key
    if open_.start_us != told:
        twin = int.from_bytes(blake2b(f"{told}\0{twin}".encode(), digest_size=8).digest()) >> 1
    return Key(node, request_id, open_.start_us, twin, sender)


def _problems(open_: Open) -> list[str]:
    return list(dict.fromkeys((*(open_.tap.problems if open_.tap is not None else ()), *open_.problems)))


def _is_blind(tap: Pieces, log: AccessLog | None) -> bool:
    """Whether the tap learnt of this stream only when it was over: denied or refused before any filter could see it."""
    if tap.response_headers is not None or tap.request_body or tap.response_body or tap.level == NONE or tap.last_index is None:
        return False
    if tap.request_complete or tap.response_complete:
        return False
    return (log is not None and unseen_by_filters(log)) or not tap.flags & (envoy.CLIENT_ABORTED | envoy.UPSTREAM_RESET)


def unseen_by_filters(log: AccessLog) -> bool:
    """Whether this exchange ended before a filter behind RBAC could see it: a denial, a malformed request, no filter chain."""
    return (
        log.details.startswith(("rbac_access_denied", "filter_chain_not_found"))
        or bool(log.flags & envoy.UNSEEN_BY_FILTERS)
        or (not log.method and bool(log.flags & envoy.BIT["NR"]))
    )


def _witnesses(tap: Pieces | None, log: AccessLog | None, expects_tap: bool, expects_access_log: bool) -> int:
    told = 0
    if log is None and expects_access_log:
        told |= _ACCESS_LOG_MISSING
    if tap is not None and tap.level == NONE:
        told |= _NOT_TAPPED
    elif tap is None and expects_tap:
        told |= _NOT_TAPPED if log is not None and unseen_by_filters(log) else _TAP_MISSING
    if log is None and (tap is None or tap.last_index is None):
        told |= _UNFINISHED
    elif tap is not None and tap.last_index is None:
        told |= _HEADERS_GAP  # its end, and whatever came with it, was lost
    return told


def _bodies(tap: Tap) -> int:
    told = 0
    if tap.level in _WITH_REQUESTS:
        if tap.request.gaps:
            told |= _REQUEST_BODY_GAP
        if tap.request.truncated:
            told |= _REQUEST_TRUNCATED
    if tap.level == REQUEST_RESPONSE:
        if tap.response.gaps:
            told |= _RESPONSE_BODY_GAP
        if tap.response.truncated:
            told |= _RESPONSE_TRUNCATED
    return told


def _headers(pieces: Pieces) -> int:
    """A part that never came held headers, or told of chunks: what it held is not known, so it is a gap in the headers."""
    missing = pieces.spans is not None or pieces.torn  # a part below one that came
    return _HEADERS_GAP if missing or pieces.headers_dropped else 0


def _aborts(tap: Tap | None, log: AccessLog | None) -> int:
    bits = (tap.flags if tap is not None else 0) | (log.flags if log is not None else 0)
    if log is not None and log.status == SWITCHING_PROTOCOLS:
        return 0  # whichever side closes an upgraded connection first, Envoy calls it a reset
    told = 0
    if bits & envoy.CLIENT_ABORTED:
        told |= _CLIENT_ABORTED
    if bits & envoy.UPSTREAM_RESET:
        told |= _UPSTREAM_RESET
    return told


def _tap(pieces: Pieces, log: AccessLog | None) -> Tap:
    """What the tap told. Where its end was lost, the access log says how much passed."""
    ended = pieces.last_index is not None  # as `ended`, without its call; so it is with all that every exchange passes
    request_size = pieces.request_size if ended else log.request_body_bytes if log is not None else None
    response_size = pieces.response_size if ended else log.response_body_bytes if log is not None else None
    request = assemble(pieces.request_body, request_size, pieces.request_tail)
    response = assemble(pieces.response_body, response_size, pieces.response_tail)
    if pieces.level in _WITHOUT_REQUESTS:
        request.gaps, request.truncated, request.cut = [], False, None
    if pieces.level in _WITHOUT_RESPONSES:
        response.gaps, response.truncated, response.cut = [], False, None
    return Tap(
        pieces.vm,
        pieces.stream,
        pieces.level,
        pieces.rule,
        request,
        response,
        pieces.request_headers,
        pieces.request_trailers,
        pieces.response_headers,
        pieces.response_trailers,
        pieces.response_headers_us,
        ended,
        pieces.end_us if ended else None,
        pieces.request_complete,
        pieces.response_complete,
        pieces.flags,
        pieces.code,
        pieces.caller_address,
        pieces.principal,
    )
