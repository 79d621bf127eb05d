"""Starts what writes down who looks at the log, for the roles that answer queries."""

from __future__ import annotations

from collector.access.look_writer import LookWriter
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
