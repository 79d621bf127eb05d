"""Each private shape of aiokafka that `collector/kafka/private.py` relies on, and that nothing else relies on any."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.producer import message_accumulator
from aiokafka.producer.message_accumulator import MessageAccumulator, MessageBatch
from aiokafka.producer.sender import Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.transaction import EndTxnRequest

from collector.demo.kafka_broker import KafkaBroker
from collector.kafka import private
from collector.kafka.clients import consumer
from collector.kafka.record_batch import RecordBatch, packed
from tests.packaging.pins import allowed
from tests.support.kafka import new_topics

COLLECTOR = Path(__file__).parents[2] / "collector"
DOCUMENTED = {"aiokafka", "aiokafka.admin", "aiokafka.admin.config_resource", "aiokafka.errors", "aiokafka.structs"}
AT = TopicPartition("t", 0)


@pytest.fixture
async def producer() -> AsyncIterator[AIOKafkaProducer]:
    """Transactional, and not started."""
    made = AIOKafkaProducer(transactional_id="t")
    yield made
    await made.stop()


@pytest.fixture
async def running(kafka: KafkaBroker) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"t-{uuid4()}")
    await made.start()
    yield made
    await private.discard(made)


def test_no_version_that_was_not_tested_is_installed() -> None:
    tested = metadata.version("aiokafka")
    major, minor = map(int, tested.split(".")[:2])
    assert allowed("aiokafka", tested)
    assert not allowed("aiokafka", f"{major}.{minor + 1}.0")


def test_a_consumers_client_closes_and_waits_for_a_topics_partitions() -> None:
    assert inspect.iscoroutinefunction(AIOKafkaClient.close)
    assert inspect.iscoroutinefunction(AIOKafkaClient._wait_on_metadata)
    assert list(inspect.signature(AIOKafkaClient._wait_on_metadata).parameters) == ["self", "topic"]


async def test_a_consumer_has_its_client() -> None:
    made = AIOKafkaConsumer()
    assert isinstance(made._client, AIOKafkaClient)
    await private.close_connections(made)
    await made.stop()


async def test_a_producer_has_a_sender_an_accumulator_and_a_manager(producer: AIOKafkaProducer) -> None:
    assert isinstance(producer._sender, Sender)
    assert isinstance(producer._message_accumulator, MessageAccumulator)
    assert isinstance(producer._txn_manager, TransactionManager)
    assert isinstance(producer.client, AIOKafkaClient)


async def test_a_producer_without_transactions_has_no_manager() -> None:
    plain = AIOKafkaProducer()
    assert plain._txn_manager is None
    with pytest.raises(AssertionError, match="only a transactional producer"):
        private.enlist(plain, AT)
    await plain.stop()


async def test_batches_wait_in_queues_and_then_in_a_set(producer: AIOKafkaProducer) -> None:
    accumulator = producer._message_accumulator
    batch = MessageBatch(AT, RecordBatch(1000, "none", 0, transactional=True), 1, 0)
    accumulator._batches[AT].append(batch)
    assert batch in [one for queue in accumulator._batches.values() for one in queue]
    assert isinstance(accumulator._pending_batches, set)
    assert isinstance(batch.future, asyncio.Future)
    assert isinstance(batch._drain_waiter, asyncio.Future)


async def test_a_manager_takes_partitions_without_a_record(producer: AIOKafkaProducer) -> None:
    manager = producer._txn_manager
    assert (manager.transactional_id, manager.producer_id, manager.producer_epoch) == ("t", -1, -1)
    assert manager._transaction_waiter is None
    manager.set_pid_and_epoch(1, 0)
    manager.begin_transaction()
    assert isinstance(manager._transaction_waiter, asyncio.Future)
    private.enlist(producer, AT)
    assert manager.partitions_to_add() == {AT}


async def test_a_sender_knows_its_coordinator_and_has_a_task(running: AIOKafkaProducer) -> None:
    sender, name = running._sender, running._txn_manager.transactional_id
    assert sender.sender_task in private.tasks_of(sender)
    assert private.failure(running) is None
    node = await sender._find_coordinator(CoordinationType.TRANSACTION, name)
    manager = running._txn_manager
    request = EndTxnRequest(
        transactional_id=name,
        producer_id=manager.producer_id,
        producer_epoch=manager.producer_epoch,
        transaction_result=False,
    )
    answer = await running.client.send(node, request, group=ConnectionGroup.COORDINATION)
    assert isinstance(answer.error_code, int)


async def test_what_a_sender_started_is_found_while_it_waits(running: AIOKafkaProducer, kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1)
    await running.partitions_for(settings.exchanges_topic)
    running.client.send = held  # type: ignore[method-assign]
    await running.begin_transaction()
    await running.send(settings.exchanges_topic, b"x", partition=0)
    async with asyncio.timeout(10):
        while len(private.tasks_of(running._sender)) < 2:
            await asyncio.sleep(0.01)
    del running.client.send  # that of the class is back


async def test_why_a_sender_ended_is_known(running: AIOKafkaProducer) -> None:
    running._sender._find_coordinator = failing  # type: ignore[method-assign]
    running._sender._coordinators.clear()
    await running.begin_transaction()
    private.enlist(running, AT)
    async with asyncio.timeout(10):
        while private.failure(running) is None:
            await asyncio.sleep(0.01)
    assert "of a test" in repr(private.failure(running)) + repr(private.failure(running).__cause__)  # type: ignore[union-attr]


async def held(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


async def failing(*_: object) -> int:
    raise ValueError("of a test")


class Asked(RecordBatch):
    """Notes what aiokafka asks a batch for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if name != "asked" and inspect.stack()[1].filename == message_accumulator.__file__:
            self.asked.add(name)
        return super().__getattribute__(name)


