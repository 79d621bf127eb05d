"""All checks that the settings have parts for, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.moments import Span
from collector.clock import Clock
from collector.dead_letters import DeadLetters
from collector.dead_letters.open import open_all_letters
from collector.errors import DamagedError, RetryableError
from collector.messages.times import timestamp
from collector.relays.reached import Reached, look
from collector.settings import Relay, Settings
from collector.settings.sink import is_postgres
from collector.sqlite import wal
from collector.store.engine import copied_to_sql, file_of, kept_in_sql, not_older, open_engine
from collector.store.errors import of_file
from collector.upkeep.replay.history import History
from collector.upkeep.verify import Finding, journal, ledger, mark_index, payloads, places, store, topics, usage
from collector.upkeep.verify.journal import Step

LETTERS = "dead letters"
_DAY_US = 86_400_000_000


async def letters(kept: DeadLetters) -> list[Finding]:
    """One finding for each origin that gave something up; one that says that there are none, else. Raises RetryableError."""
    heaps = await kept.heaps()
    found = [
        Finding(
            LETTERS, heap.origin, heap.number, f"the newest of {timestamp(heap.newest_us)}: {heap.reason} (meshscribe dead-letters list)"
        )
        for heap in heaps
    ]
    return found or [Finding(LETTERS, "all", 0, "none")]


class Manner(NamedTuple):
    """`quick`: what is written is not read as a whole; `repair`: what can be mended without loss is; `step`: told how far reading is."""

    quick: bool = False
    repair: bool = False
    step: Step = lambda *_: None


WHOLE = Manner()


async def verify(settings: Settings, span: Span, clock: Clock, manner: Manner = WHOLE) -> AsyncIterator[Finding]:
    """Every finding. Raises RetryableError: a part does not answer; SettingsError: there is no SQL store to compare with, or it is
    of an older version.
    """
    kept_in = kept_in_sql(settings)
    file = None if is_postgres(kept_in.url) else file_of(kept_in)
    with nullcontext() if file is None else wal.left_alone(file):  # a damaged log is evidence
        for finding in [] if file is None else await store.log(file):
            yield finding
        engine = open_engine(kept_in)
        try:
            await not_older(engine)
            relay = copied_to_sql(settings) if settings.sink.is_kafka else None
            async for finding in _checked(settings, engine, kept(span, settings, clock), relay, manner):
                yield finding
            for finding in await _letters(settings):
                yield finding
        finally:
            await engine.dispose()


async def _letters(settings: Settings) -> list[Finding]:
    dead = open_all_letters(settings)
    try:
        return await readable(LETTERS, letters(dead))
    finally:
        await dead.close()


def kept(span: Span, settings: Settings, clock: Clock) -> Span:
    """Days that retention may have taken are not asked for; a day more, because exchanges end later than they begin."""
    if span.since_us is not None or settings.sink.retention_days is None:
        return span
    return span._replace(since_us=clock.now_us() - (settings.sink.retention_days - 1) * _DAY_US)


async def readable(check: str, finding: Awaitable[list[Finding]]) -> list[Finding]:
    """The findings; one that says so where the store's file is too damaged to be asked. Raises RetryableError for all else."""
    try:
        return await finding
    except RetryableError as error:
        cause = getattr(error.__cause__, "orig", None)
        if cause is None or not of_file(cause):
            raise
        return [Finding(check, "all", 1, f"cannot be looked at, the store's file is damaged ({cause})")]


async def _checked(settings: Settings, engine: AsyncEngine, span: Span, copy: Relay | None, manner: Manner) -> AsyncIterator[Finding]:
    if not settings.journal.url and copy is None and settings.journal.path.is_file():
        async for finding in _journal(settings.journal.path, engine, manner):
            yield finding
    for finding in await topics.raw_partitions(settings.kafka, manner.step) if settings.journal.url and not manner.quick else []:
        yield finding
    if not manner.quick or manner.repair:
        for finding in await store.sound(engine, repair=manner.repair):
            yield finding
    for check, look_at in _of_rows(engine, span, manner):
        for finding in await readable(check, look_at()):
            yield finding
    if not settings.sink.is_kafka and settings.kafka.bootstrap_servers:
        copied = await places.partitions(engine, settings.kafka.exchanges_topic)
        for finding in await topics.topic(engine, settings.kafka, span, copied, into_topic=False) if copied else []:
            yield finding
    for relay in settings.relays:
        reached = await look(relay, settings)
        for finding in [*places.relays(reached), *await _topic(settings, engine, span, relay, reached, copy)]:
            yield finding


def _of_rows(engine: AsyncEngine, span: Span, manner: Manner) -> list[tuple[str, Callable[[], Awaitable[list[Finding]]]]]:
    """The checks of what the tables say, each begun when it is its turn: one before it may end them all."""
    bodies = partial(payloads.bodies, engine, span, quick=manner.quick, step=lambda done: manner.step("records", done, 0))
    sums, closed = partial(ledger.sums, engine, span), partial(ledger.closed, engine, span)
    index = mark_index.MarkIndex(engine, span, repair=manner.repair)
    if manner.quick:
        return [(ledger.SUMS, sums), (ledger.CLOSED, closed), (payloads.CHECK, bodies)]
    return [
        (ledger.SUMS, sums),
        (ledger.WINDOWS, partial(ledger.windows, engine, span)),
        (ledger.CLOSED, closed),
        (payloads.CHECK, bodies),
        (usage.CHECK, partial(usage.sums, engine, span, step=lambda done, of: manner.step("sums of usage", done, of))),
        (usage.CHECK, partial(usage.records, engine, span)),
        (mark_index.CHECK, partial(index.look, step=lambda done: manner.step(mark_index.CHECK, done, 0))),
    ]


async def _topic(
    settings: Settings, engine: AsyncEngine, span: Span, relay: Relay, reached: list[Reached], copy: Relay | None
) -> list[Finding]:
    """Of a relay that has the exchanges topic at one of its ends and this store at the other."""
    if "exchange" not in relay.types or (relay.to != "kafka" and relay is not copy):
        return []
    return await topics.topic(engine, settings.kafka, span, reached, into_topic=relay.to == "kafka")


async def _journal(path: Path, engine: AsyncEngine, manner: Manner) -> AsyncIterator[Finding]:
    try:
        history = History(path)
        try:
            extent = history.extent()
        finally:
            history.close()
    except DamagedError as error:
        yield Finding(journal.CHECK, str(path), 1, f"cannot be read: {error}: keep a copy and move {path}* away (docs/damage.md)")
        return
    for finding in await readable(places.JOURNAL, places.journal(engine, extent)):
        yield finding
    for finding in [] if manner.quick else await journal.journal_file(path, manner.step):
        yield finding
