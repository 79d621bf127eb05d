"""Role audit: the REST API on the SQL store. It writes there who looked and nothing else, and copies that to Kafka where it is wanted."""

from __future__ import annotations

import asyncio

from collector.enrich.directory import Directory, open_versions
from collector.health import Component
from collector.metrics import RelayMetrics
from collector.relays.start import start_relays
from collector.roles.audit_api import look_relays, start_audit_app
from collector.roles.parts import Addresses, RoleHealth, Running, Starting, clock_part, patiently
from collector.roles.probes import start_front
from collector.store.engine import open_engine, prepare


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
    app, access = await start_audit_app(starting, engine, health, directory)
    front.show(app)
    stack.callback(front.hide)
    stack.push_async_callback(app.tails.stop)
    if others := look_relays(starting):
        relays = start_relays(settings, clock, RelayMetrics(registry), others)
        stack.push_async_callback(relays.stop)
        health.parts.append(lambda: list(relays.components()))
    health.parts += [lambda: [Component("audit", True), directory.component()], access, clock_part(starting)]
    return Running(asyncio.create_task(_for_ever()), Addresses(audit=front.address))


async def _for_ever() -> None:
    await asyncio.Event().wait()
