"""`verify` on the two ways between a SQL store and the topics."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from collector.audit.moments import Span
from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.transactions import Transactions
from collector.relays.reached import look
from collector.settings import Journal, Kafka, Relay, Settings, Sink
from collector.sinks.kafka import records
from collector.store.migrate import migrate
from collector.upkeep.verify import Finding
from collector.upkeep.verify.all import verify
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL
from tests.support.kafka import new_topics
from tests.support.outputs import chats, outputs
from tests.support.relays import KafkaEnd, KafkaOrigin, Letters, Origin, SqlEnd, SqlOrigin, events_of, moved, relay


def settings(folder: Path, kafka: Kafka, name: str) -> Settings:
    return Settings(
        sink=Sink(url=f"sqlite:///{folder}/e.db"),
        journal=Journal(path=folder / "no.db"),
        kafka=kafka,
        relays=[Relay(name=name, to="kafka")],
    )


async def findings(made: Settings) -> dict[str, Finding]:
    return {finding.check: finding async for finding in verify(made, Span(), TurnedClock())}


async def copy(origin: Origin, end: SqlEnd | KafkaEnd, count: int) -> None:
    made = outputs(chats(count))
    await origin.fill(JOURNAL, made)
    async with relay(origin, end, Letters()) as copying:
        await moved(copying, end, [event.id for event in events_of(made, origin, end)])


async def copied_to_topics(kafka: KafkaBroker, folder: Path, partitions: int) -> tuple[Kafka, Settings]:
    """Twelve exchanges in a SQL store that a relay has copied to topics."""
    topics = await new_topics(kafka.bootstrap, partitions)
    migrate(f"sqlite:///{folder}/e.db")
    origin, end = SqlOrigin(f"sqlite:///{folder}/e.db"), KafkaEnd(topics, kafka.kill, kafka.start)
    await copy(origin, end, 12)
    return topics, settings(folder, topics, end.relay)


def change(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "e.db") as connection:
        connection.execute(statement)
    connection.close()


async def test_what_a_relay_has_copied_is_in_the_topic_and_once(kafka: KafkaBroker, tmp_path: Path) -> None:
    topics, made = await copied_to_topics(kafka, tmp_path, partitions=2)
    (reached,) = await look(made.relays[0], made)
    assert reached.behind == 0
    sound = await findings(made)
    assert all(finding.ok for finding in sound.values()), sound
    assert "12 stored, 12 in the topic" in sound["topic"].said
    change(tmp_path, "CREATE TABLE copy AS SELECT * FROM exchanges LIMIT 1")
    change(tmp_path, "UPDATE copy SET id = substr(id, 1, 34) || 'zz'")
    change(tmp_path, "INSERT INTO exchanges SELECT * FROM copy")
    lacking = (await findings(made))["topic"]
    assert lacking.missing == 1
    assert "not in the topic" in lacking.said
    twice = Transactions(topics, "twice")
    await twice.commit(records(topics, JOURNAL, outputs(chats(1))[:1]))
    await twice.close()
    assert "more than once" in (await findings(made))["topic"].said


async def test_what_role_store_has_read_is_in_the_store(kafka: KafkaBroker, tmp_path: Path) -> None:
    topics = await new_topics(kafka.bootstrap, 2)
    migrate(f"sqlite:///{tmp_path}/e.db")
    url = f"sqlite:///{tmp_path}/e.db"
    await copy(KafkaOrigin(topics), SqlEnd(url, lambda: None, lambda: None), 12)
    made = Settings(sink=Sink(url=url), journal=Journal(url="kafka:"), kafka=topics)
    sound = await findings(made)
    assert all(finding.ok for finding in sound.values()), sound
    assert sound["stored"].said.startswith("closed 12, stored 12")
    change(tmp_path, "DELETE FROM exchanges WHERE rowid IN (2, 3)")
    lacking = await findings(made)
    assert (lacking["topic"].missing, lacking["stored"].missing) == (2, 2)
    assert "not in the store" in lacking["topic"].said


async def test_what_the_topics_retention_took_is_not_missing(kafka: KafkaBroker, tmp_path: Path) -> None:
    topics, made = await copied_to_topics(kafka, tmp_path, partitions=1)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topics.exchanges_topic, 0): RecordsToDelete(before_offset=6)})  # a mark, and five records
    await admin.close()
    found = (await findings(made))["topic"]
    assert found.missing == 0
    assert "which begins at 20" in found.said
    asked = {one.check: one async for one in verify(made, Span(0), TurnedClock())}["topic"]
    assert asked.missing == 5, "from a time that was asked for, all is looked at"
