"""`meshscribe kafka topics` against a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NodeNotReadyError
from typer.testing import CliRunner, Result

from collector.cli import app
from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.topics import MARGIN_BYTES, existing, wanted
from collector.settings import Kafka
from tests.support.kafka import alter_topic, create_topic, settings_for

Command = Callable[..., Result]


@pytest.fixture
def settings(kafka: KafkaBroker) -> Kafka:
    return settings_for(kafka.bootstrap)


@pytest.fixture
def topics(settings: Kafka, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command with these settings."""
    for name, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        monkeypatch.setenv(f"MESHSCRIBE_KAFKA__{name.upper()}", str(value))
    return lambda *arguments: CliRunner().invoke(app, ["kafka", "topics", *arguments])


async def describe(bootstrap: str, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    await admin.close()
    return {one["config_names"]: one["config_value"] for one in answer.to_object()["resources"][0]["config_entries"]}


def test_what_create_made_check_finds_right(settings: Kafka, topics: Command) -> None:
    created = topics("--create", "--partitions", "2")
    assert created.exit_code == 0
    assert created.stdout.split() == [word for topic in wanted(settings, 1) for word in ("created", topic.name)]
    checked = topics("--check", "--partitions", "2", "--replication-factor", "1")
    assert (checked.exit_code, checked.stdout) == (0, "")


async def test_a_topic_that_is_about_to_be_there_is_waited_for(settings: Kafka) -> None:
    """A broker hears of a new topic late, and one that has just started knows of none."""
    asked = asyncio.create_task(existing(settings, [settings.raw_topic]))
    await asyncio.wait({asked}, timeout=0.3)
    assert not asked.done()
    await create_topic(settings.bootstrap_servers, settings.raw_topic, 2)
    cluster, topics = await asked
    assert cluster
    assert topics[settings.raw_topic].partitions == 2


def test_creating_twice_changes_nothing(topics: Command) -> None:
    topics("--create", "--partitions", "2")
    again = topics("--create", "--partitions", "5")
    assert (again.exit_code, again.stdout) == (0, "Nothing to do: all topics are there.\n")
    assert topics("--check", "--partitions", "2").exit_code == 0


def test_created_topics_have_the_settings_that_delivery_needs(settings: Kafka, topics: Command) -> None:
    topics("--create")
    events = asyncio.run(describe(settings.bootstrap_servers, settings.exchanges_topic))
    assert events["max.message.bytes"] == str(settings.max_record_bytes + MARGIN_BYTES)
    assert events["cleanup.policy"] == "delete"
    assert asyncio.run(describe(settings.bootstrap_servers, settings.checkpoints_topic))["cleanup.policy"] == "compact"


def test_check_names_missing_topics(settings: Kafka, topics: Command) -> None:
    checked = topics("--check")
    assert checked.exit_code == 1
    assert f"{settings.usage_topic}: there is no such topic" in checked.stdout.splitlines()


def test_check_names_every_difference_and_forgives_a_larger_limit(settings: Kafka, topics: Command) -> None:
    topics("--create", "--partitions", "2")
    asyncio.run(alter_topic(settings.bootstrap_servers, settings.checkpoints_topic, cleanup_policy="delete"))
    asyncio.run(alter_topic(settings.bootstrap_servers, settings.usage_topic, max_message_bytes="1000"))
    asyncio.run(alter_topic(settings.bootstrap_servers, settings.payloads_topic, max_message_bytes="90000000"))
    checked = topics("--check", "--partitions", "3")
    assert checked.exit_code == 1
    told = checked.stdout.splitlines()
    assert f"{settings.usage_topic}: max.message.bytes is 1000, expected {settings.max_record_bytes + MARGIN_BYTES} or more" in told
    assert f"{settings.payloads_topic}: has 2 partitions, expected 3" in told
    assert any(line.startswith(f"{settings.checkpoints_topic}: ") and "expected compact" in line for line in told)
    assert not any("payloads: max" in line for line in told)


def test_a_factor_that_the_brokers_cannot_give_is_told(topics: Command) -> None:
    created = topics("--create", "--replication-factor", "3")
    assert created.exit_code == 2
    assert "was not created" in created.stderr


def test_neither_or_both_options_are_refused(topics: Command) -> None:
    assert topics().exit_code == topics("--create", "--check").exit_code == 2


def test_an_unreachable_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    checked = CliRunner().invoke(app, ["kafka", "topics", "--check"])
    assert checked.exit_code == 2
    assert "127.0.0.1:1" in checked.stderr


async def test_a_broker_that_does_not_know_of_itself_yet_is_asked_again(settings: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that has just started: its metadata name no broker, and a client that has read them knows nobody to ask."""
    told, asked = AIOKafkaAdminClient.describe_cluster, list[AIOKafkaAdminClient]()

    async def not_yet(client: AIOKafkaAdminClient) -> object:
        asked.append(client)
        if len(asked) < 3:
            raise NodeNotReadyError
        return await told(client)

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_cluster", not_yet)
    await create_topic(settings.bootstrap_servers, settings.raw_topic)
    found = await existing(settings, [settings.raw_topic])
    assert (list(found.topics), len(set(asked))) == ([settings.raw_topic], 3)
