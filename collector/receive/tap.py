"""POST /v1/tap: batches of the tap filter. 200 means durable; every other answer is problem JSON and stores nothing.

4xx: the filter drops the batch and counts it. 503: it posts the batch again. Next stop: the journal.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.requests import Request
from starlette.responses import Response

from collector.errors import BadInputError, OverShareError, RetryableError
from collector.messages.entry import Kind
from collector.messages.tap_pb2 import Batch
from collector.metrics import TapMetrics
from collector.receive import Appender
from collector.receive.admission import Admission
from collector.receive.content import Budget, decompress, read_body, too_large
from collector.receive.identity import EXPECTED, HEADER, NOBODY, REASON, DeniedError, Identities, Token, claim_of_batch, joined
from collector.receive.problem import Refusal, answer_with_problems, problem
from collector.receive.refusals import Count
from collector.receive.shape import has_unknown_level, parse_batch
from collector.receive.shares import early_key
from collector.receive.wire import ExcessError
from collector.settings import Ingest

PATH = "/v1/tap"
CONTENT_TYPE = b"application/x-protobuf"
ACCEPTED = Response()
_IDENTITY = HEADER.encode()
SLOW_SECONDS = 0.5  # before the answer to who sends more than his share: it may come again at once


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
        self._admission = Admission.of(journal)
        self._metrics = metrics
        self._refusals = self._admission.refusals
        self._limit, self._max_parts = settings.max_batch_bytes, settings.max_batch_parts
        self._budget = Budget(settings.max_waiting_bytes)
        self._token = Token(settings.token)
        self._identities = Identities(settings)

    async def post(self, request: Request) -> Response:
        """Raises nothing that the input could cause."""
        try:
            await self._take(request)
        except Refusal as refusal:
            self._metrics.batches[refusal.result].inc()
            return problem(refusal.status, refusal.detail, refusal.headers)
        except DeniedError as error:
            self._metrics.batches["forbidden"].inc()
            self._refusals.add(error.sender, REASON, Count(1, 0, 0), error.sender)
            return problem(403, str(error))
        except RetryableError as error:
            self._metrics.batches["busy"].inc()
            slow = isinstance(error, OverShareError)
            answer = problem(503, str(error), {"retry-after": "1"})
        else:
            return ACCEPTED
        if slow:  # nothing of the batch is held meanwhile
            await asyncio.sleep(SLOW_SECONDS)
        return answer

    async def _take(self, request: Request) -> None:
        sender = self._identities.sender(_identity(request)) if self._identities.checks else NOBODY
        payload, compressed = await self._payload(request, sender.id)
        batch = self._parse(payload, compressed)
        if self._identities.checks:
            self._identities.check(sender, claim_of_batch(batch.node))
        await self._append(payload, batch, sender.id, _peer(request))

    async def _payload(self, request: Request, sender: str) -> tuple[bytes, bool]:
        """The body, and whether it came compressed."""
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        if not self._token.allows(headers.get(b"authorization", b"")):
            raise Refusal(401, "unauthorized", EXPECTED, {"www-authenticate": "Bearer"})
        _check_type(headers.get(b"content-type", b""))
        self._check_length(headers.get(b"content-length", b""))
        key = early_key(sender, _peer(request))
        self._admission.check_before_reading(key)
        body = await read_body(request.receive, self._limit, self._budget, key=key)
        encoding = headers.get(b"content-encoding")
        if encoding is None:
            return body, False
        return decompress(body, encoding.decode("latin-1").strip().lower(), self._limit), True

    async def _append(self, payload: bytes, batch: Batch, sender: str, peer: str) -> None:
        began = perf_counter()
        try:
            await self._admission.append(Kind.TAP, batch.node.id, payload, batch, sender=sender, peer=peer)
        except OverShareError:
            self._refusals.add(batch.node.id, "share", Count(0, 0, len(payload), batches=1), sender)
            raise
        metrics = self._metrics
        metrics.append_seconds.observe(perf_counter() - began)
        metrics.batches["accepted"].inc()
        metrics.bytes.inc(len(payload))
        if has_unknown_level(batch):
            metrics.unknown_levels.inc()

    def _parse(self, payload: bytes, compressed: bool) -> Batch:
        try:
            return parse_batch(payload, self._max_parts, compressed)
        except BadInputError as error:
            raise Refusal(400, "excessive" if isinstance(error, ExcessError) else "malformed", str(error)) from None

    def _check_length(self, length: bytes) -> None:
        if length.isdigit() and int(length[:20]) > self._limit:
            raise too_large(self._limit)


def _peer(request: Request) -> str:
    client = request.scope.get("client")
    return str(client[0]) if client else ""


def _check_type(content_type: bytes) -> None:
    if content_type != CONTENT_TYPE and content_type.partition(b";")[0].strip().lower() != CONTENT_TYPE:
        raise Refusal(
            415,
            "unsupported",
            f"content-type {content_type[:80].decode('latin-1')!r}: expected application/x-protobuf",
            {"accept": CONTENT_TYPE.decode()},
        )


def _identity(request: Request) -> str:
    return joined(value for name, value in request.scope["headers"] if name == _IDENTITY)
