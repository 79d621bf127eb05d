"""Joins the pure stages between correlate and describe: what an exchange meant (decode) and whose it was (enrich)."""

from __future__ import annotations

from typing import Any

from collector.decode import Captured, decode
from collector.describe.record import Seen
from collector.enrich.attach import attach
from collector.enrich.catalogue import Catalogue
from collector.enrich.match import ProxyFacts, match, proxy_type_of
from collector.messages.exchange import Body
from collector.messages.tap_pb2 import METADATA, NONE, REQUEST, REQUEST_RESPONSE

_NOTHING = Body()


class ExchangeMeaning:
    """Asks the decoder and the catalogue. Both are pure and bounded; neither raises, whatever the exchange holds."""

    def __init__(self, catalogue: Catalogue, logger_mode: str = "ignore") -> None:
        """`logger_mode`: the setting services.logger_mode."""
        self._catalogue, self._logger_mode = catalogue, logger_mode

    def decode(self, seen: Seen) -> dict[str, Any]:
        """See pipeline.Meaning. Nothing without a tap: an access log knows no meaning."""
        tap = seen.exchange.tap
        if tap is None or tap.level not in (METADATA, REQUEST, REQUEST_RESPONSE):
            return {}
        decoded = decode(captured(seen))
        found: dict[str, Any] = {"inference": decoded.inference, "usage": decoded.usage, "timing": decoded.timing}
        if decoded.problems:
            found["problems"] = decoded.problems
        return found

    def enrich(self, seen: Seen) -> dict[str, Any]:
        """See pipeline.Meaning."""
        exchange = seen.exchange
        log = exchange.access_log
        facts = ProxyFacts(
            proxy_type=proxy_type_of(exchange.node.id),
            namespace=exchange.node.namespace,
            labels=exchange.node.labels,
            upstream_cluster=log.upstream_cluster if log else "",
            authority=seen.authority or "",
            route_name=log.route if log else "",
            path=seen.path or "",
        )
        found = match(facts, self._catalogue.knows)
        version = self._catalogue.as_of(found.namespace, found.name, exchange.key.start_us, found.kind) if found.matched else None
        return attach(found, version, self._logger_mode)


def captured(seen: Seen) -> Captured:
    """What the decoder is given of an exchange with a tap: never a body that its level leaves out, even if one was sent."""
    exchange = seen.exchange
    tap, log = exchange.tap, exchange.access_log
    level = tap.level if tap is not None else NONE
    request, response = (tap.request, tap.response) if tap is not None else (_NOTHING, _NOTHING)
    asked, asked_whole = _kept(request, level in (REQUEST, REQUEST_RESPONSE), tap is not None and tap.request_complete)
    answered, answered_whole = _kept(response, level == REQUEST_RESPONSE, tap is not None and tap.response_complete)
    upstream = log.upstream_first_byte_us if log is not None else None
    return Captured(
        method=seen.method or "",
        path=seen.path or "",
        status=seen.status,
        request_headers=seen.request_headers,
        request_body=asked,
        request_whole=asked_whole,
        response_headers=seen.response_headers,
        response_trailers=seen.response_trailers,
        response_body=answered,
        response_whole=answered_whole,
        chunks=[(offset, length, at / 1e6) for offset, length, at in response.chunks],
        duration=None if seen.duration_us is None else seen.duration_us / 1e6,
        upstream_first_byte=None if upstream is None else upstream / 1e6,
    )


def _kept(body: Body, kept: bool, complete: bool) -> tuple[bytes, bool]:
    """The bytes of a body that may be read, and whether they are all of it."""
    if body.data and not kept:
        return b"", False
    return body.prefix, complete and not body.gaps and not body.truncated
