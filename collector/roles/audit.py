"""Role audit: the REST API on the SQL store, without anything that writes to it but who looked."""

from __future__ import annotations

import asyncio

from collector.enrich.directory import Directory, open_versions
from collector.health import Component
from collector.roles.access import start_access
from collector.roles.looks import start_looks
from collector.roles.parts import Addresses, RoleHealth, Running, Starting, patiently
from collector.roles.phase import PhasedHealth
from collector.roles.probes import start_front
from collector.roles.steps import clock_part
from collector.store.engine import open_engine, prepare
from collector.views.whole import create_whole


async def start(starting: Starting) -> Running:
    """Raises SettingsError: the store's tables are of another version."""
    settings, clock, stack, registry = starting[:4]
    health = RoleHealth()
    front = await start_front(starting, health)
    await patiently(lambda: prepare(settings.sink), clock, health.wait_for)
    engine = open_engine(settings.sink, settings.audit.query_seconds)
    stack.push_async_callback(engine.dispose)
    # What the others have learnt of services is in the store: this role reads it and asks no API server.
    versions = open_versions(settings.kafka, engine, clock)
    directory = Directory(settings.services.model_copy(update={"source": "none"}), versions, clock, prunes=False)
    await directory.start()
    stack.push_async_callback(directory.stop)
    access = await start_access(starting, engine, directory)
    phased, annotations = PhasedHealth(health, starting.phase), settings.usage.group_annotations
    app = create_whole(
        engine, phased, registry, settings.audit, clock, directory, access.opened, start_looks(starting), annotations, settings.search
    )
    front.show(app)
    stack.callback(front.hide)
    stack.push_async_callback(app.tails.stop)
    health.parts += [lambda: [Component("audit", True), directory.component()], access.components, clock_part(starting)]
    return Running(asyncio.create_task(_for_ever()), Addresses(audit=front.address))


async def _for_ever() -> None:
    await asyncio.Event().wait()
