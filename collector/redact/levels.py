"""What the tap's level leaves of bodies: of one that it leaves out nothing is kept or decoded, even if a proxy sent it."""

from __future__ import annotations

from msgspec import structs

from collector.messages.captured import Captured, Tail
from collector.messages.exchange import Body, Tap
from collector.messages.headers import Headers
from collector.messages.seen import Seen
from collector.messages.tap_pb2 import METADATA, REQUEST, REQUEST_RESPONSE
from collector.messages.times import is_span

DECODED = (METADATA, REQUEST, REQUEST_RESPONSE)
WITH_REQUEST = (REQUEST, REQUEST_RESPONSE)


def bodies(tap: Tap) -> tuple[Body, Body]:
    """The bodies of the request and of the response as far as the level goes."""
    if tap.level == REQUEST_RESPONSE:
        return tap.request, tap.response
    return _body(tap.request, tap.level in WITH_REQUEST), _body(tap.response, False)


def captured(seen: Seen, tap: Tap, path: str | None, asked: Headers, answered: Headers, trailers: Headers) -> Captured:
    """What the decoder may read before rules are applied, with these headers."""
    log = seen.exchange.access_log
    upstream = log.upstream_first_byte_us if log is not None else None
    return Captured(
        method=seen.method or "",
        path=path or "",
        status=seen.status,
        request_headers=asked,
        request_body=tap.request.prefix if tap.level in WITH_REQUEST else b"",
        request_whole=_is_whole(tap.request, tap.level in WITH_REQUEST, tap.request_complete),
        response_headers=answered,
        response_trailers=trailers,
        response_body=tap.response.prefix if tap.level == REQUEST_RESPONSE else b"",
        response_whole=_is_whole(tap.response, tap.level == REQUEST_RESPONSE, tap.response_complete),
        chunks=[(offset, length, at / 1e6) for offset, length, at in tap.response.chunks],
        duration=None if seen.duration_us is None else seen.duration_us / 1e6,
        upstream_first_byte=upstream / 1e6 if upstream is not None and is_span(upstream) else None,
        request_tail=_tail(tap.request, tap.level in WITH_REQUEST, tap.request_complete),
        response_tail=_tail(tap.response, tap.level == REQUEST_RESPONSE, tap.response_complete),
        response_unseen=not tap.ended or tap.level != REQUEST_RESPONSE or bool(tap.response.missing or tap.response.truncated),
    )


def cut(tap: Tap) -> tuple[bool, bool]:
    """Of the request's and of the response's body: whether some of its bytes were captured, but not all that passed."""
    asked, answered = tap.request, tap.response
    if not (asked.gaps or asked.cut or asked.truncated or answered.gaps or answered.cut or answered.truncated):
        return False, False
    return _is_cut(tap.request, tap.level in WITH_REQUEST), _is_cut(tap.response, tap.level == REQUEST_RESPONSE)


def _body(body: Body, kept: bool) -> Body:
    return body if kept or not body.data else structs.replace(body, data=b"")


def _is_whole(body: Body, kept: bool, complete: bool) -> bool:
    if body.data and not kept:
        return False
    return complete and not body.missing and not body.truncated


def _tail(body: Body, kept: bool, complete: bool) -> Tail | None:
    """The end of a body of which bytes before it are missing."""
    if not kept or not (body.gaps or body.cut):
        return None
    offset, data = body.tail
    return Tail(offset, data, complete) if data else None


def _is_cut(body: Body, kept: bool) -> bool:
    return kept and bool(body.data) and bool(body.missing or body.truncated)
