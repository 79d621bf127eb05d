"""All checks that the settings have parts for, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.moments import Span
from collector.clock import Clock
from collector.dead_letters.open import open_all_letters
from collector.errors import SettingsError
from collector.relays.look import Reached, look
from collector.replay.history import History
from collector.settings import Relay, Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.open import open_engine
from collector.verify import Finding, ledger, letters, payloads, places, topics

_DAY_US = 86_400_000_000


async def verify(settings: Settings, span: Span, clock: Clock) -> AsyncIterator[Finding]:
    """Every finding. Raises RetryableError: a part does not answer; SettingsError: there is no SQL store to compare with."""
    copies = [relay for relay in settings.relays if relay.to == "sql"]
    if settings.sink.is_kafka and not copies:
        raise SettingsError(["sink.url: it is Kafka, and no relay copies it to a SQL store: there is nothing to compare"])
    store = SinkSettings(url=copies[0].url, password_file=copies[0].password_file) if settings.sink.is_kafka else settings.sink
    engine = open_engine(store)
    try:
        async for finding in _checked(settings, engine, kept(span, settings, clock), copies[0] if settings.sink.is_kafka else None):
            yield finding
        dead = open_all_letters(settings)
        try:
            for finding in await letters.letters(dead):
                yield finding
        finally:
            await dead.close()
    finally:
        await engine.dispose()


def kept(span: Span, settings: Settings, clock: Clock) -> Span:
    """Days that retention may have taken are not asked for; a day more, because exchanges end later than they begin."""
    if span.since_us is not None or settings.sink.retention_days is None:
        return span
    return span._replace(since_us=clock.now_us() - (settings.sink.retention_days - 1) * _DAY_US)


async def _checked(settings: Settings, engine: AsyncEngine, span: Span, copy: Relay | None) -> AsyncIterator[Finding]:
    if not settings.journal.url and copy is None and settings.journal.path.is_file():
        history = History(settings.journal.path)
        try:
            extent = history.extent()
        finally:
            history.close()
        for finding in await places.journal(engine, extent):
            yield finding
    for finding in [*await ledger.sums(engine, span), *await ledger.closed(engine, span), *await payloads.bodies(engine, span)]:
        yield finding
    if not settings.sink.is_kafka and settings.kafka.bootstrap_servers:
        copied = await places.partitions(engine, settings.kafka.exchanges_topic)
        for finding in await topics.topic(engine, settings.kafka, span, copied, into_topic=False) if copied else []:
            yield finding
    for relay in settings.relays:
        reached = await look(relay, settings)
        for finding in [*places.relays(reached), *await _topic(settings, engine, span, relay, reached, copy)]:
            yield finding


async def _topic(
    settings: Settings, engine: AsyncEngine, span: Span, relay: Relay, reached: list[Reached], copy: Relay | None
) -> list[Finding]:
    """Of a relay that has the exchanges topic at one of its ends and this store at the other."""
    if "exchange" not in relay.types or (relay.to != "kafka" and relay is not copy):
        return []
    return await topics.topic(engine, settings.kafka, span, reached, into_topic=relay.to == "kafka")
