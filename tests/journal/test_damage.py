"""What is damaged on the disk is known, set aside, and stops nothing else."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.errors import DamagedError, RetryableError
from collector.journal import Checkpoint
from collector.journal.schema import PAGE_SIZE
from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Entry, Kind
from tests.journal.conftest import Open
from tests.support.effort import examples

SENDER = "spiffe://cluster.local/ns/models/sa/llama"


def payload(position: int) -> bytes:
    return b"entry %d," % position + bytes([position % 251]) * 900


def source(position: int) -> str:
    return f"node-{position % 3}"


async def filled(open_at: Open, count: int) -> None:
    """A closed file with so many entries."""
    journal = await open_at()
    for position in range(1, count + 1):
        await journal.append(Kind.TAP, source(position), payload(position), sender=SENDER)
    await journal.close()


async def read_all(journal: SqliteJournal) -> list[Entry]:
    found: list[Entry] = []
    while (found[-1].position if found else journal.floor_position) < journal.last_position:
        found += await journal.read(found[-1].position if found else 0, 20_000)
    return found


def change(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def overwrite(path: Path, find: bytes, put: bytes) -> None:
    data = path.read_bytes()
    assert find in data  # more than once where a page was split
    path.write_bytes(data.replace(find, put))


def zero_page(path: Path, found: bytes) -> None:
    """The last one with these bytes on it."""
    data = bytearray(path.read_bytes())
    page = data.rindex(found) // PAGE_SIZE * PAGE_SIZE
    data[page : page + PAGE_SIZE] = bytes(PAGE_SIZE)
    path.write_bytes(data)


def flip_a_byte(path: Path) -> None:
    overwrite(path, b"entry 5,", b"entry 7,")


def flip_the_sender(path: Path) -> None:
    change(path, "UPDATE entries SET sender = 'spiffe://cluster.local/ns/evil/sa/evil' WHERE position = 5")


def flip_the_kind(path: Path) -> None:
    change(path, "UPDATE entries SET kind = 3 WHERE position = 5")


def flip_the_time(path: Path) -> None:
    change(path, "UPDATE entries SET received_at = 1 << 62 WHERE position = 5")


def flip_the_source(path: Path) -> None:
    change(path, "UPDATE entries SET source = CAST(x'6e6fff646521' AS TEXT) WHERE position = 5")


@pytest.mark.parametrize("damage", [flip_a_byte, flip_the_sender, flip_the_kind, flip_the_time, flip_the_source])
async def test_an_entry_that_does_not_fit_its_checksum_comes_back_as_damaged(
    path: Path, open_at: Open, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    await filled(open_at, 9)
    damage(path)
    entries = await read_all(await open_at())
    assert [entry.position for entry in entries] == list(range(1, 10))
    bad = entries.pop(4)
    assert (bad.kind, bad.message) == (Kind.DAMAGED, "the entry at position 5 does not fit its checksum")
    assert bad.received_at == entries[3].received_at  # time does not jump
    assert len(bad.payload) == len(payload(5))
    assert [(e.source, e.payload, e.sender) for e in entries] == [(source(e.position), payload(e.position), SENDER) for e in entries]
    assert "position 5" in caplog.text


async def test_the_time_of_a_damaged_entry_is_the_same_wherever_reading_begins(path: Path, open_at: Open) -> None:
    await filled(open_at, 5)
    change(path, "UPDATE entries SET received_at = 7 WHERE position >= 3")
    journal = await open_at()
    before = (await journal.read(1, 1))[0].received_at
    assert [[e.received_at for e in await journal.read(after, 1)] for after in (1, 2, 3, 4)] == [[before]] * 4


async def test_entries_that_are_gone_are_told_as_one(path: Path, open_at: Open) -> None:
    await filled(open_at, 9)
    change(path, "DELETE FROM entries WHERE position IN (1, 2, 5)")
    entries = await read_all(await open_at())
    assert [(e.position, e.kind, e.message) for e in entries if e.kind is Kind.DAMAGED] == [
        (2, Kind.DAMAGED, "the entries at positions 1 to 2 cannot be read"),
        (5, Kind.DAMAGED, "the entry at position 5 cannot be read"),
    ]
    assert [e.position for e in entries] == [2, 3, 4, 5, 6, 7, 8, 9]


async def test_a_key_that_is_far_too_large_does_not_skip_what_is_behind_it(path: Path, open_at: Open) -> None:
    journal = await open_at()
    for position in range(1, 4):
        await journal.append(Kind.TAP, source(position), payload(position))
    change(path, "UPDATE entries SET position = 1 << 40 WHERE position = 2")
    found = await journal._reader.entries(0, 1 << 20, 3)  # what a damaged cell in the middle of a page is to the reader
    assert [(e.position, e.kind) for e in found] == [(1, Kind.TAP), (2, Kind.DAMAGED), (3, Kind.TAP)]


async def test_a_page_of_zeros_costs_what_was_on_it(path: Path, open_at: Open) -> None:
    await filled(open_at, 200)
    zero_page(path, b"entry 100,")
    journal = await open_at()
    entries = await read_all(journal)
    [bad] = [entry for entry in entries if entry.kind is Kind.DAMAGED]
    good = [entry for entry in entries if entry.kind is Kind.TAP]
    assert len(good) > 180
    assert all(entry.payload == payload(entry.position) for entry in good)
    assert {*range(1, 201)} - {entry.position for entry in good} == {*range(bad.position - (199 - len(good)), bad.position + 1)}
    assert await journal.append(Kind.TAP, "n", b"x") == 201


async def test_what_lies_on_a_damaged_page_is_forgotten_without_touching_it(path: Path, open_at: Open) -> None:
    await filled(open_at, 200)
    zero_page(path, b"entry 100,")
    journal = await open_at()
    await journal.truncate(150)
    assert journal.floor_position == 150
    assert [entry.position for entry in await read_all(journal)] == list(range(151, 201))
    await journal.append(Kind.TAP, "n", b"x")
    await journal.truncate(201)
    await journal.append(Kind.TAP, "n", b"y")
    assert (await read_all(await reopened(journal, open_at)))[0].payload == b"y"


async def reopened(journal: SqliteJournal, open_at: Open) -> SqliteJournal:
    await journal.close()
    return await open_at()


async def test_whatever_happens_to_the_file_no_entry_is_believed_that_was_not_stored(path: Path, open_at: Open) -> None:
    count = 120
    await filled(open_at, count)
    whole, tried = path.read_bytes(), examples(60)
    read, marked = 0, 0
    for seed in range(tried):
        path.write_bytes(damaged(whole, random.Random(seed)))
        try:
            journal = await open_at()
        except (DamagedError, RetryableError):
            continue
        try:
            entries = await read_all(journal)
        except DamagedError:
            continue
        finally:
            await journal.close()
        read += 1
        marked += sum(entry.kind is Kind.DAMAGED for entry in entries)
        positions = [entry.position for entry in entries]
        assert positions == sorted(set(positions)), seed
        assert positions == [] or positions[-1] >= journal.last_position, seed
        for entry in entries:
            if entry.kind is not Kind.DAMAGED:
                assert (entry.kind, entry.payload) == (Kind.TAP, payload(entry.position)), seed
                assert (entry.source, entry.sender) == (source(entry.position), SENDER), seed
    assert read > tried // 2, "most files are read all the same"
    assert marked, "no damage met an entry"


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """A byte flipped, a stretch of a page overwritten, or a page zeroed; of the first page (the schema) seldom anything."""
    data = bytearray(whole)
    first = 0 if chance.random() < 0.1 else PAGE_SIZE
    at = chance.randrange(first, len(data))
    match chance.randrange(3):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            length = min(chance.randrange(1, 300), len(data) - at)
            data[at : at + length] = chance.randbytes(length)
        case 2:
            page = at // PAGE_SIZE * PAGE_SIZE
            data[page : page + PAGE_SIZE] = bytes(PAGE_SIZE)
    return bytes(data)


async def with_checkpoints(open_at: Open, *states: tuple[int, bytes]) -> SqliteJournal:
    await filled(open_at, 9)
    journal = await open_at()
    for position, state in states:
        await journal.save_checkpoint(Checkpoint(position, state))
    return journal


def damage_checkpoint(path: Path, position: int) -> None:
    for side in (0, 1):
        which = "SELECT id FROM checkpoints WHERE position = ?"
        change(path, f"UPDATE checkpoint_chunks_{side} SET data = x'00' WHERE checkpoint IN ({which})", position)


async def test_a_damaged_checkpoint_gives_way_to_the_one_before(path: Path, open_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    journal = await with_checkpoints(open_at, (3, b"three"))
    await journal.truncate(3)
    await journal.save_checkpoint(Checkpoint(7, b"seven"))
    damage_checkpoint(path, 7)
    assert await journal.checkpoint(9) == Checkpoint(3, b"three")
    assert "the checkpoint at position 7 is damaged" in caplog.text
    assert [entry.position for entry in await read_all(journal)] == [4, 5, 6, 7, 8, 9]


async def test_a_checkpoint_that_tells_another_position_is_not_believed(path: Path, open_at: Open) -> None:
    journal = await with_checkpoints(open_at, (7, b"seven"))
    change(path, "UPDATE checkpoints SET position = 5")
    assert await journal.checkpoint(9) is None


async def test_one_page_of_zeros_costs_one_checkpoint_of_two(path: Path, open_at: Open) -> None:
    journal = await with_checkpoints(open_at, (3, b"state three"))
    await journal.truncate(3)
    await journal.save_checkpoint(Checkpoint(7, b"state seven"))
    await journal.close()
    whole = path.read_bytes()
    for found, left in ((b"state seven", Checkpoint(3, b"state three")), (b"state three", Checkpoint(7, b"state seven"))):
        path.write_bytes(whole)
        zero_page(path, found)
        journal = await open_at()
        assert await journal.checkpoint(9) == left
        await journal.close()


async def test_a_damaged_last_entry_does_not_decide_on_the_time_of_all_that_come(path: Path, open_at: Open) -> None:
    await filled(open_at, 9)
    before = (await read_all(first := await open_at()))[-2].received_at
    await first.close()
    change(path, "UPDATE entries SET received_at = 1 << 62 WHERE position = 9")
    journal = await open_at()
    assert journal.last_received_at == before
    assert await journal.append(Kind.TAP, "n", b"x") == 10


async def test_bytes_that_are_kept_are_counted_anew_where_the_count_is_damaged(path: Path, open_at: Open) -> None:
    await filled(open_at, 9)
    change(path, "UPDATE entries SET total_bytes = total_bytes + (1 << 40) WHERE position = 9")
    journal = await open_at()
    assert journal.kept_bytes == sum(len(payload(position)) for position in range(1, 10))
