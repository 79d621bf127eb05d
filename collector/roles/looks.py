"""Starts what writes down who looks at the log, for the roles that answer queries, and what copies that to Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from collector.access.look_relay import open_look_relay
from collector.access.look_writer import LookWriter
from collector.relays.start import Opening
from collector.roles.parts import Starting
from collector.store.engine import open_looks


def start_looks(starting: Starting) -> LookWriter:
    """Until the process ends: what waits then is written first. The store is ready."""
    engine = open_looks(starting.settings.sink)
    starting.stack.push_async_callback(engine.dispose)
    writer = LookWriter(engine, starting.clock, starting.registry)
    writer.start()
    starting.stack.push_async_callback(writer.stop)
    return writer


def look_relays(starting: Starting) -> Sequence[Opening]:
    """For start_relays: the relay of looks, where this process has it."""
    return [partial(open_look_relay, starting.settings, starting.clock)] if starting.settings.copies_looks else []
