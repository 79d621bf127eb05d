"""Dead letters of the roles: process has them in the topic, store in its tables; the commands see both, and send each where it belongs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.clock import SystemClock
from collector.dead_letters import DeadLetters, letter
from collector.dead_letters.kafka import KafkaDeadLetters
from collector.dead_letters.open import open_all_letters, open_letters
from collector.dead_letters.sql import SqlDeadLetters
from collector.demo.kafka_broker import KafkaBroker
from collector.settings import Settings, Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.upkeep.resend import Resender
from tests.support.events import JOURNAL, NOW_US
from tests.support.kafka import event_ids, new_topics, read_all
from tests.support.outputs import chats, outputs


async def test_letters_of_process_and_store_are_found_and_sent_to_where_they_were_refused(kafka: KafkaBroker, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/e.db"
    migrate(url)
    settings = Settings(role="store", kafka=await new_topics(kafka.bootstrap, 1), sink=Sink(url=url))
    first, second = outputs(chats(2))[:2]
    of_process, of_store = (letter(origin, JOURNAL, output, "no", NOW_US) for origin, output in (("sink", first), ("relay:store", second)))
    process, store = open_letters(settings.model_copy(update={"role": "process"})), open_letters(settings)
    assert (type(process), type(store)) == (KafkaDeadLetters, SqlDeadLetters)
    await process.add(of_process)
    await store.add(of_store)
    letters = open_all_letters(settings)
    assert await _has(letters, 2) == [of_process.id, of_store.id]
    async with Resender(settings, letters, SystemClock()) as resender:
        assert [sent.fault async for sent in resender.send(lambda _: True)] == [None, None]
    assert await _has(letters, 0) == []
    exchange, stored = first.events[0], second.events[0]
    assert event_ids(await read_all(kafka.bootstrap, settings.kafka.exchanges_topic)) == [exchange.id]
    engine = open_engine(settings.sink)
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT id FROM exchanges")
        assert [row[0] for row in rows] == [stored.id]
    await engine.dispose()
    for one in (process, store, letters):
        await one.close()


async def test_without_a_store_only_the_topic_is_asked(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = Settings(role="process", kafka=await new_topics(kafka.bootstrap, 1), sink=Sink(url=f"sqlite:///{tmp_path}/none.db"))
    letters = open_all_letters(settings)
    assert [found async for found in letters.all()] == []
    await letters.close()
    assert not (tmp_path / "none.db").exists()


async def _has(letters: DeadLetters, count: int) -> list[str]:
    """The ids, once there are so many: a commit is seen a moment after it was acknowledged."""
    while len(found := [one.id async for one in letters.all()]) != count:
        await asyncio.sleep(0.05)
    return found
