"""Makes the closed exchange of an open one, and says how complete it is."""

from __future__ import annotations

from collector.correlate.body import assemble
from collector.correlate.state import Open, Pieces
from collector.messages.completeness import INCOMPLETE, Completeness
from collector.messages.exchange import AccessLog, Exchange, Key, Node, Tap
from collector.messages.flags import BIT, CLIENT_ABORTED, UNSEEN_BY_FILTERS, UPSTREAM_RESET
from collector.messages.tap_pb2 import METADATA, NONE, REQUEST, REQUEST_RESPONSE


def close(open_: Open, twin: int, node: Node, expects_tap: bool, expects_access_log: bool) -> Exchange:
    """The exchange as far as it is known now."""
    tap = _tap(open_.tap, open_.access_log) if open_.tap is not None else None
    flags = _witnesses(open_, expects_tap, expects_access_log)
    if tap is not None and open_.tap is not None:
        flags |= _bodies(tap) | _headers(open_.tap)
    flags |= _aborts(tap, open_.access_log)
    if not flags & INCOMPLETE:
        flags |= Completeness.COMPLETE
    return Exchange(Key(*open_.key, twin), open_.revision, node, flags, tap, open_.access_log)


def unseen_by_filters(log: AccessLog) -> bool:
    """Whether this exchange ended before a filter behind RBAC could see it: a denial, a malformed request, no filter chain."""
    return (
        log.details.startswith(("rbac_access_denied", "filter_chain_not_found"))
        or bool(log.flags & UNSEEN_BY_FILTERS)
        or (not log.method and bool(log.flags & BIT["NR"]))
    )


def _witnesses(open_: Open, expects_tap: bool, expects_access_log: bool) -> Completeness:
    flags = Completeness(0)
    tap, log = open_.tap, open_.access_log
    if log is None and expects_access_log:
        flags |= Completeness.ACCESS_LOG_MISSING
    if tap is not None and tap.level == NONE:
        flags |= Completeness.NOT_TAPPED
    elif tap is None and expects_tap:
        flags |= Completeness.NOT_TAPPED if log is not None and unseen_by_filters(log) else Completeness.TAP_MISSING
    if log is None and (tap is None or not tap.ended):
        flags |= Completeness.UNFINISHED
    elif tap is not None and not tap.ended:
        flags |= Completeness.HEADERS_GAP  # its end, and whatever came with it, was lost
    return flags


def _bodies(tap: Tap) -> Completeness:
    flags = Completeness(0)
    if tap.level in (REQUEST, REQUEST_RESPONSE):
        if tap.request.gaps:
            flags |= Completeness.REQUEST_BODY_GAP
        if tap.request.truncated:
            flags |= Completeness.REQUEST_TRUNCATED
    if tap.level == REQUEST_RESPONSE:
        if tap.response.gaps:
            flags |= Completeness.RESPONSE_BODY_GAP
        if tap.response.truncated:
            flags |= Completeness.RESPONSE_TRUNCATED
    return flags


def _headers(pieces: Pieces) -> Completeness:
    """A part that never came held headers, or told of chunks: what it held is not known, so it is a gap in the headers."""
    holes = not pieces.whole and pieces.seen & (pieces.seen + 1)  # a missing part below one that came
    return Completeness.HEADERS_GAP if holes or pieces.headers_dropped else Completeness(0)


def _aborts(tap: Tap | None, log: AccessLog | None) -> Completeness:
    bits = (tap.flags if tap is not None else 0) | (log.flags if log is not None else 0)
    flags = Completeness(0)
    if bits & CLIENT_ABORTED:
        flags |= Completeness.CLIENT_ABORTED
    if bits & UPSTREAM_RESET:
        flags |= Completeness.UPSTREAM_RESET
    return flags


def _tap(pieces: Pieces, log: AccessLog | None) -> Tap:
    """What the tap told. Where its end was lost, the access log says how much passed."""
    ended = pieces.ended
    request_size = pieces.request_size if ended else log.request_body_bytes if log is not None else None
    response_size = pieces.response_size if ended else log.response_body_bytes if log is not None else None
    request = assemble(pieces.request_runs, request_size)
    response = assemble(pieces.response_runs, response_size)
    if pieces.level in (NONE, METADATA):
        request.gaps, request.truncated = [], False
    if pieces.level in (NONE, METADATA, REQUEST):
        response.gaps, response.truncated = [], False
    return Tap(
        vm=pieces.vm,
        stream=pieces.stream,
        level=pieces.level,
        rule=pieces.rule,
        request=request,
        response=response,
        request_headers=pieces.request_headers,
        request_trailers=pieces.request_trailers,
        response_headers=pieces.response_headers,
        response_trailers=pieces.response_trailers,
        response_headers_us=pieces.response_headers_us,
        ended=ended,
        end_us=pieces.end_us if ended else None,
        request_complete=pieces.request_complete,
        response_complete=pieces.response_complete,
        flags=pieces.flags,
        code=pieces.code,
    )
