"""GET /healthz, /readyz and /metrics: what Kubernetes and Prometheus ask."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.audit import documents
from collector.audit.problems import problem
from collector.health import Health

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class OnlyProbes:
    """An app of which a listener of its own answers the probes and nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PATHS:
            answer = problem(404, "There is nothing but /healthz, /readyz and /metrics on audit.probe_port.")
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
    async def readyz(only: str | None = None) -> Response:
        """`only`: a list of parts, such as `ingest`: the answer is for those."""
        wanted = set(only.split(",")) if only is not None else None
        parts = [component._asdict() for component in health.components() if wanted is None or component.name in wanted]
        if wanted is not None and not parts:
            return problem(503, f"There is no part {only[:80] if only else ''!r} here, or not yet.", headers={"Retry-After": "1"})
        ready = all(part["ok"] for part in parts)
        body = msgspec.json.encode({"ok": ready, "components": parts})
        return Response(body, 200 if ready else 503, media_type="application/json")

    @routes.get("/metrics", responses=documents.METRICS, summary="Prometheus metrics")
    async def metrics(request: Request) -> Response:
        """In OpenMetrics where the client asks for it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return routes
