"""Role receive: listens to the proxies and appends what they send to the raw topic. It keeps nothing: any number of them may run.

200 for a tap batch means that all in-sync replicas have it. What Kafka does not take waits in memory up to ingest.max_waiting_bytes;
then tap batches get 503 and access logs are dropped, and the count goes into the topic as soon as it takes entries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from collector.health import Component
from collector.journal.kafka_topic import check_ingest, find_raw_topic
from collector.journal.kafka_writer import STALLED_SECONDS, RawWriter
from collector.roles.away import watch
from collector.roles.ingest import start_ingest
from collector.roles.metrics import RawMetrics
from collector.roles.parts import Addresses, RoleHealth, Running, Starting, patiently, start_steps
from collector.roles.phase import DRAIN_SECONDS
from collector.roles.probes import start_probes


async def start(starting: Starting) -> Running:
    """Listens once Kafka has told of the raw topic. Raises SettingsError: the topic does not take the largest batch."""
    health = RoleHealth()
    audit = await start_probes(starting, health)
    writer = await start_writer(starting, health)
    tap, access_log = await start_ingest(starting, writer)
    starting.sources.callback(writer.end_in, DRAIN_SECONDS)
    await watch(starting, writer)
    return Running(asyncio.create_task(_for_ever()), Addresses(tap, access_log, audit))


async def start_writer(starting: Starting, health: RoleHealth) -> RawWriter:
    """Waits until Kafka answers."""
    settings, clock, stack, registry = starting[:4]
    topic = await patiently(lambda: find_raw_topic(settings.kafka), clock)
    check_ingest(topic, settings.ingest)
    writer = RawWriter(settings.kafka, topic, clock, settings.ingest.max_waiting_bytes)
    stack.push_async_callback(writer.close)
    RawMetrics(registry, writer)
    steps = start_steps(starting)

    def journal() -> Sequence[Component]:
        stalled = writer.stalled_seconds
        detail = f"{writer.waiting_bytes} bytes wait" + (f"; Kafka has acknowledged nothing for {stalled:.0f} s" if stalled > 1 else "")
        if told := steps.told(writer.ahead_us):
            detail += f"; {told}"
        if writer.fault is not None:
            detail += f"; {writer.fault}"
        return [Component("journal", stalled <= STALLED_SECONDS and writer.fault is None, detail)]

    health.parts += [lambda: [starting.phase.ingest()], journal]
    return writer


async def _for_ever() -> None:
    await asyncio.Event().wait()
