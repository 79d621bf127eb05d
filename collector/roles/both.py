"""Role all with `journal.url: kafka:`: receive and process in one process, on the raw topic in between."""

from __future__ import annotations

from collector.metrics import RelayMetrics
from collector.roles.away import watch
from collector.roles.ingest import start_ingest
from collector.roles.parts import Addresses, RoleHealth, Running, Starting
from collector.roles.phase import DRAIN_SECONDS
from collector.roles.probes import start_probes
from collector.roles.process import start_partitions
from collector.roles.receive import start_writer
from collector.roles.shared import start_own_relays


async def start(starting: Starting) -> Running:
    """Both parts; what this process receives may be processed by another."""
    health = RoleHealth()
    audit = await start_probes(starting, health)
    writer = await start_writer(starting, health)
    task = await start_partitions(starting, health, writer)
    start_own_relays(starting, health, RelayMetrics(starting.registry))
    tap, access_log = await start_ingest(starting, writer)
    starting.sources.callback(writer.end_in, DRAIN_SECONDS)
    await watch(starting, writer)
    return Running(task, Addresses(tap, access_log, audit))
