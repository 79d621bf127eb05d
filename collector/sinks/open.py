"""The SQL sink that a URL names."""

from __future__ import annotations

from collector.clock import Clock
from collector.settings import Search, Usage
from collector.settings import Sink as SinkSettings
from collector.sinks.postgres import PostgresSink
from collector.sinks.protocol import Target
from collector.sinks.said import Sayings
from collector.sinks.sqlite import SqliteSink
from collector.store.engine import file_of, server
from collector.store.usage_book import counting

AS_USUAL = Usage()
UNSEARCHED = Search()


def open_sink(settings: SinkSettings, clock: Clock, usage: Usage = AS_USUAL, search: Search = UNSEARCHED) -> Target:
    """The sink. Connects when it is first asked for something. `usage`: how it counts; `search`: whether it keeps an index of texts."""
    sayings = Sayings(search.exchange_bytes, clock.now_us()) if search.text else None
    postgres, how = server(settings), counting(usage)
    return PostgresSink(postgres, clock, how, sayings) if postgres else SqliteSink(file_of(settings), how, sayings)
