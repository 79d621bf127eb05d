"""What every relay guarantees (collector/relays/protocol.py), on every pair of feed and target that can be.

To add one, subclass Origin or End in tests/support/relays.py and add it to ORIGINS or ENDS.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from collector.dead_letters.events import read_batch
from collector.messages.event import EXCHANGE_TYPE, Event, Output, Place
from collector.relays.relay import Relay
from collector.store.migrate import migrate
from tests.support.events import JOURNAL, NOW_US, exchange
from tests.support.kafka import new_topics
from tests.support.outputs import chats, outputs
from tests.support.relays import (
    CrashError,
    End,
    HttpEnd,
    KafkaEnd,
    KafkaOrigin,
    Letters,
    Origin,
    SqlEnd,
    SqlOrigin,
    events_of,
    moved,
    relay,
    running,
)
from tests.support.waits import until_holds

OTHER = "0192bbbb-0000-7000-8000-000000000002"
PAIRS = [
    *((origin, f"http-{mode}") for origin in ("sqlite", "postgres", "kafka") for mode in ("binary", "structured", "batch")),
    *((origin, "kafka") for origin in ("sqlite", "postgres")),
    *(("kafka", end) for end in ("sqlite", "postgres")),
]


class Pair(NamedTuple):
    origin: Origin
    end: End


async def _origin(name: str, request: pytest.FixtureRequest) -> Origin:
    if name == "kafka":
        return KafkaOrigin(await new_topics(request.getfixturevalue("kafka").bootstrap, 1))
    if name == "postgres":
        return SqlOrigin(request.getfixturevalue("database").url)
    url = f"sqlite:///{request.getfixturevalue('tmp_path')}/origin.db"
    migrate(url)
    return SqlOrigin(url)


async def _end(name: str, request: pytest.FixtureRequest) -> End:
    if name == "kafka":
        broker = request.getfixturevalue("kafka")
        return KafkaEnd(await new_topics(broker.bootstrap, 1, timeout_seconds=3), broker.kill, broker.start)
    if name == "postgres":
        database = request.getfixturevalue("database")
        return SqlEnd(database.url, lambda: database.postgres.stop("immediate"), database.postgres.start)
    if name == "sqlite":
        path = request.getfixturevalue("tmp_path") / "end.db"
        migrate(f"sqlite:///{path}")
        return SqlEnd(f"sqlite:///{path}", *_held(path))
    end = HttpEnd(name.removeprefix("http-"))
    await end.receiver.start()
    return end


def _held(path: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """A file that another process writes to for longer than anybody waits, and lets go."""
    held: list[sqlite3.Connection] = []

    def hold() -> None:
        held.append(sqlite3.connect(path, isolation_level=None))
        held[0].execute("BEGIN IMMEDIATE")

    return hold, lambda: held.pop().close()


@pytest_asyncio.fixture(params=PAIRS, ids=[f"{origin}-to-{end}" for origin, end in PAIRS])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    made = Pair(await _origin(request.param[0], request), await _end(request.param[1], request))
    yield made
    await made.end.close()


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def in_order(line: list[str], expected: list[str]) -> bool:
    """Whether what came first of each is in the expected order: a repeat is no disorder."""
    places = {name: place for place, name in enumerate(expected)}
    first = list(dict.fromkeys(line))
    return [places[name] for name in first] == sorted(places[name] for name in first)


async def test_everything_arrives_once_in_order_and_byte_for_byte(pair: Pair) -> None:
    made = outputs(chats(25))
    await pair.origin.fill(JOURNAL, made[:9])
    expected = events_of(made, pair.origin, pair.end)
    letters = Letters()
    async with relay(pair.origin, pair.end, letters) as copying, running(copying):
        await pair.origin.fill(JOURNAL, made[9:])
        await until_holds(lambda: _holds(pair.end, expected))
        await until_holds(lambda: copying.status.lag == 0)
    assert Counter(await pair.end.ids()) == Counter(ids(expected))
    assert all(in_order(line, ids(expected)) for line in await pair.end.lines())
    assert await pair.end.data() == {event.id: event.data for event in expected}
    assert letters.held == {}
    assert (copying.status.failing, copying.status.written) == (None, len(expected))


async def _holds(end: End, expected: list[Event]) -> bool:
    return set(await end.ids()) == set(ids(expected))


@pytest.mark.slow
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
async def test_after_a_crash_it_goes_on_at_its_place(pair: Pair, behind: bool) -> None:
    made = outputs(chats(20))
    await pair.origin.fill(JOURNAL, made)
    expected = events_of(made, pair.origin, pair.end)
    for at in (1, 2):
        async with relay(pair.origin, pair.end, Letters(), at=at, behind=behind) as copying:
            with pytest.raises(CrashError):
                async with asyncio.timeout(30):
                    await copying.run()
    async with relay(pair.origin, pair.end, Letters()) as copying:
        await moved(copying, pair.end, ids(expected))
    held = Counter(await pair.end.ids())
    assert set(held) == set(ids(expected))
    assert all(in_order(line, ids(expected)) for line in await pair.end.lines())
    assert max(held.values()) == 1, "a place that was written was not kept"


@pytest.mark.slow
async def test_one_that_stops_at_any_time_and_starts_again_gives_each_journal_whole(pair: Pair) -> None:
    one, two = [exchange(Place(n, 0), NOW_US + n, salt=f"a{n}", request=b"{}", data=_record(n)) for n in range(1, 30)], []
    two = [exchange(Place(n, 0), NOW_US + n, salt=f"b{n}", data=_record(n)) for n in range(1, 30)]
    await pair.origin.fill(JOURNAL, one)
    await pair.origin.fill(OTHER, two)
    expected = [*events_of(one, pair.origin, pair.end), *events_of(two, pair.origin, pair.end)]
    for _ in range(3):
        async with relay(pair.origin, pair.end, Letters()) as copying:
            task = asyncio.create_task(copying.run())
            await until_holds(partial(_wrote_or_is_done, copying, pair.end, ids(expected)))
            copying.stop()
            await task
    async with relay(pair.origin, pair.end, Letters()) as copying:
        await moved(copying, pair.end, ids(expected))
    assert Counter(await pair.end.ids()) == Counter(ids(expected))


async def _wrote_or_is_done(copying: Relay, end: End, expected: Sequence[str]) -> bool:
    """A quick relay may have written all of it in an earlier run."""
    return copying.status.written > 0 or set(await end.ids()) >= set(expected)


def _record(number: int) -> bytes:
    """A record that an exchange's columns can be found in again."""
    return (
        b'{"id":"%s","revision":0,"proxy":{"node":"n"},"caller":{},"request":{"body":{}},"response":{"body":{}},"completeness":["complete"]}'
        % (b"0192aaaa-0000-7000-8000-%012x" % number)
    )


