"""Copies the versions of services from their topic into the SQL store, where role audit reads them: part of role store.

It never holds up the store's relay; without the topic it says so and asks again.
"""

from __future__ import annotations

from collector.enrich.directory import Directory, open_versions
from collector.enrich.kafka import KafkaVersionStore
from collector.enrich.metrics import ServicesMetrics
from collector.roles.parts import RoleHealth, Starting
from collector.store.engine import open_engine


async def start_services_copy(starting: Starting, health: RoleHealth) -> None:
    """Begins with what the SQL store lacks. Old versions are deleted there too."""
    settings, clock, stack, registry = starting[:4]
    engine = open_engine(settings.sink)
    stack.push_async_callback(engine.dispose)
    directory = Directory(
        settings.services,
        open_versions(settings.kafka, engine, clock),
        clock,
        retention_days=settings.sink.retention_days,
        follows=KafkaVersionStore(settings.kafka),
    )
    await directory.start()
    stack.push_async_callback(directory.stop)
    ServicesMetrics(registry, directory, clock)
    health.parts.append(lambda: [directory.component()])
