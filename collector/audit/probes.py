"""GET /healthz, /readyz and /metrics: what Kubernetes and Prometheus ask."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from collector.audit import documents
from collector.health import Health


def router(health: Health, registry: CollectorRegistry) -> APIRouter:
    """The routes of probes."""
    routes = APIRouter(tags=["operation"])

    @routes.get("/healthz", responses=documents.ALIVE, summary="The process lives")
    async def healthz() -> Response:
        """That this is answered is the answer: the event loop turns."""
        return Response(b'{"ok":true}', media_type="application/json")

    @routes.get("/readyz", responses=documents.READY, summary="Every part works")
    async def readyz() -> Response:
        parts = [component._asdict() for component in health.components()]
        ready = all(part["ok"] for part in parts)
        body = msgspec.json.encode({"ok": ready, "components": parts})
        return Response(body, 200 if ready else 503, media_type="application/json")

    @routes.get("/metrics", responses=documents.METRICS, summary="Prometheus metrics")
    async def metrics(request: Request) -> Response:
        """In OpenMetrics where the client asks for it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return routes