OF_A_BATCH = {"record_count", "closed", "close", "size", "append", "_set_producer_state", "_build"}


def test_a_batch_of_ours_has_all_that_the_accumulator_asks_its_builder_for() -> None:
    text = inspect.getsource(MessageBatch) + inspect.getsource(MessageAccumulator)
    asked = set(re.findall(r"\b_?builder\.(\w+)\(", text))
    assert {"_set_producer_state", "_build"} <= asked <= OF_A_BATCH
    assert all(hasattr(RecordBatch, name) for name in asked)


async def test_a_batch_of_ours_is_asked_for_no_more_on_its_way(running: AIOKafkaProducer, kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1)
    batch = Asked(1000, "none", 0, True)
    batch.append(b"k", b"v", packed([]))
    await running.begin_transaction()
    await (await running.send_batch(batch, settings.exchanges_topic, partition=0))
    await running.commit_transaction()
    assert {"_set_producer_state", "_build"} <= batch.asked <= OF_A_BATCH


def test_the_assignor_leaves_partitions_where_they_are() -> None:
    assert issubclass(private.StickyPartitionAssignor, AbstractPartitionAssignor)
    assert private.StickyPartitionAssignor.name == "sticky"


@pytest.mark.parametrize(("number", "encoded"), [(0, b"\x00"), (-1, b"\x01"), (150, b"\xac\x02")])
def test_numbers_are_zigzag_varints(number: int, encoded: bytes) -> None:
    made = bytearray()
    private.encode_varint(number, made.append)
    assert bytes(made) == encoded
    assert private.decode_varint(encoded, 0) == (number, len(encoded))


def test_checksums_and_partitions_are_those_of_kafka() -> None:
    assert private.calc_crc32c(b"123456789") == 0xE3069283
    assert private.murmur2(b"21") == -973932308 & 0xFFFFFFFF  # of Kafka's own UtilsTest


@pytest.mark.parametrize("encode", [private.gzip_encode, private.snappy_encode, private.lz4_encode])
def test_codecs_take_bytes_and_give_bytes(encode: Callable[[bytes], bytes]) -> None:
    assert 0 < len(encode(b"same " * 1000)) < 5000


