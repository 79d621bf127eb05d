"""One output that can never be written stops nothing else."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.complaints import Complaints
from collector.dead_letters.burials import Burials
from collector.dead_letters.events import read_batch
from collector.describe import describe_fault
from collector.errors import PermanentError, RetryableError
from collector.messages.event import Output, Place
from collector.messages.exchange import Fault, Node
from collector.pipeline.isolation import IsolatingSink, isolate
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import records
from collector.sinks.open import open_sink
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchange, exchanges
from tests.support.relays import Letters


@given(st.sets(st.integers(1, 40)), st.integers(0, 40))
async def test_all_but_the_poison_is_written_in_order_with_every_place_behind_what_it_covers(poison: set[int], count: int) -> None:
    written: list[int] = []
    buried: list[int] = []
    places = [Place(0, 0)]

    async def write(outputs: Sequence[Output], place: Place) -> None:
        positions = [output.place.position for output in outputs]
        if poison & set(positions):
            raise PermanentError("poison")
        written.extend(positions)
        assert place > places[-1] or not positions
        assert all(number in written or number in buried for number in range(1, min(place.position, count) + 1))
        places.append(place)

    async def bury(output: Output, reason: str) -> None:
        assert reason == "poison"
        buried.append(output.place.position)

    outputs = [Output(Place(number, 0), ()) for number in range(1, count + 1)]
    await isolate(write, bury, outputs, Place(count + 5, 7))
    assert written == [number for number in range(1, count + 1) if number not in poison]
    assert buried == sorted(number for number in poison if number <= count)
    assert places[-1] == Place(count + 5, 7)


async def test_a_fault_that_is_of_no_output_passes_through() -> None:
    async def write(outputs: Sequence[Output], place: Place) -> None:
        raise PermanentError("the tables are of another program")

    async def bury(output: Output, reason: str) -> None:
        """Takes everything."""

    with pytest.raises(PermanentError, match="another program"):
        await isolate(write, bury, exchanges(4), Place(4, 0))


class Store:
    """A real sink with dead letters in memory."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/events.db"
        migrate(url)
        self.letters, self.burials = Letters(), Burials()
        self.clock = clock = TurnedClock(NOW_US)
        self.sink = IsolatingSink(open_sink(SinkSettings(url=url), clock), self.letters, clock, self.burials)


async def test_a_poison_output_goes_to_the_dead_letters_with_its_bytes_and_the_rest_is_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    poison = exchange(Place(3, 0), NOW_US, node=None, request=b"\0\xff")
    await store.sink.write(JOURNAL, [*exchanges(2), poison, *exchanges(2, first=4)], Place(5, 9))
    assert await store.sink.high(JOURNAL) == Place(5, 9)
    (letter,) = store.letters.held.values()
    assert (letter.origin, letter.journal, letter.place, letter.at_us) == ("sink", JOURNAL, Place(3, 0), NOW_US)
    assert "NOT NULL" in letter.reason
    assert read_batch(letter.data, letter.columns) == poison.events
    assert store.burials.stages == {"row": 1}
    await store.sink.close()


