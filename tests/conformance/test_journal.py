"""What every journal guarantees. A new implementation adds its `Place` to `make_place` and runs the whole suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from collector.correlate import Correlator, Limits
from collector.errors import JournalFullError, RetryableError
from collector.journal import Checkpoint, Journal
from collector.messages.entry import Entry, Kind
from tests.support.journals import ALL, MIB, Place, make_place


@pytest.fixture(params=["sqlite", "kafka"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """For what every journal does."""
    made = make_place(request.param, request, tmp_path)
    yield made
    await made.close()


@pytest.fixture(params=["sqlite"])
async def local(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """For what a journal does besides that is written and read by one process: it forgets at once, and hands entries on from memory."""
    made = make_place(request.param, request, tmp_path)
    yield made
    await made.close()


async def fill(journal: Journal, *payloads: bytes) -> list[int]:
    return [await journal.append(Kind.TAP, "node-a", payload) for payload in payloads]


async def read_all(journal: Journal, after: int, last: int, max_bytes: int = ALL) -> list[Entry]:
    found: list[Entry] = []
    while after < last:
        found += await journal.read(after, max_bytes)
        after = found[-1].position
    return found


def positions(entries: Sequence[Entry]) -> list[int]:
    return [entry.position for entry in entries]


async def test_positions_count_from_one_without_holes(place: Place) -> None:
    assert await fill(await place.open(), b"a", b"b", b"c") == [1, 2, 3]


async def test_an_entry_comes_back_as_it_was_appended(place: Place) -> None:
    journal = await place.open()
    await journal.append(Kind.ACCESS_LOG, "sidecar~10.0.0.1~é\0~x", b"\x00\xff")
    [entry] = await journal.read(0, ALL)
    assert entry[:5] == (1, Kind.ACCESS_LOG, "sidecar~10.0.0.1~é\0~x", place.clock.now, b"\x00\xff")


async def test_an_entry_comes_back_after_reopening_as_it_was_appended(place: Place) -> None:
    journal = await place.open()
    await journal.append(Kind.REFUSED, "é\0", b"\x00\xff", message=object())
    [entry] = await (await place.open()).read(0, ALL)
    assert entry[:7] == Entry(1, Kind.REFUSED, "é\0", place.clock.now, b"\x00\xff", None)[:7]
    assert isinstance(entry.kind, Kind)


@pytest.mark.parametrize("reopened", [False, True], ids=["live", "stored"])
async def test_the_verified_sender_comes_back_with_the_entry(place: Place, reopened: bool) -> None:
    journal, sender = await place.open(), "spiffe://cluster.local/ns/models/sa/llama"
    await journal.append(Kind.TAP, "n", b"x", sender=sender)
    await journal.append(Kind.TAP, "n", b"x", sender="é" * 1000)
    await journal.append(Kind.TAP, "n", b"x")
    journal = await place.open() if reopened else journal
    entries = await read_all(journal, 0, 3)
    assert [(entry.payload, entry.sender) for entry in entries] == [(b"x", sender), (b"x", "é" * 1000), (b"x", "")]


async def test_a_live_entry_carries_the_parsed_message(local: Place) -> None:
    journal, message = await local.open(), object()
    await journal.append(Kind.TAP, "n", b"x", message)
    [entry] = await journal.read(0, ALL)
    assert entry.message is message


async def test_an_empty_payload_is_an_entry(place: Place) -> None:
    journal = await place.open()
    await journal.append(Kind.TICK, "", b"")
    assert [entry.payload for entry in await journal.read(0, ALL)] == [b""]


async def test_read_waits_for_the_next_entry(place: Place) -> None:
    journal = await place.open()
    await fill(journal, b"old")
    reading = asyncio.create_task(journal.read(1, ALL))
    await asyncio.sleep(0)
    assert not reading.done()
    await fill(journal, b"new")
    assert [entry.payload for entry in await reading] == [b"new"]


async def test_all_waiting_readers_get_the_next_entry(place: Place) -> None:
    journal = await place.open()
    readings = [asyncio.create_task(journal.read(0, ALL)) for _ in range(3)]
    await asyncio.sleep(0)
    await fill(journal, b"x")
    assert [positions(await reading) for reading in readings] == [[1]] * 3


@pytest.mark.parametrize("reopened", [False, True], ids=["live", "stored"])
async def test_read_returns_what_fits_but_at_least_one(place: Place, reopened: bool) -> None:
    journal = await place.open()
    await fill(journal, b"x" * 100, b"x" * 100, b"x" * 100)
    journal = await place.open() if reopened else journal
    assert positions(await journal.read(0, 250)) == [1, 2]
    assert positions(await journal.read(0, 200)) == [1, 2]
    assert positions(await journal.read(2, 1)) == [3]


async def test_concurrent_appends_have_no_holes_and_keep_the_order_of_each_appender(place: Place) -> None:
    journal = await place.open()

    async def appender(name: str) -> None:
        for number in range(50):
            await journal.append(Kind.TAP, name, str(number).encode())

    await asyncio.gather(*(appender(f"node-{n}") for n in range(8)))
    entries = await read_all(journal, 0, 400)
    assert positions(entries) == list(range(1, 401))
    for n in range(8):
        assert [e.payload for e in entries if e.source == f"node-{n}"] == [str(k).encode() for k in range(50)]


async def test_entries_without_waiting_are_stored_in_the_order_they_were_handed_over(place: Place) -> None:
    journal = await place.open()
    assert await asyncio.gather(*(journal.append(Kind.TAP, "n", b"%d" % n) for n in range(500))) == list(range(1, 501))
    assert [e.payload for e in await read_all(journal, 0, 500)] == [b"%d" % n for n in range(500)]


async def test_received_at_never_goes_back(place: Place) -> None:
    journal, start = await place.open(), place.clock.now
    for step in (0, 5, -100, -3, 7):
        place.clock.now = start + step
        await fill(journal, b"x")
    place.clock.now = start - 1000
    journal = await place.open()
    await fill(journal, b"x")
    correlator, heard = Correlator(Limits()), []
    for entry in await read_all(journal, 0, 6):
        correlator.feed(entry)
        heard.append(correlator.received.now - start)
    assert heard == sorted(heard)
    assert heard[1] == heard[2] == 5  # set back, and nothing passed
    assert 5 < heard[3] < heard[4] < 97 + 10


async def test_received_at_never_goes_back_when_all_entries_are_forgotten(local: Place) -> None:
    journal, start = await local.open(), local.clock.now
    await fill(journal, b"x")
    await journal.truncate(1)
    local.clock.now = start - 1000
    journal = await local.open()
    await fill(journal, b"x")
    assert [e.received_at for e in await journal.read(1, ALL)] == [start]


async def test_reopening_keeps_the_id_the_entries_and_the_count(place: Place) -> None:
    journal = await place.open()
    name = journal.id
    await fill(journal, b"a", b"b")
    journal = await place.open()
    assert journal.id == name
    assert await fill(journal, b"c") == [3]
    assert [e.payload for e in await read_all(journal, 0, 3)] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("reopened", [False, True], ids=["live", "reopened"])
async def test_a_position_is_never_used_again_though_all_entries_are_forgotten(local: Place, reopened: bool) -> None:
    journal = await local.open()
    await fill(journal, b"a", b"b", b"c")
    await journal.truncate(3)
    journal = await local.open() if reopened else journal
    assert await fill(journal, b"d") == [4]
    assert [e.payload for e in await journal.read(0, ALL)] == [b"d"]


async def test_truncation_beyond_the_end_forgets_only_what_is_there(local: Place) -> None:
    journal = await local.open()
    await fill(journal, b"a")
    await journal.truncate(1000)
    assert await fill(journal, b"b") == [2]
    assert positions(await journal.read(0, ALL)) == [2]


async def test_what_is_above_the_truncation_stays(place: Place) -> None:
    journal = await place.open()
    await fill(journal, b"a", b"b", b"c")
    await journal.truncate(2)
    assert positions(await read_all(journal, 2, 3)) == [3]
    assert positions(await read_all(await place.open(), 2, 3)) == [3]


async def test_keep_bytes_of_truncated_entries_stay_readable(local: Place) -> None:
    journal = await local.open(keep_bytes=250)
    await fill(journal, *[b"x" * 100] * 10)
    await journal.truncate(8)
    assert positions(await read_all(await local.open(keep_bytes=250), 5, 10)) == [6, 7, 8, 9, 10]


async def test_at_the_quota_appends_are_refused_until_there_is_room(local: Place) -> None:
    journal = await local.open(quota_bytes=MIB)
    await fill(journal, bytes(MIB // 2), bytes(MIB // 2))
    with pytest.raises(JournalFullError, match="quota"):
        await fill(journal, b"x")
    journal = await local.open(quota_bytes=MIB)
    assert journal.fault is None
    with pytest.raises(JournalFullError, match="quota"):
        await fill(journal, b"x")
    assert "quota" in (journal.fault or "")
    await journal.truncate(1)
    assert await fill(journal, b"x") == [3]


async def test_after_truncation_and_reopening_the_whole_quota_is_there_again(local: Place) -> None:
    journal = await local.open(quota_bytes=MIB)
    await fill(journal, bytes(MIB))
    await journal.truncate(1)
    journal = await local.open(quota_bytes=MIB)
    assert await fill(journal, bytes(MIB)) == [2]


async def test_a_tick_passes_at_the_quota(local: Place) -> None:
    journal = await local.open(quota_bytes=MIB)
    await fill(journal, bytes(MIB))
    assert await journal.append(Kind.TICK, "", b"") == 2


async def test_what_waits_in_memory_is_bounded_and_nothing_accepted_is_lost(place: Place) -> None:
    journal = await place.open(max_waiting_bytes=4 * MIB)
    answers = await asyncio.gather(*(journal.append(Kind.TAP, "n", bytes(MIB)) for _ in range(40)), return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, int)]
    assert all(isinstance(answer, int | JournalFullError) for answer in answers)
    assert accepted == list(range(1, len(accepted) + 1))
    assert 1 <= len(accepted) < 8
    assert await fill(journal, b"x") == [len(accepted) + 1]


async def test_an_entry_larger_than_the_waiting_bound_passes_when_nothing_else_waits(place: Place) -> None:
    journal = await place.open(max_waiting_bytes=MIB)
    assert await fill(journal, bytes(2 * MIB)) == [1]


async def test_an_append_whose_caller_went_away_leaves_the_others_alone(place: Place) -> None:
    journal = await place.open()
    tasks = [asyncio.create_task(journal.append(Kind.TAP, "n", b"%d" % n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert (await tasks[0], await tasks[2]) == (1, 3)


async def test_close_makes_everything_durable(place: Place) -> None:
    journal = await place.open()
    appends = [asyncio.create_task(journal.append(Kind.TAP, "n", b"%d" % n)) for n in range(300)]
    await asyncio.sleep(0)
    await journal.close()
    assert [await append for append in appends] == list(range(1, 301))
    assert len(await read_all(await place.open(), 0, 300)) == 300


async def test_after_close_appends_and_reads_raise(place: Place) -> None:
    journal = await place.open()
    reading = asyncio.create_task(journal.read(0, ALL))
    await asyncio.sleep(0)
    await journal.close()
    for refused in (reading, journal.append(Kind.TICK, "", b""), journal.read(0, 1), journal.checkpoint(0), journal.truncate(1)):
        with pytest.raises(RetryableError, match="closed"):
            await refused


async def test_there_is_no_checkpoint_at_first(place: Place) -> None:
    assert await (await place.open()).checkpoint(1 << 60) is None


@pytest.mark.parametrize("size", [0, 10, 9 * MIB + 1])
async def test_a_checkpoint_survives_reopening(place: Place, size: int) -> None:
    journal, state = await place.open(), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await fill(journal, b"a")
    await journal.save_checkpoint(Checkpoint(1, state))
    assert await journal.checkpoint(1) == Checkpoint(1, state)
    assert await (await place.open()).checkpoint(100) == Checkpoint(1, state)
    assert await (await place.open()).checkpoint(0) is None


async def test_the_checkpoint_saved_last_and_the_one_of_the_last_truncation_are_kept(place: Place) -> None:
    journal = await place.open()
    await fill(journal, *[b"x"] * 9)
    await journal.save_checkpoint(Checkpoint(2, b"two"))
    await journal.truncate(2)
    for position in (5, 7, 9):
        await journal.save_checkpoint(Checkpoint(position, b"state"))
    kept = [await journal.checkpoint(at_most) for at_most in (1, 2, 4, 5, 8, 9)]
    assert [c and c.position for c in kept] == [None, 2, 2, 2, 2, 9]


async def test_a_truncation_lets_older_checkpoints_go(place: Place) -> None:
    journal = await place.open()
    await fill(journal, *[b"x"] * 9)
    await journal.save_checkpoint(Checkpoint(2, b"two"))
    await journal.truncate(2)
    await journal.save_checkpoint(Checkpoint(9, b"nine"))
    await journal.truncate(9)
    assert await journal.checkpoint(8) is None
    assert await journal.checkpoint(9) == Checkpoint(9, b"nine")


async def test_a_checkpoint_saved_again_at_the_same_position_replaces_the_first(place: Place) -> None:
    journal = await place.open()
    await fill(journal, b"x")
    await journal.save_checkpoint(Checkpoint(1, b"first"))
    await journal.save_checkpoint(Checkpoint(1, b"second"))
    assert await journal.checkpoint(1) == Checkpoint(1, b"second")


async def test_entries_behind_the_newest_usable_checkpoint_are_not_forgotten(local: Place) -> None:
    journal = await local.open()
    await fill(journal, *[b"x"] * 9)
    await journal.save_checkpoint(Checkpoint(3, b"three"))
    await journal.truncate(7)
    assert positions(await read_all(journal, 0, 9)) == [4, 5, 6, 7, 8, 9]


async def test_appends_pass_while_a_large_checkpoint_is_saved_and_loaded(place: Place) -> None:
    journal, state = await place.open(), bytes(40 * MIB)
    saving = asyncio.create_task(journal.save_checkpoint(Checkpoint(0, state)))
    passed = 0
    while not saving.done():
        await fill(journal, b"x")
        passed += 1
    await saving
    assert passed > 5
    assert await journal.checkpoint(0) == Checkpoint(0, state)


async def test_appends_pass_while_many_entries_are_forgotten(local: Place) -> None:
    journal = await local.open(quota_bytes=128 * MIB)
    await fill(journal, *[bytes(MIB)] * 60)
    truncating = asyncio.create_task(journal.truncate(60))
    passed = 0
    while not truncating.done():
        await fill(journal, b"x")
        passed += 1
    await truncating
    assert passed > 5


async def test_a_reader_sees_every_entry_once_in_order_while_others_append_and_truncate(place: Place) -> None:
    journal, total = await place.open(max_waiting_bytes=ALL), 2000
    seen: list[bytes] = []

    async def appender(start: int) -> None:
        for number in range(start, total, 4):
            await journal.append(Kind.TAP, "n", b"%06d" % number + bytes(number * 7 % 3000))

    async def reader() -> None:
        position = 0
        while position < total:
            entries = await journal.read(position, 20_000)
            assert positions(entries) == list(range(position + 1, position + 1 + len(entries)))
            seen.extend(entry.payload[:6] for entry in entries)
            position = entries[-1].position
            if position % 3 == 0:
                await journal.truncate(position)

    await asyncio.gather(reader(), *(appender(n) for n in range(4)))
    assert sorted(seen) == [b"%06d" % n for n in range(total)]


async def test_a_reader_that_fell_behind_catches_up_and_gets_live_entries_again(local: Place) -> None:
    journal = await local.open(quota_bytes=128 * MIB)
    live = [object() for _ in range(80)]
    for message in live:  # more than any journal keeps in memory
        await journal.append(Kind.TAP, "n", bytes(MIB), message)
    entries = await read_all(journal, 0, 80, 3 * MIB)
    assert positions(entries) == list(range(1, 81))
    assert entries[0].message is None
    assert entries[-1].message is live[-1]
