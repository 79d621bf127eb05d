"""GET /v1/tail: what is stored comes once, in order, to every reader; who is slow is told what he missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from collector.access.looker import EVERYTHING, Looker, Person, Right
from collector.access.proof import NotProvenError
from collector.audit import long_answers, tails
from collector.audit.app import AuditApp, create_app
from collector.audit.pages import PORTIONS, Portions
from collector.clock import SystemClock
from collector.errors import RetryableError
from tests.audit.conftest import Api, Parts
from tests.audit.lookers import ADA
from tests.audit.postgres_store import PostgresStore
from tests.audit.reading import Tailing
from tests.audit.rows import JOURNAL, NOW, Store, exchange, patient


class Tailed:
    """The application over a store, and readers that leave at the end."""

    def __init__(self, store: Store, app: AuditApp) -> None:
        self.store, self.app = store, app
        self._readers: list[Tailing] = []
        self._position = 0

    def stored(self, number: int = 1, **changes: Any) -> list[str]:
        """Stores so many exchanges; returns their ids."""
        rows = []
        for _ in range(number):
            self._position += 1
            rows.append(exchange(NOW + self._position, position=self._position, **changes))
        self.store.exchanges(*rows)
        self.app.tails.wake()
        return [row["id"] for row in rows]

    async def reader(self, query: str = "", last: str = "") -> Tailing:
        made = Tailing(self.app, query, last)
        self._readers.append(made)
        assert await made.begin() == 200
        return made

    async def close(self) -> None:
        await asyncio.gather(*(reader.leave() for reader in self._readers))


@asynccontextmanager
async def tailed(store: Store, portions: Portions = PORTIONS, **settings: int) -> AsyncIterator[Tailed]:
    if not isinstance(store, PostgresStore):  # as the sink has it: it writes while others read
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine = store.opened()
    app = create_app(engine, Parts(), CollectorRegistry(), patient(**settings), SystemClock(), portions=portions)
    made = Tailed(store, app)
    try:
        yield made
    finally:
        await made.close()
        await app.tails.stop()
        await engine.dispose()


@pytest_asyncio.fixture
async def tail(store: Store) -> AsyncIterator[Tailed]:
    async with tailed(store) as made:
        yield made


async def ids(reader: Tailing, number: int) -> list[str]:
    return [(await reader.told()).data["id"] for _ in range(number)]


async def test_what_is_stored_from_now_on_comes_in_the_order_of_storage(tail: Tailed) -> None:
    tail.stored(3)
    reader = await tail.reader()
    first = tail.stored(5)
    assert await ids(reader, 5) == first
    late = exchange(NOW - 10**9, position=100)
    tail.store.exchanges(late)
    found = await reader.told()
    assert (found.name, found.data["id"], found.id) == ("exchange", late["id"], f"{JOURNAL}:100:0")


async def test_each_reader_gets_what_its_filters_let_through(tail: Tailed) -> None:
    every, dev, failed = await tail.reader(), await tail.reader("namespace=dev"), await tail.reader("status=5xx,none")
    one, two, three = tail.stored()[0], tail.stored(namespace="dev", status=503)[0], tail.stored(namespace="dev")[0]
    assert await ids(every, 3) == [one, two, three]
    assert await ids(dev, 2) == [two, three]
    four = tail.stored(status=None)[0]
    assert await ids(failed, 2) == [two, four]


async def test_who_comes_again_goes_on_behind_the_last_event_without_loss_or_repeat(store: Store) -> None:
    async with tailed(store, Portions(tail_rows=3)) as tail:
        await _comes_again(tail)


async def _comes_again(tail: Tailed) -> None:
    reader = await tail.reader("namespace=prod")
    wanted = tail.stored(2)
    assert await ids(reader, 2) == wanted
    await reader.leave()
    missed = tail.stored(4)
    tail.stored(5, namespace="dev")
    missed += tail.stored(4)
    again = await tail.reader("namespace=prod", reader.last)
    assert await ids(again, 8) == missed
    wanted = tail.stored(3)
    assert await ids(again, 3) == wanted


async def test_one_that_comes_again_beside_others_gets_each_exchange_once(store: Store) -> None:
    async with tailed(store, Portions(tail_rows=2)) as tail:
        await _comes_again_beside_others(tail)


async def _comes_again_beside_others(tail: Tailed) -> None:
    steady, first = await tail.reader(), await tail.reader()
    wanted = tail.stored(3)
    assert await ids(first, 3) == wanted
    await first.leave()
    wanted += tail.stored(9)
    second = Tailing(tail.app, "", first.last)
    for _ in range(20):
        wanted += tail.stored(2)
        await asyncio.sleep(0)
    assert await second.begin() == 200
    assert await ids(second, len(wanted) - 3) == wanted[3:]
    assert await ids(steady, len(wanted)) == wanted
    await second.leave()


async def test_who_was_there_before_anything_was_stored_comes_again_and_has_all_of_it(tail: Tailed) -> None:
    reader = await tail.reader()
    assert reader.last, "he is told a place that he can come again with"
    await reader.leave()
    wanted = tail.stored(3)
    again = await tail.reader(last=reader.last)
    assert await ids(again, 3) == wanted


async def test_several_journals_are_followed_each_at_its_place(tail: Tailed) -> None:
    reader = await tail.reader()
    tail.stored(2)
    tail.store.exchanges(exchange(NOW, "a", journal="topic/0", position=0))
    tail.app.tails.wake()
    assert len(await ids(reader, 3)) == 3
    assert reader.last == f"{JOURNAL}:2:0,topic/0:0:0"
    await reader.leave()
    tail.store.exchanges(exchange(NOW, "b", journal="topic/0", position=1))
    again = await tail.reader("", reader.last)
    assert (await again.told()).id == f"{JOURNAL}:2:0,topic/0:1:0"


@pytest.mark.slow
async def test_a_slow_reader_is_told_how_many_were_left_out_and_where(store: Store, api: Api) -> None:
    async with tailed(store, Portions(tail_waiting_bytes=1)) as tail:
        await _is_slow(tail, api)


async def _is_slow(tail: Tailed, api: Api) -> None:
    slow, quick = await tail.reader(), await tail.reader()
    wanted = []
    for _ in range(8):
        wanted += tail.stored(2)
        await ids(quick, 2)
    found, left_out = [], []
    while len(found) + sum(gap["count"] for gap in left_out) < len(wanted):
        told = await slow.told()
        if told.name == "left_out":
            left_out.append(told.data)
            assert told.id == told.data["until"]
            page = await api.exchanges(order="stored", after=told.data["after"], limit=told.data["count"])
            found += [item["id"] for item in page["items"]]
            left_out[-1]["count"] = 0
        else:
            found.append(told.data["id"])
    assert left_out
    assert found == wanted
    last = tail.stored()
    assert await ids(slow, 1) == last


async def test_a_place_that_lies_ahead_is_the_end_of_what_is_stored(tail: Tailed) -> None:
    tail.stored(3)
    reader = await tail.reader("", f"{JOURNAL}:{1 << 60}:0,unknown:7:0")
    wanted = tail.stored()
    assert await ids(reader, 1) == wanted


@pytest.mark.parametrize("query", ["limit=3", "cursor=x", "order=asc", "after=x", "x=1", "revisions=all"])
async def test_what_it_does_not_take_is_refused(tail: Tailed, query: str) -> None:
    refused = Tailing(tail.app, query)
    assert await refused.begin() == 400
    await refused.leave()


async def test_a_last_event_id_that_is_none_is_refused(tail: Tailed) -> None:
    refused = Tailing(tail.app, "", "nonsense")
    assert await refused.begin() == 400
    await refused.leave()


async def test_tails_have_a_bound_for_each_client_and_leaving_makes_room(sqlite_store: Store) -> None:
    async with tailed(sqlite_store, client_tails=2) as tail:
        first = await tail.reader()
        await tail.reader()
        refused = Tailing(tail.app)
        assert await refused.begin() == 429
        await refused.leave()
        await first.leave()
        await tail.reader()


async def test_the_end_ends_every_answer_well(sqlite_store: Store) -> None:
    async with tailed(sqlite_store) as tail:
        reader = await tail.reader()
        wanted = tail.stored(2)
        assert await ids(reader, 2) == wanted
        tail.app.tails.end()
        assert await reader.piece() == {"type": "http.response.body", "body": b"", "more_body": False}
        await reader.leave()


async def test_nobody_looks_when_nobody_reads(sqlite_store: Store) -> None:
    async with tailed(sqlite_store) as tail:
        reader = await tail.reader()
        task = tail.app.tails._task
        assert task is not None
        await reader.leave()
        await asyncio.wait_for(task, 20)
        assert tail.app.tails.wishes == 0
        again = await tail.reader()
        wanted = tail.stored()
        assert await ids(again, 1) == wanted


@pytest.mark.slow
async def test_a_hundred_readers_are_one_look(sqlite_store: Store) -> None:
    async with tailed(sqlite_store, Portions(tail_look_seconds=3600.0), client_tails=100) as tail:
        several = [await tail.reader(f"namespace=prod&status={200 + number % 20}") for number in range(100)]
        statements: list[str] = []
        event.listen(tail.app.tails._engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        wanted = tail.stored(3)
        assert [await ids(reader, 3) for reader in several[::20]] == [wanted] * 5
        assert len(statements) <= 6, statements


@pytest.mark.slow
async def test_a_store_that_fails_is_asked_again_and_nothing_is_lost(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OperationalError("", {}, Exception("away"))] * 3)
    real = tails.news

    async def failing(*given: Any) -> Any:
        for error in failures:
            raise error
        return await real(*given)

    monkeypatch.setattr(tails, "news", failing)
    async with tailed(sqlite_store, Portions(tail_away_seconds=0.01)) as tail:
        reader = await tail.reader()
        wanted = tail.stored(2)
        assert await ids(reader, 2) == wanted
        assert next(failures, None) is None


@pytest.mark.parametrize("later", [None, Looker(ADA, {}), NotProvenError("expired"), RetryableError("nobody answers")])
async def test_a_tail_ends_when_its_reader_is_not_let_in_any_more(sqlite_store: Store, later: Looker | Exception | None) -> None:
    who = Looker(ADA, {Right.EXCHANGES: EVERYTHING})
    now: list[Looker | Exception | None] = [who]

    async def again() -> Looker | None:
        if isinstance(now[0], Exception):
            raise now[0]
        return now[0]

    async with tailed(sqlite_store, Portions(tail_quiet_seconds=0.02)) as made:

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            await made.app({**scope, "state": {"looker": who, "ask_again": again}}, receive, send)

        reader = Tailing(guarded)
        assert await reader.begin() == 200
        first = made.stored()
        assert (await reader.told()).data["id"] == first[0]
        now[0] = later
        last = await reader.told()
        assert (last.name, last.id) == ("ended", "")
        assert last.data["why"] in (long_answers.GONE, long_answers.UNKNOWN, long_answers.CHANGED)
        while not reader.task.done():
            piece = asyncio.create_task(reader.piece())
            await asyncio.wait({piece, reader.task}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            piece.cancel()
        await reader.leave()


async def test_two_people_at_one_address_have_a_bound_each(sqlite_store: Store) -> None:
    async with tailed(sqlite_store, client_tails=1) as made:

        def of(name: str) -> Any:
            who = Looker(Person(name, "token"), {Right.EXCHANGES: EVERYTHING})

            async def app(scope: Any, receive: Any, send: Any) -> None:
                await made.app({**scope, "state": {"looker": who}}, receive, send)

            return app

        readers_of = [Tailing(of(name)) for name in ("ada", "bob", "ada")]
        assert [await one.begin() for one in readers_of] == [200, 200, 429]
        for one in readers_of:
            await one.leave()


async def test_who_attends_while_an_older_look_is_read_is_told_nothing_twice(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, real = asyncio.Event(), asyncio.Event(), tails.news

    async def slow(*given: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await real(*given)

    monkeypatch.setattr(tails, "news", slow)
    async with tailed(sqlite_store) as tail:
        reader = await tail.reader()
        tail.stored()
        await begun.wait()
        await reader.leave()
        tail.stored()
        again = asyncio.create_task(tail.reader())  # from now on: behind both
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while not tail.app.tails._telling._waiters:
                    await asyncio.sleep(0.001)
        go_on.set()
        reader = await again
        wanted = tail.stored()
        assert await ids(reader, 1) == wanted
