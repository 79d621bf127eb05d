"""The raw topic as the brokers describe it: what a journal needs to know before it begins."""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from collector.errors import RetryableError, SettingsError
from collector.journal.kafka_records import OVERHEAD
from collector.kafka.connection import client_arguments
from collector.settings import Ingest, Kafka


class RawTopic(NamedTuple):
    """`record_bytes` is its max.message.bytes; `checkpoint_partitions` are those of the topic of checkpoints."""

    name: str
    cluster: str
    partitions: int
    record_bytes: int
    checkpoint_partitions: int

    def journal(self, partition: int) -> str:
        """The id of the journal that this partition is."""
        return f"kafka:{self.cluster}/{self.name}/{partition}"


async def find_raw_topic(settings: Kafka) -> RawTopic:
    """Raises RetryableError: Kafka does not answer; SettingsError: a topic is missing."""
    admin = AIOKafkaAdminClient(**client_arguments(settings))
    try:
        await admin.start()
        cluster = (await admin.describe_cluster())["cluster_id"]
        names = [settings.raw_topic, settings.checkpoints_topic]
        found = {topic["topic"]: topic for topic in await admin.describe_topics(names) if not topic["error_code"]}
        configs = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, settings.raw_topic)])
    except (KafkaError, OSError) as error:
        raise RetryableError(f"Kafka at {settings.bootstrap_servers}: {type(error).__name__}: {error}") from error
    finally:
        await admin.close()
    missing = [f"kafka: there is no topic {name}: run `meshscribe kafka topics --create`" for name in names if name not in found]
    if missing:
        raise SettingsError(missing)
    counts = [len(found[name]["partitions"]) for name in names]
    return RawTopic(settings.raw_topic, cluster, counts[0], _record_bytes(configs), counts[1])


def check_ingest(topic: RawTopic, ingest: Ingest) -> None:
    """That the largest batch fits into a record: one that a broker refuses would block its partition. Raises SettingsError."""
    room = topic.record_bytes - 2 * OVERHEAD - 4096  # a node id has at most 1024 characters
    if ingest.max_batch_bytes > room:
        raise SettingsError(
            [
                f"ingest.max_batch_bytes: {ingest.max_batch_bytes} is more than topic {topic.name} takes (its max.message.bytes is"
                f" {topic.record_bytes}): lower it to {room}, or raise the topic's max.message.bytes"
            ]
        )


def _record_bytes(answers: Any) -> int:
    for answer in answers:
        for resource in answer.to_object()["resources"]:
            for entry in resource["config_entries"]:
                if entry["config_names"] == "max.message.bytes":
                    return int(entry["config_value"])
    raise RetryableError("Kafka does not tell the raw topic's max.message.bytes")
