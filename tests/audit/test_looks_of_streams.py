"""What a long answer shows is told of before it is sent: each exchange of an export, of a tail some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from collector.access.look_writer import LookWriter
from collector.access.looker import EVERYTHING, Looker, Right
from collector.audit.tail import TELL_EACH
from tests.audit.lookers import ADA, looker, looks_in, seen_by, written_down
from tests.audit.reading import Tailing
from tests.audit.rows import JOURNAL, NOW, Store, exchange

FROM_THE_BEGINNING = f"after={JOURNAL}:0:0"


def stored(store: Store, count: int) -> list[str]:
    rows = [exchange(NOW + number, position=number) for number in range(1, count + 1)]
    store.exchanges(*rows)
    return [row["id"] for row in rows]


@asynccontextmanager
async def tailing(store: Store, who: Looker, writer: LookWriter) -> AsyncIterator[Tailing]:
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # as the sink has it: it writes while others read
    async with seen_by(store, who, looks=writer) as client:
        reader = Tailing(client._transport.app, FROM_THE_BEGINNING)  # type: ignore[attr-defined]
        assert await reader.begin() == 200
        yield reader
        await reader.leave()


def renamed(store: Store, before: str, after: str) -> None:
    def rename(connection: Any) -> None:
        connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    store.transact(rename)


async def test_a_tail_names_the_exchanges_whose_texts_it_is_about_to_show(sqlite_store: Store) -> None:
    ids = stored(sqlite_store, 3)
    async with written_down(sqlite_store) as writer, tailing(sqlite_store, looker(*Right), writer) as reader:
        assert (await reader.told()).data["id"] == ids[0]
        begun, shown = looks_in(sqlite_store)
        assert (begun["action"], begun["count"], begun["shown"]) == ("tail", 0, 0)
        assert (shown["action"], shown["count"], shown["shown"]) == ("tail", 3, 3)
        assert all(one.encode() in shown["exchanges"] for one in ids)


async def test_a_tail_without_texts_names_none(sqlite_store: Store) -> None:
    stored(sqlite_store, 3)
    who = Looker(ADA, {Right.EXCHANGES: EVERYTHING})
    async with written_down(sqlite_store) as writer, tailing(sqlite_store, who, writer) as reader:
        await reader.told()
        assert [(look["count"], look["shown"]) for look in looks_in(sqlite_store)] == [(0, 0), (3, 0)]


@pytest.mark.slow
async def test_a_tail_with_texts_ends_where_its_look_cannot_be_written(sqlite_store: Store) -> None:
    stored(sqlite_store, 3)
    async with written_down(sqlite_store, seconds=0.05) as writer:
        async with seen_by(sqlite_store, looker(*Right), looks=writer) as client:
            reader = Tailing(client._transport.app, FROM_THE_BEGINNING)  # type: ignore[attr-defined]
            assert (await reader.piece())["status"] == 200
            renamed(sqlite_store, "looks", "away")
            told = (await reader.piece())["body"]
            await asyncio.wait({reader.task}, timeout=20)
            assert reader.task.done()
            assert b"event: exchange" not in told
            await reader.leave()
        renamed(sqlite_store, "away", "looks")


@pytest.mark.slow
async def test_what_a_tail_showed_last_is_told_when_its_reader_leaves(sqlite_store: Store) -> None:
    ids = stored(sqlite_store, TELL_EACH + 2)
    async with written_down(sqlite_store) as writer:
        async with tailing(sqlite_store, looker(*Right), writer) as reader:
            for _ in ids:
                await reader.told()
        looks = looks_in(sqlite_store)
    assert sum(look["count"] for look in looks) == len(ids)
    assert sum(look["shown"] for look in looks) == len(ids)
    assert all(any(one.encode() in look["exchanges"] for look in looks) for one in ids)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_each_page_of_an_export_is_a_look_that_names_its_exchanges(sqlite_store: Store, form: str) -> None:
    ids = stored(sqlite_store, 1200)
    async with written_down(sqlite_store) as writer, seen_by(sqlite_store, looker(*Right), looks=writer) as client:
        assert (await client.get(f"/v1/export?format={form}")).status_code == 200
    looks = looks_in(sqlite_store)
    assert [(look["action"], look["count"], look["shown"]) for look in looks] == [("export", 1000, 1000), ("export", 200, 200)]
    assert all(any(one.encode() in look["exchanges"] for look in looks) for one in ids)
