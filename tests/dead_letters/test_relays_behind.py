"""A letter of the sink that is sent again reaches the relays that have passed its place; the others will come upon it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from collector.dead_letters import letter
from collector.dead_letters.events import CUT_BATCH_TYPE
from collector.dead_letters.sql import SqlDeadLetters
from collector.messages.event import Place
from collector.relays.places import SqlPlaces
from collector.settings import Relay, Settings, Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.schema import exchanges as table
from collector.upkeep.resend import Resender
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchanges
from tests.support.http_receiver import Receiver
from tests.support.sql import rows

GIVEN = exchanges(3)


async def told(folder: Path, reached: int, **changes: str) -> tuple[list[str | None], list[int], list[str]]:
    """What became of the letter of place 2, the positions in the store, and the ids that the relay's receiver got."""
    store, receiver = Sink(url=f"sqlite:///{folder}/store.db"), Receiver()
    await receiver.start()
    settings = Settings(sink=store, relays=[Relay(name="r", to="http", url=receiver.url, types=["exchange"])])
    migrate(store.url)
    sink = open_sink(store, TurnedClock(NOW_US))
    await sink.write(JOURNAL, [GIVEN[0], GIVEN[2]], Place(3, 0))
    await sink.close()
    relay = SqlPlaces(open_engine(store), "r")
    await relay.set(JOURNAL, Place(reached, 0))
    await relay.close()
    letters = SqlDeadLetters(open_engine(store))
    await letters.add(letter("sink", JOURNAL, GIVEN[1], "no", NOW_US)._replace(**changes))
    async with Resender(settings, letters, TurnedClock(NOW_US)) as resender:
        faults = [sent.fault async for sent in resender.send(lambda _: True)]
    await letters.close()
    await receiver.close()
    found = [row.position for row in await rows(store, select(table.c.position).order_by(table.c.position))]
    return faults, found, receiver.ids


@pytest.mark.slow
@pytest.mark.parametrize(("reached", "is_sent"), [(1, False), (2, True), (3, True)])
async def test_who_has_passed_it_gets_it_and_who_has_not_will_come_upon_it(tmp_path: Path, reached: int, is_sent: bool) -> None:
    assert await told(tmp_path, reached) == ([None], [1, 2, 3], [GIVEN[1].events[0].id] if is_sent else [])


async def test_a_letter_whose_bodies_were_cut_is_not_sent_as_if_they_were_whole(tmp_path: Path) -> None:
    (fault,), stored, sent = await told(tmp_path, 3, content_type=CUT_BATCH_TYPE)
    assert fault is not None
    assert "meshscribe replay" in fault
    assert (stored, sent) == ([1, 3], [])
