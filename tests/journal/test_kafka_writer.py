"""The raw topic's writer, whatever it is given and whatever goes wrong in it: no lane ends, nobody waits for ever. Needs no broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collector.errors import RetryableError
from collector.journal import kafka_writer as module
from collector.journal.kafka_topic import RawTopic
from collector.journal.kafka_writer import RawWriter
from collector.messages.entry import Kind
from collector.settings import Kafka
from tests.support.clocks import TurnedClock
from tests.support.effort import examples

MIB = 1 << 20
LONGEST = "\N{GRINNING FACE}" * 1024
SENDER = "spiffe://d/ns/a/sa/" + "s" * 490


class Producer:
    """Makes batches as aiokafka does, and takes each at once, unless `meet` raises."""

    def __init__(self, batch_bytes: int, meet: Callable[[], None]) -> None:
        self._batch_bytes, self._meet = batch_bytes, meet
        self.sent: list[BatchBuilder] = []
        self.end = 0

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self._batch_bytes, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self._meet()
        done = asyncio.get_running_loop().create_future()
        done.set_result(type("Metadata", (), {"offset": self.end}))
        self.end += batch.record_count()
        self.sent.append(batch)
        return done


class Writer(RawWriter):
    """With such producers; `faults` are what the next batches meet."""

    def __init__(self, record_bytes: int = 16 * MIB, faults: tuple[BaseException, ...] = ()) -> None:
        clock = TurnedClock()
        clock.longest_sleep = 0.0  # between tries
        super().__init__(Kafka(bootstrap_servers="nowhere:1"), RawTopic("raw", "c", 1, record_bytes, 1), clock, 64 * MIB)
        self.faults, self.made = list(faults), list[Producer]()

    async def _made(self) -> Any:
        self.made.append(Producer(self._batch_bytes, self.meet))
        return self.made[-1]

    def meet(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def put(self, records: list[tuple[int, str, str]]) -> list[int]:
        """Appends them all at once: (bytes, source, sender). Returns the positions."""
        appends = [self.append(Kind.TAP, source, bytes(size), sender=sender) for size, source, sender in records]
        async with asyncio.timeout(10):
            return await asyncio.gather(*appends)


@pytest.fixture(autouse=True)
def without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def discard(_: Any) -> None:
        """Such a producer has nothing to end."""

    monkeypatch.setattr(module, "discard", discard)


async def test_records_that_are_nothing_but_a_long_key_and_a_sender_are_written() -> None:
    writer = Writer()
    assert await writer.put([(0, LONGEST, SENDER)] * 600) == list(range(1, 601))
    assert writer.waiting_bytes == 0
    await writer.close()


async def test_what_a_key_takes_counts_as_waiting() -> None:
    writer = Writer()
    append = asyncio.create_task(writer.append(Kind.TAP, LONGEST, b"", sender=SENDER))
    await asyncio.sleep(0)
    assert writer.waiting_bytes > 4096 + len(SENDER)
    await append
    await writer.close()


@given(
    st.lists(st.tuples(st.integers(0, 300_000), st.sampled_from(["n", LONGEST]), st.sampled_from(["", SENDER])), max_size=40),
    st.sampled_from([70_000, 400_000, 16 * MIB]),
)
@hypothesis_settings(max_examples=examples(50))
async def test_every_group_fits_into_its_batch(records: list[tuple[int, str, str]], record_bytes: int) -> None:
    writer = Writer(record_bytes)
    assert await writer.put(records) == list(range(1, len(records) + 1))
    batches = [batch for producer in writer.made for batch in producer.sent]
    assert all(batch.size() <= record_bytes or batch.record_count() == 1 for batch in batches)
    await writer.close()


async def test_an_error_that_nobody_thought_of_refuses_what_it_met_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(faults=(AssertionError("secret"),))
    with pytest.raises(RetryableError, match="an error in the collector: AssertionError"):
        await writer.put([(1, "n", "")])
    assert "AssertionError in journal/kafka_writer.py" in (writer.fault or "")
    assert "AssertionError" in caplog.text
    assert "secret" not in caplog.text
    assert writer.waiting_bytes == 0
    assert await writer.put([(1, "n", "")]) == [1]
    assert (writer.fault, len(writer.made)) == (None, 2)
    await writer.close()


async def test_a_cancellation_out_of_the_library_is_no_end_of_the_lane() -> None:
    writer = Writer(faults=(asyncio.CancelledError(),))
    assert await writer.put([(1, "n", "")]) == [1]
    await writer.close()
