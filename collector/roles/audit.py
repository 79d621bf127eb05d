"""Role audit: the REST API on the SQL store, without anything that writes to it but who looked."""

from __future__ import annotations

import asyncio

from collector.audit.app import create_app
from collector.enrich.directory import Directory, open_versions
from collector.health import Component
from collector.roles.looks import start_looks
from collector.roles.parts import Addresses, RoleHealth, Running, Starting
from collector.roles.phase import PhasedHealth
from collector.roles.probes import start_front
from collector.roles.steps import clock_part
from collector.store.engine import open_engine, prepare


async def start(starting: Starting) -> Running:
    """Raises SettingsError: the store's tables are of another version."""
    settings, clock, stack, registry = starting[:4]
    health = RoleHealth()
    front = await start_front(starting, health)
    await prepare(settings.sink)
    engine = open_engine(settings.sink, settings.audit.query_seconds)
    stack.push_async_callback(engine.dispose)
    # What the others have learnt of services is in the store: this role reads it and asks no API server.
    versions = open_versions(settings.kafka, engine, clock)
    directory = Directory(settings.services.model_copy(update={"source": "none"}), versions, clock, prunes=False)
    await directory.start()
    stack.push_async_callback(directory.stop)
    looks = start_looks(starting)
    front.show(create_app(engine, PhasedHealth(health, starting.phase), registry, settings.audit, clock, directory, looks))
    stack.callback(front.hide)
    health.parts += [lambda: [Component("audit", True), directory.component()], clock_part(starting)]
    return Running(asyncio.create_task(_for_ever()), Addresses(audit=front.address))


async def _for_ever() -> None:
    await asyncio.Event().wait()
