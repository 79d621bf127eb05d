"""What aiokafka says in an outage: its errors as ours, and its log."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, UnknownError

from collector.errors import PermanentError, RetryableError, SettingsError
from collector.kafka.clients import start_consumer
from collector.kafka.faults import EVERY_SECONDS, Repeats, meaning, quieten, translated
from collector.settings import Kafka


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock: Clock) -> logging.Logger:
    logger = logging.Logger("a client")
    logger.addFilter(Repeats(clock))
    logger.addHandler(logging.NullHandler())
    return logger


def test_a_line_that_repeats_is_told_once_a_minute_with_the_count_of_the_others(
    told: logging.Logger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(told, "callHandlers", lambda record: lines.append(record.getMessage()))
    for second in range(130):
        clock.now = second
        told.error("no connection to %s", second)
    assert lines == [
        "no connection to 0",
        f"no connection to 60 (59 more such lines in the last {EVERY_SECONDS:.0f} s)",
        f"no connection to 120 (59 more such lines in the last {EVERY_SECONDS:.0f} s)",
    ]


def test_lines_from_different_places_do_not_hide_each_other(told: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(told, "callHandlers", lambda record: lines.append(record.getMessage()))
    told.error("one")
    told.error("other")
    assert lines == ["one", "other"]


def test_every_logger_of_the_client_gets_one_filter_however_often_it_is_asked() -> None:
    quieten()
    quieten()
    import aiokafka.producer.sender as sender

    assert sum(isinstance(one, Repeats) for one in sender.log.filters) == 1


SETTINGS = Kafka(bootstrap_servers="broker:9092", timeout_seconds=10)
UNDER = KafkaError("Unexpected error during batch delivery")
UNDER.__cause__ = UnknownError("x")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KafkaConnectionError("Unable to bootstrap from [('broker', 9092, 0)]"), "KafkaConnectionError: Unable to bootstrap"),
        (KafkaTimeoutError(), "KafkaTimeoutError"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (TimeoutError(110, "Connection timed out"), "TimeoutError: [Errno 110] Connection timed out"),
        (OSError(), "OSError"),
        (UNDER, "KafkaError: Unexpected error during batch delivery ([Error -1] UnknownError: x)"),
    ],
    ids=repr,
)
def test_brokers_that_fail_are_named_once_and_so_is_the_error(error: Exception, sentence: str) -> None:
    with pytest.raises(RetryableError) as caught, translated(SETTINGS, "relay r: "):
        raise error
    assert str(caught.value) == f"relay r: Kafka at broker:9092: {sentence}"
    assert caught.value.__cause__ is error


async def test_a_time_that_is_over_is_told_in_seconds() -> None:
    with pytest.raises(RetryableError, match=r"^Kafka at broker:9092 did not finish within 10 s$"), translated(SETTINGS):
        async with asyncio.timeout(0):
            await asyncio.sleep(1)


def test_a_record_that_no_broker_takes_is_refused_for_ever() -> None:
    refused = r"^Kafka at broker:9092 refuses a record for ever: \[Error 10\] MessageSizeTooLargeError"
    with pytest.raises(PermanentError, match=refused), translated(SETTINGS):
        raise MessageSizeTooLargeError


@pytest.mark.parametrize("error", [ValueError("x"), AssertionError("ours"), RetryableError("x"), SettingsError(["x"]), KeyboardInterrupt()])
def test_what_is_no_matter_of_kafkas_or_is_ours_comes_out_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translated(SETTINGS):
        raise error
    assert caught.value is error


async def test_what_aiokafka_asserts_is_a_matter_of_kafkas() -> None:
    consumer = AIOKafkaConsumer()
    with pytest.raises(RetryableError, match="AssertionError: Partition is not assigned"), translated(SETTINGS):
        consumer.highwater(TopicPartition("t", 0))
    await consumer.stop()


def test_an_error_without_a_trace_was_asserted_by_nobody() -> None:
    assert meaning(AssertionError(), SETTINGS) is None


async def test_a_broker_that_is_away_is_named_once() -> None:
    settings = Kafka(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(RetryableError) as caught, translated(settings):
        await start_consumer(settings)
    assert str(caught.value) == "Kafka at 127.0.0.1:1: KafkaConnectionError: Unable to bootstrap"
