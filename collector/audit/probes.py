"""GET /healthz, /readyz, /readyz/ingest and /metrics: what Kubernetes and Prometheus ask."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.audit import documents
from collector.audit.problems import problem
from collector.health import Component, Health

INGEST = ("process", "ingest")  # the components that say whether what proxies send is taken
PATHS = frozenset({"/healthz", "/readyz", "/readyz/ingest", "/metrics"})


class OnlyProbes:
    """An app of which a listener of its own answers the probes and nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PATHS:
            answer = problem(404, "There is nothing but /healthz, /readyz, /readyz/ingest and /metrics on audit.probe_port.")
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def router(health: Health, registry: CollectorRegistry) -> APIRouter:
    """The routes of probes."""
    routes = APIRouter(tags=["operation"])

    @routes.get("/healthz", responses=documents.ALIVE, summary="The process lives")
    async def healthz() -> Response:
        """That this is answered is the answer: the event loop turns."""
        return Response(b'{"ok":true}', media_type="application/json")

    @routes.get("/readyz", responses=documents.READY, summary="Every part works")
    async def readyz() -> Response:
        return _ready(health.components())

    @routes.get("/readyz/ingest", responses=documents.READY, summary="Proxies may send here")
    async def ingest() -> Response:
        """Also while the store is away: the journal keeps what comes, and says what it cannot."""
        return _ready([component for component in health.components() if component.name in INGEST])

    @routes.get("/metrics", responses=documents.METRICS, summary="Prometheus metrics")
    async def metrics(request: Request) -> Response:
        """In OpenMetrics where the client asks for it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return routes


def _ready(components: Sequence[Component]) -> Response:
    parts = [component._asdict() for component in components]
    ready = bool(parts) and all(part["ok"] for part in parts)
    body = msgspec.json.encode({"ok": ready, "components": parts})
    return Response(body, 200 if ready else 503, media_type="application/json")
