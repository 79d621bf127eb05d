"""Reads a topic from its beginning to its end as it is when the reading begins, without a consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from collector.errors import RetryableError
from collector.kafka.connection import client_arguments
from collector.kafka.consumers import end
from collector.settings import Kafka

_WAIT_MS = 500


async def whole_topic(settings: Kafka, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Every committed record, partition after partition. Raises RetryableError."""
    consumer = AIOKafkaConsumer(
        **client_arguments(settings), isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        parts = await partitions(consumer, topic)
        ends = await consumer.end_offsets(parts)
        for at in parts:
            consumer.assign([at])
            await consumer.seek_to_beginning(at)
            while await consumer.position(at) < ends[at]:
                for record in (await consumer.getmany(at, timeout_ms=_WAIT_MS)).get(at, []):
                    yield record
    except (KafkaError, OSError) as error:
        raise RetryableError(f"Kafka at {settings.bootstrap_servers}: {str(error) or type(error).__name__}") from error
    finally:
        await end(consumer)


async def partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Those of a topic that this consumer is not subscribed to; aiokafka has no public way to ask."""
    await consumer._client._wait_on_metadata(topic)
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
