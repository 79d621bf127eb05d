"""The broker that the tests and the demo run on."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from collector.demo.kafka_broker import KafkaBroker
from tests.support.kafka import create_topic, read_all, unique


async def send(kafka: KafkaBroker, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def test_a_restarted_broker_still_has_its_records(kafka: KafkaBroker) -> None:
    topic = await create_topic(kafka.bootstrap, unique("restart"))
    await send(kafka, topic, b"before")
    kafka.restart()
    await send(kafka, topic, b"after")
    assert [record.value for record in await read_all(kafka.bootstrap, topic)] == [b"before", b"after"]


async def test_a_killed_broker_still_has_its_records(kafka: KafkaBroker) -> None:
    topic = await create_topic(kafka.bootstrap, unique("kill"))
    await send(kafka, topic, b"before")
    kafka.kill()
    kafka.start()
    await send(kafka, topic, b"after")
    assert [record.value for record in await read_all(kafka.bootstrap, topic)] == [b"before", b"after"]
