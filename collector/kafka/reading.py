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


async def kept_since_us(settings: Kafka, topic: str) -> int | None:
    """What was written later is all still there (µs since the epoch); None if retention has taken nothing yet. Raises RetryableError.

    A partition of which nothing is left tells no time: what it had is not left out.
    """
    consumer = AIOKafkaConsumer(**client_arguments(settings), enable_auto_commit=False)
    try:
        await consumer.start()
        parts = await partitions(consumer, topic)
        firsts, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        cut = [at for at in parts if firsts[at] > 0]
        oldest = await consumer.offsets_for_times({at: 0 for at in cut if firsts[at] < ends[at]}) if cut else {}
    except (KafkaError, OSError) as error:
        raise RetryableError(f"Kafka at {settings.bootstrap_servers}: {str(error) or type(error).__name__}") from error
    finally:
        await end(consumer)
    return max((found.timestamp * 1000 for found in oldest.values() if found is not None), default=None)


async def partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Those of a topic that this consumer is not subscribed to; aiokafka has no public way to ask."""
    await consumer._client._wait_on_metadata(topic)
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
