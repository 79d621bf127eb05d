"""The topics, with the settings that delivery relies on: made, compared, and asked for what they take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypedDict

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NodeNotReadyError, TopicAlreadyExistsError, for_code

from collector.errors import RetryableError, SettingsError
from collector.kafka.clients import admin
from collector.kafka.faults import translated
from collector.settings import Kafka

MARGIN_BYTES = 64 << 10  # between our largest record and the topic's limit: a batch's own bytes, and what zstd adds to noise
DAY_MS = 86_400_000
PARTITIONS = 6  # of a new topic, where nothing else is said
PATIENCE_SECONDS = 3.0
START_SECONDS = 5.0  # that a broker may take to hear of itself
COMPARED = ("cleanup.policy", "max.message.bytes", "min.insync.replicas")


class _Partition(TypedDict):
    replicas: list[int]


class _Described(TypedDict):
    """A topic in a broker's answer: what of it we read."""

    topic: str
    error_code: int
    partitions: list[_Partition]


class Topic(NamedTuple):
    """A topic as it should be."""

    name: str
    configs: dict[str, str]


class Found(NamedTuple):
    """A topic as it is."""

    partitions: int
    replication_factor: int
    configs: dict[str, str]

    @property
    def record_bytes(self) -> int:
        """The largest record that it takes; 0: the brokers do not tell."""
        return int(self.configs.get("max.message.bytes", 0))


