"""The SQL sink that a URL names."""

from __future__ import annotations

from collector.clock import Clock
from collector.settings import Sink as SinkSettings
from collector.sinks.postgres import PostgresSink
from collector.sinks.protocol import Target
from collector.sinks.sqlite import SqliteSink
from collector.store.engine import file_of, server


def open_sink(settings: SinkSettings, clock: Clock) -> Target:
    """The sink. Connects when it is first asked for something."""
    postgres = server(settings)
    return PostgresSink(postgres, clock) if postgres else SqliteSink(file_of(settings))
