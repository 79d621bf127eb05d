"""An exchange with its header blocks read, once for all that need it; bodies are not touched.

Nothing is hidden in it and nothing changes it: what may be stored of it only `collector/redact` says. Next stop: redact.
"""

from __future__ import annotations

from collector.errors import BadInputError
from collector.messages import headers
from collector.messages.exchange import AccessLog, Exchange, Tap
from collector.messages.headers import Headers
from collector.messages.times import is_span, of_epoch

_NO_LOG = AccessLog()


class Seen:
    """`method`, `path` (with its query), `status` (that the client got), `authority`, `duration_us` (first byte of the request to last of
    the response) and `flags` (Envoy's response flags) are as the better witness gave them; absent if none did, or if it gave what none
    can be. `request` and `response` map header names to their first value. `by_log` names the header blocks that only the access log
    has.
    """

    __slots__ = (
        "authority",
        "by_log",
        "duration_us",
        "exchange",
        "flags",
        "method",
        "path",
        "problems",
        "request",
        "request_headers",
        "request_id",
        "request_trailers",
        "response",
        "response_headers",
        "response_trailers",
        "start_us",
        "status",
    )

    def __init__(self, exchange: Exchange) -> None:
        tap, log = exchange.tap, exchange.access_log or _NO_LOG
        self.exchange = exchange
        self.problems: list[str] = list(exchange.problems)
        self.by_log: tuple[str, ...] = ()
        asked: Headers = []
        answered: Headers = []
        sent: Headers = []
        trailers: Headers = []
        if tap is not None:
            asked = self._block(tap.request_headers)
            if tap.request_trailers is not None:
                sent = self._block(tap.request_trailers)
            answered = self._block(tap.response_headers)
            if tap.response_trailers is not None:
                trailers = self._block(tap.response_trailers)
        if log.request_headers:
            asked = asked or self._logged("request_headers", log.request_headers)
        if log.response_headers:
            answered = answered or self._logged("response_headers", log.response_headers)
        if log.response_trailers:
            trailers = trailers or self._logged("response_trailers", log.response_trailers)
        self.request_headers, self.response_headers = asked, answered
        self.request_trailers, self.response_trailers = sent, trailers
        self.request = request = dict(asked[::-1])
        self.response = dict(answered[::-1])
        self.request_id = exchange.key.request_id.decode("utf-8", "replace")
        self.method: str | None = log.method or request.get(":method")
        self.path: str | None = request.get(":path") or log.path or None
        self.authority: str | None = log.authority or request.get(":authority")
        self.status = self._status(log, tap)
        self.duration_us = duration = log.duration_us if log.duration_us is not None or tap is None else tap.end_us
        if duration is not None and not is_span(duration):
            self.duration_us = None
            self.problems.append("a duration that is none (less than nothing, or of centuries) is left out")
        self.start_us = of_epoch(exchange.key.start_us)
        if self.start_us != exchange.key.start_us:
            self.problems.append("the request's start is no time between 1970 and 9999: it is told as 1970")
        self.flags = log.flags | (tap.flags if tap is not None else 0)
        if tap is not None and tap.principal and log.principal and tap.principal != log.principal:
            self.problems.append(f"the tap names another caller than the access log: {tap.principal}")

    def _status(self, log: AccessLog, tap: Tap | None) -> int | None:
        """What the client got, a number of three digits, by the first witness that has one."""
        if 100 <= log.status <= 999:
            return log.status
        header = self.response.get(":status")
        if header is not None and len(header) == 3 and header.isascii() and header.isdigit() and header >= "100":
            status: int | None = int(header)
        else:
            status = tap.code if tap is not None and 100 <= tap.code <= 999 else None
        if log.status or (status is None and (header or (tap is not None and tap.code))):
            self.problems.append("a response status that is no number of three digits is left out")
        return status

    def _block(self, block: bytes | None) -> Headers:
        if block is None:
            return []
        try:
            return headers.pairs(block)
        except BadInputError as error:
            self.problems.append(str(error))
            return []

    def _logged(self, block: str, named: dict[str, str]) -> Headers:
        """Headers that the access log carries, as the mesh's configuration lists them."""
        self.by_log += (block,)
        return list(named.items())