class Client:
    """Answers a fetch with this."""

    def __init__(self, *topics: Any) -> None:
        self.topics, self.forced = list(topics), 0
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1)

    async def send(self, *_: Any) -> Any:
        return self

    async def force_metadata_update(self) -> None:
        self.forced += 1


def answering(*topics: Any) -> Any:
    return SimpleNamespace(_client=Client(*topics))


def answered(code: int, high: int, data: bytes = b"") -> Any:
    return answering(("t", [(0, code, high, high, None, data)]))


async def test_an_answer_that_is_held_back_is_an_error_of_kafkas() -> None:
    with pytest.raises(KafkaError, match="quota"):
        await private.batch_at(answering(), AT, 5)


@pytest.mark.parametrize("code", [74, 75, 76, 78, 89, 100, 109])
async def test_a_code_that_aiokafka_does_not_know_is_no_verdict_on_the_log(code: int) -> None:
    asked = answered(code, -1)
    with pytest.raises(KafkaError, match=f"code {code}"):
        await private.batch_at(asked, AT, 5)
    assert asked._client.forced


async def test_an_offset_that_the_broker_has_not_is_named() -> None:
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await private.batch_at(answered(1, -1), AT, 5)
    assert caught.value.args == ({AT: 5},)


async def test_what_is_above_the_high_watermark_is_not_there_yet() -> None:
    with pytest.raises(KafkaError, match="offset 5"):
        await private.batch_at(answered(0, 5), AT, 5)


@pytest.mark.parametrize("answer", [(2, -1), (-1, -1), (0, 6), (0, 6, b"no batch")], ids=["corrupt", "unknown error", "empty", "garbage"])
async def test_what_a_broker_cannot_read_is_none(answer: Any) -> None:
    assert await private.batch_at(answered(*answer), AT, 5) is None


async def test_a_fetch_goes_over_the_connection_that_is_told(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1)
    at = TopicPartition(settings.raw_topic, 0)
    async with consumer(settings, [at]) as reader:
        await reader.end_offsets([at])
        over = private.connection(reader, at)
        assert over is not None
        with pytest.raises(KafkaError):
            await private.batch_at(reader, at, 0)  # nothing is there yet
        await reader.getmany(at, timeout_ms=200)
        assert private.connection(reader, at) is over
        over.close()  # type: ignore[attr-defined]
        await reader.end_offsets([at])
        assert private.connection(reader, at) not in (None, over)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(COLLECTOR.rglob("*.py")):
        text = path.read_text()
        if "aiokafka" in text:
            yield path.relative_to(COLLECTOR).as_posix(), ast.parse(text)


def imported(tree: ast.Module) -> set[str]:
    names = {one.module for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module}
    return names | {alias.name for one in ast.walk(tree) if isinstance(one, ast.Import) for alias in one.names}


def strangers(tree: ast.Module) -> set[str]:
    """Private names that are asked of another object and that the module itself does not give one of its own."""
    own = {"_replace"}  # of a NamedTuple
    own |= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    private_names = [one for one in ast.walk(tree) if isinstance(one, ast.Attribute) and re.match("_[^_]", one.attr)]
    own |= {one.attr for one in private_names if isinstance(one.value, ast.Name) and one.value.id == "self"}
    return {one.attr for one in private_names} - own


def test_only_one_module_reaches_into_aiokafka() -> None:
    found = {name: strangers(tree) for name, tree in modules()}
    assert {name for name, names in found.items() if names} == {"kafka/private.py"}
    assert {"_client", "_sender", "_message_accumulator", "_txn_manager"} <= found["kafka/private.py"]


def test_only_one_module_uses_what_aiokafka_does_not_document() -> None:
    found = {name: {one for one in imported(tree) if one.partition(".")[0] == "aiokafka"} - DOCUMENTED for name, tree in modules()}
    assert {name for name, names in found.items() if names} == {"kafka/private.py"}


def test_only_one_module_makes_clients() -> None:
    made = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"}
    found = {
        name
        for name, tree in modules()
        if any(isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in made for one in ast.walk(tree))
    }
    assert found == {"kafka/clients.py"}
