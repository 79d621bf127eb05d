"""The audit listener's application: the audit API, and the pages that ask it."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look_writer import LookWriter
from collector.access.open import Opened
from collector.audit.app import NO_SEARCH, AuditApp, create_app
from collector.audit.services import Known
from collector.clock import Clock
from collector.health import Health
from collector.settings import Audit, Search
from collector.views.app import mount


def create_whole(
    engine: AsyncEngine,
    health: Health,
    registry: CollectorRegistry,
    settings: Audit,
    clock: Clock,
    known: Known | None = None,
    access: Opened | None = None,
    looks: LookWriter | None = None,
    annotations: Sequence[str] = (),
    search: Search = NO_SEARCH,
) -> AuditApp:
    """See collector.audit.app.create_app. `annotations`: by which usage can be grouped."""
    app = create_app(engine, health, registry, settings, clock, known, access, looks, search)
    mount(app, clock, settings.page_limit, annotations)
    return app
