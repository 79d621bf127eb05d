"""A damaged page costs the entries on it, wherever it is: not the start, and not its neighbours."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path

import pytest

from collector.journal.reader import read_holdings
from collector.journal.schema import PAGE_SIZE
from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Kind
from tests.journal.conftest import Open
from tests.journal.test_damage import change, filled, payload, read_all

LARGE = 30_000


def mark(position: int) -> bytes:
    return b"the middle of entry %d." % position


async def filled_with_large(open_at: Open, count: int) -> None:
    """A closed file with entries that take several pages each; one between the first and the last holds the mark."""
    journal = await open_at()
    for position in range(1, count + 1):
        await journal.append(Kind.TAP, f"node-{position % 2}", (bytes(12_000) + mark(position)).ljust(LARGE), sender="s")
    await journal.close()


def zero_page_of(path: Path, content: bytes) -> None:
    data = path.read_bytes()
    page = data.rindex(content) // PAGE_SIZE * PAGE_SIZE
    path.write_bytes(data[:page] + bytes(PAGE_SIZE) + data[page + PAGE_SIZE :])


async def kinds(journal: SqliteJournal) -> list[Kind]:
    return [entry.kind for entry in await read_all(journal)]


@pytest.mark.parametrize("damaged", [[9], [8, 9], [7, 9]], ids=str)
async def test_the_newest_entry_may_be_damaged(path: Path, open_at: Open, damaged: list[int]) -> None:
    await filled_with_large(open_at, 9)
    for position in damaged:
        zero_page_of(path, mark(position))
    journal = await open_at()
    assert journal.kept_bytes == 9 * LARGE
    assert await journal.append(Kind.TAP, "n", b"x") == 10
    await journal.close()
    entries = await read_all(journal := await open_at())
    told = {position for entry in entries if entry.kind is Kind.DAMAGED for position in damaged if position <= entry.position}
    assert told == {*damaged}
    assert {entry.position for entry in entries if entry.kind is Kind.TAP} == {*range(1, 11)} - {*damaged}
    assert journal.last_received_at >= entries[-1].received_at


@pytest.mark.parametrize("column", ["kind", "source", "sender", "received_at", "total_bytes", "crc", "payload"])
async def test_a_column_of_the_newest_entry_may_be_of_another_type(path: Path, open_at: Open, column: str) -> None:
    await filled(open_at, 3)
    with_another_type(path, column)
    journal = await open_at()
    assert await journal.append(Kind.TAP, "n", b"x") == 4
    found = await read_all(journal)
    assert [entry.kind for entry in found[:2] + found[-1:]] == [Kind.TAP] * 3
    assert found[2].kind is (Kind.TAP if column == "total_bytes" else Kind.DAMAGED)


def with_another_type(path: Path, column: str) -> None:
    """A text that is no UTF-8, in the third entry."""
    schema = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'entries'"
    for before, after, change_too in ((") STRICT", ")", None), (")", ") STRICT", f"UPDATE entries SET {column} = CAST(x'fe' AS TEXT)")):
        connection = sqlite3.connect(path)
        if change_too is not None:
            connection.execute(change_too + " WHERE position = 3")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(schema, (before, after))
        connection.commit()
        connection.close()


async def test_whose_the_entries_are_is_known_without_their_payloads(path: Path, open_at: Open) -> None:
    await filled_with_large(open_at, 9)
    zero_page_of(path, mark(5))
    assert await (await open_at()).holdings() == [(position, f"node-{position % 2}", "s", LARGE) for position in range(1, 10)]


async def test_where_a_page_of_them_is_damaged_all_shares_start_empty(path: Path, open_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    await filled(open_at, 200)
    zero_page_of(path, b"entry 100,")
    assert await (await open_at()).holdings() == []
    assert "all shares start empty" in caplog.text


def test_an_entry_that_lost_its_source_is_nobodys() -> None:
    connection = sqlite3.connect(":memory:")
    connection.text_factory = bytes
    connection.execute("CREATE TABLE meta (truncated, floor_position)")
    connection.execute("CREATE TABLE entries (position INTEGER PRIMARY KEY, source, sender, payload)")
    connection.execute("INSERT INTO meta VALUES (0, 0)")
    connection.execute("INSERT INTO entries VALUES (1, NULL, 'a', x'00'), (2, 5, 'a', NULL)")
    assert read_holdings(connection) == [(1, "", "a", 1), (2, "", "a", 0)]
    connection.close()


@pytest.mark.slow
async def test_what_lies_behind_a_hole_of_any_size_is_read(path: Path, open_at: Open) -> None:
    journal = await open_at()
    await asyncio.gather(*(journal.append(Kind.TAP, "n", b"%d" % position) for position in range(1, 9001)))
    await journal.close()
    change(path, "DELETE FROM entries WHERE position BETWEEN 2 AND 8990")
    entries = await read_all(await open_at())
    assert [(entry.position, entry.kind) for entry in entries] == [
        (1, Kind.TAP),
        (8990, Kind.DAMAGED),
        *((position, Kind.TAP) for position in range(8991, 9001)),
    ]


async def test_a_read_is_as_large_as_its_payloads_whatever_the_totals_say(path: Path, open_at: Open) -> None:
    await filled(open_at, 20)
    change(path, "UPDATE entries SET total_bytes = 0")
    journal = await open_at()
    assert [entry.position for entry in await journal.read(0, 3 * len(payload(1)))] == [1, 2, 3]
    assert [entry.position for entry in await journal.read(3, 1)] == [4]


async def test_a_start_reads_two_entries_for_the_bytes_that_are_kept(path: Path, open_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await filled(open_at, 200)
    zero_page_of(path, b"entry 100,")
    assert (await open_at()).kept_bytes == sum(len(payload(position)) for position in range(1, 201))
    assert not caplog.records


async def test_entries_below_the_floor_are_not_counted(path: Path, open_at: Open) -> None:
    """They stay where a damaged page is among them."""
    await filled(open_at, 20)
    change(path, "UPDATE meta SET floor_position = 15, floor_total = (SELECT total_bytes FROM entries WHERE position = 15)")
    expected = sum(len(payload(position)) for position in range(16, 21))
    first = await open_at()
    assert first.kept_bytes == expected
    await first.close()
    change(path, "UPDATE entries SET total_bytes = 7 WHERE position = 20")
    assert (await open_at()).kept_bytes == expected
