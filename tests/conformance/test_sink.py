"""What every sink guarantees (collector/sinks/protocol.py), on every implementation.

To add one, subclass Bed in sink_beds.py and add it to BEDS.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import select

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Output, Place
from collector.sinks.protocol import WHOLE, Sink, Target
from collector.store.schema import places
from tests.conformance.sink_beds import BEDS, BY_ID, Bed, SqlBed
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange, exchanges, identity, window
from tests.support.sql import rows

OTHER = "0192bbbb-0000-7000-8000-000000000002"


@pytest_asyncio.fixture(params=BEDS)
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    made = BEDS[request.param](request)
    await made.prepare()
    yield made
    await made.close()


@pytest_asyncio.fixture
async def sink(bed: Bed) -> AsyncIterator[Target]:
    made = bed.sink()
    yield made
    await made.close()


def ids(outputs: list[Output]) -> list[str]:
    return sorted(event.id for output in outputs for event in output.events)


async def test_an_empty_store_is_before_the_first_position(sink: Sink) -> None:
    assert await sink.high(JOURNAL) == Place(0, WHOLE)


async def test_what_was_written_is_held_with_its_place(bed: Bed, sink: Sink) -> None:
    outputs = [exchange(Place(1, 0), request=b"{}" * 200, response=b"[1]"), window(Place(2, 0))]
    await sink.write(JOURNAL, outputs, Place(2, 7))
    assert sorted(await bed.events()) == ids(outputs)
    assert await sink.high(JOURNAL) == Place(2, 7)
    assert sorted(await bed.bodies()) == sorted([b"{}" * 200, b"[1]"])


async def test_a_restart_resumes_at_high(bed: Bed) -> None:
    first = bed.sink()
    await first.write(JOURNAL, exchanges(3), Place(3, WHOLE))
    await first.close()
    second = bed.sink()
    assert await second.high(JOURNAL) == Place(3, WHOLE)
    await second.close()


async def test_a_replay_is_invisible(bed: Bed, sink: Sink) -> None:
    outputs = [*exchanges(20, request=b"abc"), window(Place(21, 0))]
    await sink.write(JOURNAL, outputs, Place(21, 0))
    await sink.write(JOURNAL, outputs[10:], Place(21, 0))
    await sink.write(JOURNAL, outputs[::-1], Place(21, 0))
    assert sorted(await bed.events()) == ids(outputs)


async def test_high_never_goes_back(bed: Bed, sink: Sink) -> None:
    await sink.write(JOURNAL, exchanges(1), Place(9, 4))
    await sink.write(JOURNAL, exchanges(1), Place(9, 3))
    await sink.write(JOURNAL, [], Place(8, WHOLE))
    assert await sink.high(JOURNAL) == Place(9, 4)


async def test_a_place_can_move_without_events(bed: Bed, sink: Sink) -> None:
    await sink.write(JOURNAL, [], Place(1000, WHOLE))
    assert await sink.high(JOURNAL) == Place(1000, WHOLE)
    assert await bed.events() == []


async def test_what_is_sent_again_is_held_and_moves_no_place(bed: Bed, sink: Target) -> None:
    await sink.write(JOURNAL, exchanges(2), Place(2, 0))
    again = exchanges(3, first=7, request=b"abc")
    await sink.resend(JOURNAL, again[:1])
    await sink.resend(JOURNAL, again[1:])
    assert await sink.high(JOURNAL) == Place(2, 0)
    await sink.write(JOURNAL, exchanges(1, first=3), Place(3, 0))
    assert sorted(await bed.events()) == sorted([*ids(exchanges(3)), *ids(again)])


@pytest.mark.parametrize("bed", ["sqlite", "postgres"], indirect=True)
async def test_what_is_sent_again_makes_no_journal_known(bed: SqlBed, sink: Target) -> None:
    await sink.resend(OTHER, exchanges(1))
    assert await rows(bed.settings, select(places.c.journal)) == []


async def test_every_journal_has_its_own_place(sink: Sink) -> None:
    await sink.write(JOURNAL, [], Place(5, 1))
    await sink.write(OTHER, [], Place(2**62, 2))
    assert (await sink.high(JOURNAL), await sink.high(OTHER)) == (Place(5, 1), Place(2**62, 2))


async def test_the_order_of_a_journal_is_kept(bed: Bed, sink: Sink) -> None:
    later_first = [exchange(Place(n, 0), NOW_US - n * 1_000_000, data=b"%d" % n) for n in range(1, 30)]
    await sink.write(JOURNAL, later_first[:11], Place(11, 0))
    await sink.write(JOURNAL, later_first[11:], Place(29, 0))
    assert await bed.records() == [b"%d" % n for n in range(1, 30)]


async def test_an_oversized_event_never_fails_and_holds_what_the_store_takes(bed: Bed, sink: Sink) -> None:
    body = os.urandom(5 << 20)
    outputs = [exchange(Place(1, 0), request=body, response=body[::-1]), *exchanges(1, first=2)]
    await sink.write(JOURNAL, outputs, Place(2, 0))
    assert sorted(await bed.events()) == ids(outputs)
    for whole, held in zip(sorted([body, body[::-1]]), sorted(await bed.bodies()), strict=True):
        assert whole.startswith(held)
        assert len(held) >= (len(whole) if bed.largest_body is None else bed.largest_body - 4096)


async def test_a_batch_of_large_bodies_is_one_transaction(bed: Bed, sink: Sink) -> None:
    outputs = [exchange(Place(n, 0), NOW_US + n, salt=str(n), response=os.urandom(1 << 20)) for n in range(1, 25)]
    await sink.write(JOURNAL, outputs, Place(24, 0))
    assert len(await bed.bodies()) == 24


async def test_a_revision_replaces_what_was_before(bed: Bed, sink: Sink) -> None:
    await sink.write(JOURNAL, exchanges(3), Place(3, 0))
    await sink.write(JOURNAL, [exchange(Place(4, 0), NOW_US + 1000, salt="1", revision=1)], Place(4, 0))
    await sink.write(JOURNAL, [exchange(Place(5, 0), NOW_US + 1000, salt="1", revision=2)], Place(5, 0))
    assert (identity(NOW_US + 1000, "1"), 2) in await bed.newest()
    assert sorted(revision for _, revision in await bed.newest()) == [0, 0, 2]


async def test_revisions_in_one_batch_leave_the_last(bed: Bed, sink: Sink) -> None:
    outputs = [exchange(Place(n + 1, 0), NOW_US, revision=n) for n in range(4)]
    await sink.write(JOURNAL, outputs, Place(4, 0))
    assert await bed.newest() == [(identity(NOW_US), 3)]


async def test_a_revision_that_comes_before_what_it_replaces_stays_the_newest(bed: Bed, sink: Sink) -> None:
    await sink.write(JOURNAL, [exchange(Place(2, 0), NOW_US, revision=1)], Place(2, 0))
    await sink.write(JOURNAL, [exchange(Place(1, 0), NOW_US, revision=0)], Place(2, 0))
    assert await bed.newest() == [(identity(NOW_US), 1)]


@pytest.mark.parametrize("start_us", [0, 999, 60 * DAY_US, 4_102_444_800_000_000, (2**48 - 1) * 1000, NOW_US - 3 * DAY_US, NOW_US + DAY_US])
async def test_any_start_time_can_be_stored(bed: Bed, sink: Sink, start_us: int) -> None:
    outputs = [exchange(Place(1, 0), start_us, request=b"x"), exchange(Place(2, 0), NOW_US, salt="n"), window(Place(3, 0), start_us)]
    await sink.write(JOURNAL, outputs, Place(3, 0))
    assert sorted(await bed.events()) == ids(outputs)


@pytest.mark.parametrize(
    "hostile",
    [
        {"path": "/a\0b", "method": "\0"},
        {"model": "\ud800"},
        {"request_id": "".join(chr(33 + n * 7 % 90) for n in range(60_000))},
        {"model": os.urandom(4000).hex(), "path": "/" + os.urandom(9000).hex()},
        {"namespace": os.urandom(4000).hex(), "service": os.urandom(4000).hex(), "caller": os.urandom(9000).hex()},
        {"status": 10**6, "request_bytes": 2**64 - 1, "duration_us": -(2**63) - 1},
    ],
    ids=["nul", "surrogate", "long-id", "long-model", "long-names", "numbers"],
)
async def test_hostile_values_neither_fail_a_batch_nor_change_the_record(bed: Bed, sink: Sink, hostile: dict[str, object]) -> None:
    record = b'{"path":"/a\\u0000b"}'
    outputs = [exchange(Place(1, 0), data=record, request=b"\0\xff", **hostile), *exchanges(2, first=2)]
    await sink.write(JOURNAL, outputs, Place(3, 0))
    assert sorted(await bed.events()) == ids(outputs)
    assert record in await bed.records()
    assert await bed.bodies() == [b"\0\xff"]


async def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(bed: Bed, sink: Sink) -> None:
    with pytest.raises(PermanentError):
        await sink.write(JOURNAL, [*exchanges(1), bed.poison(Place(2, 0))], Place(2, 0))
    assert await bed.events() == []
    assert await sink.high(JOURNAL) == Place(0, WHOLE)
    await sink.write(JOURNAL, exchanges(1), Place(2, 0))
    assert len(await bed.events()) == 1


async def test_a_store_that_is_down_is_retryable_and_recovers_without_a_restart(bed: Bed, sink: Sink) -> None:
    await sink.write(JOURNAL, exchanges(2), Place(2, 0))
    await bed.fail()
    try:
        for _ in range(2):
            with pytest.raises(RetryableError):
                await sink.write(JOURNAL, exchanges(2, first=3), Place(4, 0))
        with pytest.raises(RetryableError):
            await sink.high(JOURNAL)
    finally:
        await bed.mend()
    await sink.write(JOURNAL, exchanges(2, first=3), Place(4, 0))
    assert sorted(await bed.events()) == ids(exchanges(4))
    assert await sink.high(JOURNAL) == Place(4, 0)


async def test_close_ends_after_what_was_begun(bed: Bed) -> None:
    sink = bed.sink()
    writing = asyncio.create_task(sink.write(JOURNAL, exchanges(500), Place(500, 0)))
    await asyncio.sleep(0)
    await sink.close()
    await writing
    assert len(await bed.events()) == 500


@pytest.mark.parametrize("bed", BY_ID, indirect=True)
async def test_writers_of_several_journals_do_not_stop_each_other(bed: Bed) -> None:
    """The same events from four journals, in four orders, with revisions: all get through, each event is held once."""
    sinks = [bed.sink() for _ in range(4)]
    outputs = [
        exchange(Place(n, revision), NOW_US + n % 40 * 1000, salt=str(n % 40), revision=revision)
        for n in range(1, 41)
        for revision in range(3)
    ]

    async def write(number: int) -> None:
        for start in range(0, len(outputs), 15):
            some = (outputs[::-1] if number % 2 else outputs)[start : start + 15]
            await sinks[number].write(f"journal-{number}", some[number:] + some[:number], Place(start + 1, 0))

    await asyncio.gather(*(write(number) for number in range(4)))
    assert sorted(await bed.events()) == ids(outputs)
    assert sorted(revision for _, revision in await bed.newest()) == [2] * 40
    for made in sinks:
        await made.close()