@pytest.mark.slow
async def test_a_poison_event_goes_to_the_dead_letters_and_the_rest_goes_on(pair: Pair) -> None:
    made = outputs(chats(20))
    await pair.origin.fill(JOURNAL, made)
    expected = events_of(made, pair.origin, pair.end)
    poison = next(event for output in made[11:] for event in output.events if event.type == EXCHANGE_TYPE)
    letters = Letters()
    if isinstance(pair.end, HttpEnd):
        pair.end.receiver.refused = {poison.id}
    refused = [] if isinstance(pair.end, HttpEnd) else [poison.id]
    async with relay(pair.origin, pair.end, letters, refused=refused) as copying:
        lost = _gone_with(poison, made, pair)
        await moved(copying, pair.end, [name for name in ids(expected) if name not in lost])
        assert copying.status.buried == 1
    (letter,) = letters.held.values()
    assert letter.origin == "relay:r"
    assert "refused" in letter.reason or "not this one" in letter.reason
    dead = {event.id: event for event in read_batch(letter.data, letter.columns)}
    assert dead[poison.id].data == poison.data
    assert Counter(await pair.end.ids()) == Counter(set(ids(expected)) - lost)
    assert set(dead) == lost


def _gone_with(poison: Event, made: list[Output], pair: Pair) -> set[str]:
    """An output is written as a whole where a feed knows outputs and the target has transactions; else each event is alone."""
    if isinstance(pair.end, HttpEnd) or isinstance(pair.origin, KafkaOrigin):
        return {poison.id}
    whole = next(output for output in made if poison in output.events)
    return set(ids(events_of([whole], pair.origin, pair.end)))


