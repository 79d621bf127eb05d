"""POST /v1/tap: batches of the tap filter. 200 means durable; every other answer is problem JSON and stores nothing.

4xx: the filter drops the batch and counts it. 503: it posts the batch again. Next stop: the journal.
"""

from __future__ import annotations

import hmac
from time import perf_counter

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.requests import Request
from starlette.responses import Response

from collector.errors import BadInputError, RetryableError
from collector.messages.entry import Kind
from collector.messages.tap_pb2 import Batch
from collector.metrics import TapMetrics
from collector.receive import Appender
from collector.receive.content import Budget, decompress, read_body, too_large
from collector.receive.problem import Refusal, answer_with_problems, problem
from collector.receive.shape import has_unknown_level, parse_batch
from collector.settings import Ingest

PATH = "/v1/tap"
CONTENT_TYPE = b"application/x-protobuf"
ACCEPTED = Response()


def create_ingest_app(journal: Appender, metrics: TapMetrics, settings: Ingest) -> FastAPI:
    """The ingest listener's HTTP app. It describes itself to nobody: no docs, no schema."""
    # Telemetry off: looking whether it is wanted costs as much as parsing a small batch, and /metrics tells what there is to tell.
    telemetry: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
    app = FastAPI(title="Meshscribe ingest", openapi_url=None, redirect_slashes=False, telemetry=telemetry)
    app.include_router(tap_router(journal, metrics, settings))
    answer_with_problems(app)
    return app


def tap_router(journal: Appender, metrics: TapMetrics, settings: Ingest) -> APIRouter:
    """The route alone, for an app that has others."""
    router = APIRouter(redirect_slashes=False)
    # A plain route: FastAPI's own resolves dependencies and response models, which costs more than all that is done here.
    router.add_route(PATH, TapReceiver(journal, metrics, settings).post, methods=["POST"], include_in_schema=False)
    return router


class TapReceiver:
    """Checks and appends one batch per request."""

    def __init__(self, journal: Appender, metrics: TapMetrics, settings: Ingest) -> None:
        self._journal = journal
        self._metrics = metrics
        self._limit = settings.max_batch_bytes
        self._budget = Budget(settings.max_waiting_bytes)
        token = settings.token.get_secret_value() if settings.token else None
        self._bearer = token.encode() if token else None

    async def post(self, request: Request) -> Response:
        """Raises nothing that the input could cause."""
        try:
            payload = await self._payload(request)
            await self._append(payload, _parse(payload))
        except Refusal as refusal:
            self._metrics.batches[refusal.result].inc()
            return problem(refusal.status, refusal.detail, refusal.headers)
        except RetryableError as error:
            self._metrics.batches["busy"].inc()
            return problem(503, str(error), {"retry-after": "1"})
        return ACCEPTED

    async def _payload(self, request: Request) -> bytes:
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        self._check_token(headers.get(b"authorization", b""))
        _check_type(headers.get(b"content-type", b""))
        self._check_length(headers.get(b"content-length", b""))
        body = await read_body(request.receive, self._limit, self._budget)
        encoding = headers.get(b"content-encoding")
        return body if encoding is None else decompress(body, encoding.decode("latin-1").strip().lower(), self._limit)

    async def _append(self, payload: bytes, batch: Batch) -> None:
        began = perf_counter()
        await self._journal.append(Kind.TAP, batch.node.id, payload, batch)
        metrics = self._metrics
        metrics.append_seconds.observe(perf_counter() - began)
        metrics.batches["accepted"].inc()
        metrics.bytes.inc(len(payload))
        if has_unknown_level(batch):
            metrics.unknown_levels.inc()

    def _check_token(self, authorization: bytes) -> None:
        if self._bearer is None:
            return
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._bearer):
            raise Refusal(401, "unauthorized", "expected the token of ingest.token as a bearer token", {"www-authenticate": "Bearer"})

    def _check_length(self, length: bytes) -> None:
        if length.isdigit() and int(length[:20]) > self._limit:
            raise too_large(self._limit)


def _check_type(content_type: bytes) -> None:
    if content_type != CONTENT_TYPE and content_type.partition(b";")[0].strip().lower() != CONTENT_TYPE:
        raise Refusal(
            415,
            "unsupported",
            f"content-type {content_type[:80].decode('latin-1')!r}: expected application/x-protobuf",
            {"accept": CONTENT_TYPE.decode()},
        )


def _parse(payload: bytes) -> Batch:
    try:
        return parse_batch(payload)
    except BadInputError as error:
        raise Refusal(400, "malformed", str(error)) from None
