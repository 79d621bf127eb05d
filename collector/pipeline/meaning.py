"""Joins the pure stages between correlate and describe: what an exchange meant (decode) and whose it was (enrich)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from collector.decode import Captured, Decoded, decode
from collector.decode.usage import Estimator
from collector.describe.hops import Billing
from collector.describe.manner import Consumers, Manner
from collector.describe.record import Seen
from collector.enrich.attach import attach
from collector.enrich.catalogue import Catalogue
from collector.enrich.match import ProxyFacts, match, proxy_type_of
from collector.errors import blamed
from collector.messages.exchange import Body, Tap
from collector.messages.secrets import REDACTED
from collector.messages.tap_pb2 import METADATA, NONE, REQUEST, REQUEST_RESPONSE
from collector.messages.times import is_span
from collector.pipeline.tokenizers import open_estimator
from collector.redact import Rules, conceal
from collector.redact.bodies import ALL
from collector.settings import Settings
from collector.settings.meaning import read_key

_NOTHING = Body()
_PLAINLY = Manner()


class ExchangeMeaning:
    """Asks the decoder and the catalogue. Both are pure and bounded; neither raises, whatever the exchange holds."""

    def __init__(
        self,
        catalogue: Catalogue,
        logger_mode: str = "ignore",
        *,
        manner: Manner = _PLAINLY,
        rules: Rules | None = None,
        estimator: Estimator | None = None,
    ) -> None:
        """`logger_mode`: the setting services.logger_mode. `rules`: what is hidden of bodies."""
        self._catalogue, self._logger_mode = catalogue, logger_mode
        self._manner, self._rules, self._estimator = manner, rules or None, estimator

    @classmethod
    def of(cls, settings: Settings, catalogue: Catalogue) -> ExchangeMeaning:
        """As the settings say. Raises SettingsError: a tokenizer cannot be opened."""
        usage, hidden = settings.usage, settings.redaction
        billing = Billing(frozenset(usage.billable_hops), True) if usage.billable_hops else Billing()
        key = read_key(usage.consumer_key_file) if usage.consumer_key_file else None
        consumers = Consumers(usage.consumer_headers, key) if usage.consumer_headers else None
        return cls(
            catalogue,
            settings.services.logger_mode,
            manner=Manner(billing, consumers),
            rules=Rules(hidden.paths, hidden.patterns, read_key(hidden.key_file) if hidden.key_file else None),
            estimator=open_estimator(usage.tokenizers),
        )

    @property
    def hides(self) -> bool:
        """See stages.Meaning."""
        return self._rules is not None or self._manner.consumers is not None

    def decode(self, seen: Seen) -> dict[str, Any]:
        """See stages.Meaning. Nothing without a tap: an access log knows no meaning. From here on `seen` is told as the operator wants
        it: with the consumer's hash for its key, and without what rules hide of its bodies.
        """
        seen.tell(self._manner)
        tap = seen.exchange.tap
        if tap is None or tap.level not in (METADATA, REQUEST, REQUEST_RESPONSE):
            return {}
        try:
            decoded = self._decoded(seen, tap)
        except Exception as error:  # noqa: BLE001 - a decoder that fails leaves the record, and the raw body where nothing is to be hidden
            return {"problems": self._undecoded(seen, tap, blamed(error))}
        found: dict[str, Any] = {"inference": decoded.inference, "usage": decoded.usage, "timing": decoded.timing}
        if decoded.problems:
            found["problems"] = decoded.problems
        return found

    def _decoded(self, seen: Seen, tap: Tap) -> Decoded:
        asked_cut = _is_cut(tap.request, tap.level in (REQUEST, REQUEST_RESPONSE))
        answered_cut = _is_cut(tap.response, tap.level == REQUEST_RESPONSE)
        # What was delivered beyond the capture cannot be counted.
        estimator = None if answered_cut or asked_cut else self._estimator
        if self._rules is None:
            return decode(captured(seen), estimator=estimator)
        concealed = conceal(captured(seen), self._rules, (asked_cut, answered_cut), estimator=estimator)
        for side, kept in (("request", concealed.request), ("response", concealed.response)):
            if kept.redacted:
                seen.redact(side, kept.data, kept.redacted)
        if self._rules.patterns:
            seen.response_headers = _without_texts(seen.response_headers, self._rules)
            seen.response_trailers = _without_texts(seen.response_trailers, self._rules)
        return concealed.decoded

    def _undecoded(self, seen: Seen, tap: Tap, fault: str) -> list[str]:
        """Problems of an exchange that could not be read. With rules nothing is known to be free of what they hide."""
        if self._rules is None:
            return [f"the decoder failed: {fault}"]
        for side, body in (("request", tap.request), ("response", tap.response)):
            if body.data:
                seen.redact(side, b"", ALL)
        seen.response_headers, seen.response_trailers = _untold(seen.response_headers), _untold(seen.response_trailers)
        return [f"the decoder failed, so that bodies are withheld: {fault}"]

    def enrich(self, seen: Seen) -> dict[str, Any]:
        """See stages.Meaning."""
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
        upstream_first_byte=upstream / 1e6 if upstream is not None and is_span(upstream) else None,
    )


def _is_cut(body: Body, kept: bool) -> bool:
    """Whether some of its bytes were captured, but not all that passed."""
    return kept and bool(body.data) and bool(body.gaps or body.truncated)


def _without_texts(headers: list[tuple[str, str]], rules: Rules) -> list[tuple[str, str]]:
    """gRPC tells its errors here, and they may quote what was asked."""
    return [(name, rules.patterns.sub(unquote(value)) if name == "grpc-message" else value) for name, value in headers]


def _untold(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, REDACTED if name == "grpc-message" else value) for name, value in headers]


def _kept(body: Body, kept: bool, complete: bool) -> tuple[bytes, bool]:
    """The bytes of a body that may be read, and whether they are all of it."""
    if body.data and not kept:
        return b"", False
    return body.prefix, complete and not body.gaps and not body.truncated