async def test_while_the_dead_letters_take_nothing_the_place_does_not_move_past_the_poison(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add, down = store.letters.add, True

    async def failing(letter: object) -> None:
        if down:
            raise RetryableError("down")
        await add(letter)  # type: ignore[arg-type]

    store.letters.add = failing  # type: ignore[method-assign]
    batch = [*exchanges(2), exchange(Place(3, 0), NOW_US, node=None), *exchanges(1, first=4)]
    with pytest.raises(RetryableError):
        await store.sink.write(JOURNAL, batch, Place(4, 0))
    assert await store.sink.high(JOURNAL) < Place(3, 0)
    down = False
    await store.sink.write(JOURNAL, batch, Place(4, 0))
    assert await store.sink.high(JOURNAL) == Place(4, 0)
    assert len(store.letters.held) == 1
    await store.sink.close()


async def test_a_fault_is_a_letter_before_its_place_moves_and_counts_once_however_often_the_write_is_tried(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fault = Fault(Node("n", namespace="demo"), "enrich", "enrich failed: KeyError", NOW_US - 5, "application/x-protobuf", b"\xff")
    faulty = describe_fault(fault, Place(3, 0))
    write, down = store.sink._sink.write, True

    async def failing(journal: str, outputs: Sequence[Output], high: Place) -> None:
        assert len(store.letters.held) == 1
        if down:
            raise RetryableError("busy")
        await write(journal, outputs, high)

    store.sink._sink.write = failing  # type: ignore[method-assign]
    batch = [*exchanges(2), faulty, *exchanges(1, first=4)]
    for _ in range(3):
        with pytest.raises(RetryableError):
            await store.sink.write(JOURNAL, batch, Place(4, 0))
    down = False
    await store.sink.write(JOURNAL, batch, Place(4, 0))
    (letter,) = store.letters.held.values()
    assert (letter.origin, letter.place, letter.at_us, letter.content_type) == ("sink", Place(3, 0), NOW_US - 5, "application/x-protobuf")
    assert (letter.data, letter.reason) == (b"\xff", "enrich failed: KeyError")
    assert store.burials.stages == {"enrich": 1}
    assert windows(tmp_path) == [{"dead_letter_enrich": 1}]
    await store.sink.close()


@pytest.mark.parametrize(
    ("broken", "why"), [("columns", "NOT NULL constraint failed: exchanges.completeness"), ("extensions", "rows cannot be made")]
)
async def test_an_output_that_no_row_can_be_made_of_stands_alone_and_is_counted_under_its_proxy(
    tmp_path: Path, broken: str, why: str
) -> None:
    store = Store(tmp_path)
    poison = exchange(Place(3, 0), NOW_US, request=b"x", data=b'{"proxy":{"node":"n","namespace":"demo","workload":"iris"}}')
    own, request = poison.events
    if broken == "columns":
        own = own._replace(columns=own.columns._replace(completeness=None))
    else:
        request = request._replace(extensions={"large": 2**64})
    await store.sink.write(JOURNAL, [*exchanges(2), poison._replace(events=(own, request)), *exchanges(2, first=4)], Place(5, 9))
    assert await store.sink.high(JOURNAL) == Place(5, 9)
    (letter,) = store.letters.held.values()
    assert letter.place == Place(3, 0)
    assert why in letter.reason
    assert read_batch(letter.data, letter.columns) == (own, request)
    assert store.burials.stages == {"row": 1}
    assert windows(tmp_path) == [{"dead_letter_row": 1}]
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        assert connection.execute("SELECT count(*) FROM exchanges").fetchone() == (4,)
    await store.sink.close()


async def test_a_row_that_is_refused_counts_once_in_the_ledger_however_often_the_write_is_tried(tmp_path: Path) -> None:
    store = Store(tmp_path)
    poison = exchange(Place(1, 0), NOW_US, data=b'{"proxy":{"node":"n"}}')
    own = poison.events[0]
    poison = poison._replace(events=(own._replace(columns=own.columns._replace(completeness=None)),))
    write, down = store.sink._sink.write, True

    async def failing(journal: str, outputs: Sequence[Output], high: Place) -> None:
        if down and outputs and outputs[-1].place == Place(4, 0) and len(outputs) < 4:
            raise RetryableError("the connection is gone")
        await write(journal, outputs, high)

    store.sink._sink.write = failing  # type: ignore[method-assign]
    batch = [poison, *exchanges(3, first=2)]
    with pytest.raises(RetryableError):
        await store.sink.write(JOURNAL, batch, Place(4, 0))
    assert windows(tmp_path) == [{"dead_letter_row": 1}], "the first half is stored"
    down = False
    store.clock.now += 1_000_000
    await store.sink.write(JOURNAL, batch, Place(4, 0))
    assert windows(tmp_path) == [{"dead_letter_row": 1}]
    await store.sink.close()


def windows(folder: Path) -> list[dict[str, int]]:
    with closing(sqlite3.connect(folder / "events.db")) as connection:
        return [json.loads(data)["malformed"] for (data,) in connection.execute("SELECT data FROM ledger ORDER BY id")]


def test_an_event_that_no_record_can_be_made_of_is_refused_for_ever() -> None:
    broken = exchange(Place(1, 0), NOW_US, request=b"x")
    own, request = broken.events
    with pytest.raises(PermanentError, match="records cannot be made"):
        list(
            records(
                Settings().kafka, JOURNAL, [broken._replace(events=(own, request._replace(columns=request.columns._replace(size="x"))))]
            )
        )


def test_the_log_says_one_kind_of_failure_once_a_minute_with_how_often(caplog: pytest.LogCaptureFixture) -> None:
    clock = TurnedClock(NOW_US)
    complaints = Complaints(logging.getLogger("x"), clock)
    for _ in range(5):
        complaints.tell("a", "first")
    complaints.tell("b", "other")
    clock.now += 60_000_000
    complaints.tell("a", "again")
    assert [record.message for record in caplog.records] == ["first", "other", "again (4 more of this kind since the last line)"]
