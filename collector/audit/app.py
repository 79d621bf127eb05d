"""The audit API as an ASGI application: routes over the SQL store, and what stands around them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look_writer import LookWriter
from collector.audit import access, bodies, calls, events, exchanges, ledger, manual, probes, problems, services
from collector.audit.description import tidy
from collector.audit.hosts import Hosts
from collector.audit.looks import Looks
from collector.audit.parameters import once
from collector.audit.services import Known
from collector.audit.shield import Faults, Meter, SecurityHeaders
from collector.audit.turns import Turns
from collector.clock import Clock
from collector.health import Health
from collector.settings import Audit

DESCRIPTION = """What passed through the mesh, and what of it was lost.

Every parameter is checked: an unknown, repeated or malformed one is answered with 400, never passed over.
Lists come in pages: follow `next` with `cursor` until it is absent. Errors are problem JSON (RFC 9457).
Stored bodies are served as downloads only.
"""


class AuditApp(FastAPI):
    """The framework, with a description that says what the API does and no more."""

    def openapi(self) -> dict[str, Any]:
        description = super().openapi()
        tidy(description)
        return description


def create_app(
    engine: AsyncEngine,
    health: Health,
    registry: CollectorRegistry,
    settings: Audit,
    clock: Clock,
    known: Known | None = None,
    looks: LookWriter | None = None,
    reason_required: bool = False,
) -> FastAPI:
    """The application. It only reads, but for who looked; the caller disposes of the engine. The registry also gets the API's own metrics.

    `known`: the catalogue of services, in a process that has one. `looks`: writes down who looked. `reason_required`: who looks at what
    was asked or answered in one exchange must say why.
    """
    app = AuditApp(
        title="Meshscribe audit API",
        version=version("meshscribe"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in (
        exchanges.router(engine, settings, clock),
        bodies.router(engine),
        events.router(engine),
        calls.router(engine, clock),
        services.router(known, settings),
        ledger.router(engine, settings, clock),
        access.router(engine, settings, clock),
    ):
        app.include_router(routes, dependencies=[Depends(once)])
    app.include_router(probes.router(health, registry))
    app.include_router(manual.router())
    problems.install(app)
    app.add_middleware(Faults)
    app.add_middleware(Turns, settings=settings, clock=clock)
    app.add_middleware(Hosts, names=settings.hosts)
    app.state.reason_required = reason_required
    if looks is not None:
        app.add_middleware(Looks, writer=looks, clock=clock)
    app.add_middleware(Meter, registry=registry)
    app.add_middleware(SecurityHeaders)
    return app