def wanted(settings: Kafka, replication_factor: int) -> list[Topic]:
    """All topics. Retention is that of a new topic only: it is the operator's to change."""
    common = {
        "max.message.bytes": str(settings.max_record_bytes + MARGIN_BYTES),
        "min.insync.replicas": "2" if replication_factor > 2 else "1",  # with two replicas, one may be down
        "compression.type": "producer",
    }
    kept = {"cleanup.policy": "delete", **common}
    return [
        Topic(settings.exchanges_topic, {**kept, "retention.ms": str(30 * DAY_MS)}),
        Topic(settings.usage_topic, {**kept, "retention.ms": str(90 * DAY_MS)}),
        Topic(settings.payloads_topic, {**kept, "retention.ms": str(7 * DAY_MS)}),
        Topic(settings.ledger_topic, {**kept, "retention.ms": str(90 * DAY_MS)}),
        Topic(settings.access_topic, {**kept, "retention.ms": str(90 * DAY_MS)}),
        Topic(settings.raw_topic, {**kept, "retention.ms": str(7 * DAY_MS), "max.message.bytes": str(settings.raw_record_bytes)}),
        Topic(settings.dead_letters_topic, {**common, "cleanup.policy": "compact"}),
        Topic(settings.services_topic, {**common, "cleanup.policy": "compact", "segment.ms": str(DAY_MS)}),
        Topic(settings.checkpoints_topic, {**common, "cleanup.policy": "compact", "segment.ms": str(DAY_MS // 24)}),
    ]


async def create(settings: Kafka, partitions: int, replication_factor: int | None) -> list[str]:
    """Creates the topics that are not there. Returns their names. Raises RetryableError: the brokers are not reached or refuse."""
    with translated(settings):
        async with admin(settings) as client:
            factor = replication_factor or min(3, len((await client.describe_cluster())["brokers"]))
            made = [NewTopic(topic.name, partitions, factor, topic_configs=topic.configs) for topic in wanted(settings, factor)]
            answer = await client.create_topics(made)
            faults = {name: fault for name, code, fault in answer.topic_errors if code and for_code(code) is not TopicAlreadyExistsError}
            if not faults:
                await _describe(client, [topic.name for topic in made], PATIENCE_SECONDS)
    if faults:
        raise RetryableError("; ".join(f"topic {name} was not created: {fault}" for name, fault in faults.items()))
    return [name for name, code, _ in answer.topic_errors if not code]


async def differences(settings: Kafka, partitions: int | None, replication_factor: int | None) -> list[str]:
    """What is not as it should be, one a line. A larger max.message.bytes is fine; partitions and replicas count where they are given."""
    with translated(settings):
        async with admin(settings) as client:
            factor = replication_factor or min(3, len((await client.describe_cluster())["brokers"]))
            topics = wanted(settings, factor)
            found = await _describe(client, [topic.name for topic in topics])
    told = []
    for topic in topics:
        if topic.name not in found:
            told.append(f"{topic.name}: there is no such topic")
        else:
            told += [f"{topic.name}: {fault}" for fault in _faults(topic, found[topic.name], partitions, replication_factor)]
    return told


def _faults(topic: Topic, found: Found, partitions: int | None, replication_factor: int | None) -> list[str]:
    faults = []
    if partitions is not None and found.partitions != partitions:
        faults.append(f"has {found.partitions} partitions, expected {partitions}")
    if replication_factor is not None and found.replication_factor != replication_factor:
        faults.append(f"has {found.replication_factor} replicas, expected {replication_factor}")
    for name in COMPARED:
        is_, should = found.configs.get(name, ""), topic.configs[name]
        if is_ != should and not (name == "max.message.bytes" and int(is_ or 0) >= int(should)):
            faults.append(f"{name} is {is_ or 'not told'}, expected {should}{' or more' if name == 'max.message.bytes' else ''}")
    return faults


async def check_limits(settings: Kafka, topics: Iterable[str]) -> None:
    """That the topics are there and take our largest record: one that a broker refuses would block its partition for ever.

    Raises SettingsError with every fault, and RetryableError.
    """
    names = list(topics)
    found = (await existing(settings, names)).topics
    faults = missing(names, found)
    for name, topic in found.items():
        if settings.max_record_bytes + MARGIN_BYTES > topic.record_bytes:
            faults.append(
                f"kafka.max_record_bytes: {settings.max_record_bytes} and {MARGIN_BYTES} to spare are more than topic {name} takes"
                f" (its max.message.bytes is {topic.record_bytes}): lower the one or raise the other"
            )
    if faults:
        raise SettingsError(faults)


class Existing(NamedTuple):
    """What a cluster (by its id) has of the topics that were asked for."""

    cluster: str
    topics: dict[str, Found]


async def existing(settings: Kafka, names: Sequence[str], patience_seconds: float = PATIENCE_SECONDS) -> Existing:
    """Those topics that exist; who is missing is waited for. Raises RetryableError: the brokers do not tell.

    A broker that has just started may know of no broker yet, itself included: then a new client asks again.
    """
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    with translated(settings):
        while True:
            try:
                async with admin(settings) as client:
                    cluster = (await client.describe_cluster())["cluster_id"]
                    return Existing(cluster, await _describe(client, names, patience_seconds))
            except NodeNotReadyError:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
            await asyncio.sleep(0.1)


def missing(names: Iterable[str], found: Mapping[str, Found]) -> list[str]:
    """A fault for each topic that is not there."""
    return [f"kafka: there is no topic {name}: run `meshscribe kafka topics --create`" for name in names if name not in found]


async def _describe(client: AIOKafkaAdminClient, names: Sequence[str], patience_seconds: float = 0.0) -> dict[str, Found]:
    """The topics that exist. Brokers hear of a new topic a moment later: so long it waits for those missing. Raises KafkaError."""
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while True:
        topics = {topic["topic"]: topic for topic in await client.describe_topics(list(names)) if _exists(topic)}
        if len(topics) == len(names) or asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(0.1)
    configs: dict[str, dict[str, str]] = {}
    for answer in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]):
        for resource in answer.to_object()["resources"]:
            if resource["error_code"]:
                raise for_code(resource["error_code"])(resource["resource_name"])
            configs[resource["resource_name"]] = {one["config_names"]: one["config_value"] for one in resource["config_entries"]}
    return {name: _found(topic, configs[name]) for name, topic in topics.items()}


def _exists(topic: _Described) -> bool:
    """Raises KafkaError where the broker does not say."""
    error = for_code(topic["error_code"])
    if error.errno not in (0, 3):  # none, unknown topic
        raise error(topic["topic"])
    return bool(error.errno == 0)


def _found(topic: _Described, configs: dict[str, str]) -> Found:
    partitions = topic["partitions"]
    return Found(len(partitions), min((len(one["replicas"]) for one in partitions), default=0), configs)