async def test_a_dead_letter_can_be_sent_again(pair: Pair) -> None:
    made = outputs(chats(3))
    feed = pair.origin.feed()
    target = pair.end.target(pair.origin, feed)
    expected = events_of(made[:1], pair.origin, pair.end)
    await target.resend(JOURNAL, [made[0]._replace(events=tuple(expected))])
    await target.close()
    await feed.close()
    assert sorted(await pair.end.ids()) == sorted(ids(expected))


@pytest.mark.slow
async def test_a_large_event_neither_fails_nor_stops_the_others(pair: Pair) -> None:
    body = os.urandom(3 << 20)
    if isinstance(pair.origin, KafkaOrigin):
        body = body[: 1 << 20]
    made = [exchange(Place(n, 0), NOW_US + n, salt=str(n), response=body if n == 3 else b"[]", data=_record(n)) for n in range(1, 8)]
    await pair.origin.fill(JOURNAL, made)
    expected = events_of(made, pair.origin, pair.end)
    letters = Letters()
    async with relay(pair.origin, pair.end, letters) as copying:
        await moved(copying, pair.end, ids(expected))
    assert letters.held == {}
    assert Counter(await pair.end.ids()) == Counter(ids(expected))
    if not isinstance(pair.end, KafkaEnd):
        assert body in (await pair.end.data()).values()


@pytest.mark.slow
async def test_a_dead_target_is_waited_for_and_holds_up_nobody(pair: Pair) -> None:
    made = outputs(chats(30))
    expected = events_of(made, pair.origin, pair.end)
    healthy = HttpEnd("batch")
    await healthy.receiver.start()
    async with relay(pair.origin, pair.end, Letters()) as copying, running(copying):
        await pair.origin.fill(JOURNAL, made[:4])
        await until_holds(lambda: copying.status.written > 0)
        await pair.end.fail()
        try:
            await pair.origin.fill(JOURNAL, made[4:])
            await until_holds(lambda: copying.status.failing is not None)
            async with relay(_another(pair.origin), healthy, Letters()) as other:
                await moved(other, healthy, ids(events_of(made, pair.origin, healthy)))
        finally:
            await pair.end.mend()
        await until_holds(lambda: _holds(pair.end, expected), 90)
        await until_holds(lambda: copying.status.failing is None)
    assert Counter(await pair.end.ids()) == Counter(ids(expected))
    assert all(in_order(line, ids(expected)) for line in await pair.end.lines())
    await healthy.close()


def _another(origin: Origin) -> Origin:
    """For a second relay: a consumer group of its own."""
    return KafkaOrigin(origin.settings) if isinstance(origin, KafkaOrigin) else origin


@pytest.mark.slow
async def test_what_was_begun_is_finished_when_it_is_stopped(pair: Pair) -> None:
    made = outputs(chats(4))
    await pair.origin.fill(JOURNAL, made)
    async with relay(pair.origin, pair.end, Letters()) as copying:
        if isinstance(pair.end, HttpEnd):
            pair.end.receiver.gate.clear()
        task = asyncio.create_task(copying.run())
        await _begun(copying, pair.end)
        copying.stop()
        if isinstance(pair.end, HttpEnd):
            assert not task.done()
            pair.end.receiver.gate.set()
        async with asyncio.timeout(30):
            await task
    written = await pair.end.ids()
    assert written
    async with relay(pair.origin, pair.end, Letters()) as copying:
        await moved(copying, pair.end, ids(events_of(made, pair.origin, pair.end)))
    assert max(Counter(await pair.end.ids()).values()) == 1, "what was written was not remembered"


async def _begun(copying: Any, end: End) -> None:
    if isinstance(end, HttpEnd):
        async with asyncio.timeout(30):
            await end.receiver.entered.wait()
    else:
        await until_holds(lambda: copying.status.written > 0)
