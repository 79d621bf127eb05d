"""From journal entries to outputs, as the pipeline made them: the same stages, on a span of time.

Which exchanges belong to the span says the request's start; they may have been closed much later, so it is read on behind the end for as
long as an exchange can stay open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

from collector.audit.moments import Span
from collector.clock import Clock
from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.enrich.directory import open_versions, selection_of
from collector.errors import BadInputError
from collector.messages.entry import Entry
from collector.messages.event import Output
from collector.messages.exchange import Exchange, Fault
from collector.messages.times import timestamp
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Meaning, Stages
from collector.settings import Settings
from collector.store.engine import open_engine, store_is_there
from collector.upkeep.replay.history import History


class Entries(Protocol):
    """A journal that can be read from any position on."""

    def entries(self, after: int) -> AsyncIterator[Entry]:
        """All behind `after` that are there, in order."""
        ...


class Plan(NamedTuple):
    """What is read: entries behind `after`, received before `until_us`. `whole`: the state at the start is known, so ledger windows too
    can be made again. `said`: what people should know.
    """

    after: int
    until_us: int
    last: int
    state: bytes | None
    said: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return self.state is not None or self.after == 0


async def plan(history: History, since_us: int, until_us: int, limits: Limits) -> Plan:
    """Where to begin: at the newest checkpoint that is kept before the span; else so much earlier that all of the span's exchanges are
    whole. Raises BadInputError: nothing of the span is kept.
    """
    extent, lead = history.extent(), limits.idle_us + limits.linger_us
    if extent.last <= extent.floor:
        raise BadInputError("the journal keeps no entries: journal.keep_bytes says how many bytes of processed ones stay")
    first, said = history.received_at(extent.floor + 1), []
    if until_us <= first and extent.floor:
        raise BadInputError(f"nothing of this span is kept: the journal begins at {timestamp(first)} (journal.keep_bytes)")
    if since_us < first and extent.floor:
        said.append(f"the journal begins at {timestamp(first)}: what began before is not rebuilt")
        since_us = first
    checkpoint = await history.checkpoint(history.first_since(since_us) - 1)
    if checkpoint is not None:
        return Plan(checkpoint.position, until_us + lead, extent.last, checkpoint.state, tuple(said))
    after = history.first_since(since_us - lead) - 1
    if after:
        said.append(
            f"no checkpoint is kept before the span: reading begins {lead / 1e6:g} s earlier, and ledger windows, which need the state, "
            "are left out"
        )
    return Plan(after, until_us + lead, extent.last, None, tuple(said))


async def rebuild(
    history: Entries, way: Plan, span: Span, limits: Limits, meaning: Meaning, with_usage: bool, at: Callable[[int], None]
) -> AsyncIterator[Output]:
    """The outputs of the span, in order. `at` is told each position that was read."""
    correlator = Correlator(limits)
    stages = Stages(meaning, with_usage, correlator.answers if way.whole else None)
    if way.state is not None:
        correlator.restore(way.state)
    since, until = span.since_us or 0, span.until_us if span.until_us is not None else way.until_us
    async for entry in history.entries(way.after):
        if correlator.received.now >= way.until_us or entry.position > way.last:
            return
        for closed in correlator.feed(entry):
            item = closed.item
            if isinstance(item, Exchange):
                if since <= item.key.start_us < until:
                    yield stages.output(item, closed.place)
                else:
                    stages.recall([closed])
            elif way.whole and since <= (item.at_us if isinstance(item, Fault) else item.start_us) < until:
                yield stages.output(item, closed.place)
        at(entry.position)


async def stored_meaning(settings: Settings, clock: Clock) -> ExchangeMeaning:
    """The decoder, and the services' versions as the store, or of a Kafka sink their topic, has kept them. Raises RetryableError."""
    catalogue = Catalogue(settings.services.history)
    if not settings.sink.is_kafka and not store_is_there(settings.sink):
        return ExchangeMeaning.of(settings, catalogue)
    engine = None if settings.sink.is_kafka else open_engine(settings.sink)
    versions = open_versions(settings.kafka, engine, clock)
    try:
        selection = selection_of(settings.services)
        for version in await versions.load():
            catalogue.apply(selection.narrowed(version))
    finally:
        await versions.close()
        if engine is not None:
            await engine.dispose()
    return ExchangeMeaning.of(settings, catalogue)
