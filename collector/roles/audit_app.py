"""The audit listener's application: the audit API, and the pages that ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.app import AuditApp, create_app
from collector.enrich.directory import Directory
from collector.health import Component, Health
from collector.roles.access import start_access
from collector.roles.looks import start_looks
from collector.roles.parts import Starting
from collector.roles.phase import PhasedHealth
from collector.views.app import mount


async def start_audit_app(
    starting: Starting, engine: AsyncEngine, health: Health, directory: Directory
) -> tuple[AuditApp, Callable[[], Sequence[Component]]]:
    """The application, and how what stands before it fares. Raises SettingsError: a file of section access that does not fit."""
    settings, clock = starting.settings, starting.clock
    access = await start_access(starting, engine, directory)
    phased = PhasedHealth(health, starting.phase)
    looks = start_looks(starting)
    app = create_app(engine, phased, starting.registry, settings.audit, clock, directory, access.opened, looks, settings.search)
    mount(app, clock, settings.audit.page_limit, settings.usage.group_annotations)
    return app, access.components
