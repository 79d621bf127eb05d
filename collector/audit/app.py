"""The audit API as an ASGI application: routes over the SQL store, and what stands around them."""

from __future__ import annotations

from importlib.metadata import version
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look_writer import LookWriter
from collector.access.open import Opened
from collector.audit import access as looked
from collector.audit import (
    assets,
    bodies,
    calls,
    conversations,
    events,
    exchanges,
    export,
    facets,
    histogram,
    ledger,
    ledger_map,
    login,
    probes,
    problems,
    services,
    tail,
    usage,
)
from collector.audit.bodiless import Heads
from collector.audit.compressed import Compressed
from collector.audit.description import tidy
from collector.audit.guard import Guard, OpenToAll
from collector.audit.hosts import Hosts
from collector.audit.looks import Looks
from collector.audit.pages import PORTIONS, Portions
from collector.audit.parameters import once
from collector.audit.services import Known
from collector.audit.shield import Faults, Meter, SecurityHeaders
from collector.audit.tails import Tails
from collector.audit.turns import Turns
from collector.clock import Clock
from collector.health import Health
from collector.settings import Audit, Search

NO_SEARCH = Search()
DESCRIPTION = """What passed through the mesh, and what of it was lost.

Every parameter is checked: an unknown, repeated or malformed one is answered with 400, never passed over.
Lists come in pages: follow `next` with `cursor` until it is absent. Errors are problem JSON (RFC 9457).
Stored bodies are served as downloads only.
"""


class AuditApp(FastAPI):
    """The framework, with a description that says what the API does and no more.

    `tails`: whoever stores says so to it (`wake`), and ends it before the listener closes.
    """

    tails: Tails

    def openapi(self) -> dict[str, object]:
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
    access: Opened | None = None,
    looks: LookWriter | None = None,
    search: Search = NO_SEARCH,
    portions: Portions = PORTIONS,
) -> AuditApp:
    """The application. It only reads, but for who looked; the caller disposes of the engine. The registry also gets the API's own metrics.

    `known`: the catalogue of services, in a process that has one. `access`: who may look; None: whoever asks. `looks`: writes down who
    looked. `search`: whether texts are searched. `portions`: how much is read at a time.
    """
    app = AuditApp(
        title="Meshscribe audit API",
        version=version("meshscribe"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.tails = Tails(engine, clock, settings.query_seconds, portions)
    for routes in (
        exchanges.router(engine, settings, clock, portions),
        bodies.router(engine),
        conversations.router(engine),
        facets.router(engine, clock),
        histogram.router(engine, clock, portions),
        events.router(engine),
        export.router(engine, settings, clock, portions),
        tail.router(engine, settings, clock, app.tails, portions),
        calls.router(engine, clock),
        services.router(known, engine, settings, clock),
        ledger.router(engine, settings, clock, portions),
        ledger_map.router(engine, clock, portions),
        usage.router(engine, clock),
        looked.router(engine, settings, clock),
    ):
        app.include_router(routes, dependencies=[Depends(once)])
    app.include_router(probes.router(health, registry))
    app.include_router(assets.router())
    problems.install(app)
    app.add_middleware(Faults)
    app.add_middleware(Turns, settings=settings, clock=clock)
    if access is not None:
        _guard(app, access, clock)
    app.add_middleware(Compressed)
    app.add_middleware(Heads)
    app.add_middleware(Hosts, names=[*settings.hosts, *_own_name(access)])
    app.state.reason_required = access is not None and access.settings.reason == "required"
    app.state.text_is_searched = search.text
    if looks is not None:
        app.add_middleware(Looks, writer=looks, clock=clock)
    app.add_middleware(Meter, registry=registry)
    app.add_middleware(SecurityHeaders)
    return app


def _guard(app: FastAPI, access: Opened, clock: Clock) -> None:
    """Puts the login before what was added so far."""
    if access.entrance is not None:
        app.include_router(login.router(access.entrance, access.settings, clock))
        app.add_middleware(Guard, entrance=access.entrance, clock=clock)
    elif access.settings.open:
        app.add_middleware(OpenToAll)


def _own_name(access: Opened | None) -> list[str]:
    name = urlsplit(access.settings.url).hostname if access is not None else None
    return [name] if name else []
