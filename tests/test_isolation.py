"""One output that can never be written stops nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dead_letters.burials import Burials
from collector.dead_letters.events import read_batch
from collector.errors import PermanentError, RetryableError
from collector.isolation import IsolatingSink, isolate
from collector.messages.event import Output, Place
from collector.settings import Sink as SinkSettings
from collector.sinks.migrate import migrate
from collector.sinks.open import open_sink
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
        clock = TurnedClock(NOW_US)
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
