"""The SQL sink that a URL names."""

from __future__ import annotations

from collector.clock import Clock
from collector.settings import Sink as SinkSettings
from collector.settings import Usage
from collector.sinks.postgres import PostgresSink
from collector.sinks.protocol import Target
from collector.sinks.sqlite import SqliteSink
from collector.store.engine import file_of, server
from collector.store.usage_book import counting

AS_USUAL = Usage()


def open_sink(settings: SinkSettings, clock: Clock, usage: Usage = AS_USUAL) -> Target:
    """The sink. Connects when it is first asked for something. `usage`: how it counts."""
    postgres, how = server(settings), counting(usage)
    return PostgresSink(postgres, clock, how) if postgres else SqliteSink(file_of(settings), how)
