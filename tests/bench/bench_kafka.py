"""Exchanges into Kafka through the sink, beside bare aiokafka loops of the same rows in the same run, on a real broker on this machine.

An exchange is four records: the exchange, its usage, and its two bodies, which differ from exchange to exchange. The bare loops get the
records encoded beforehand: `batches` fills aiokafka's own batches and sends them, without a transaction; `send` is the client's everyday
interface. Whatever else this machine does falls on wall clocks first: trust the CPU and the ratios.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from aiokafka import AIOKafkaProducer

from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.batches import BATCH_BYTES, Record, partition
from collector.kafka.connection import client_arguments
from collector.kafka.transactions import RETRY_MS
from collector.messages.event import Output, Place
from collector.sinks.kafka import KafkaSink, records
from tests.support.kafka import new_topics, running_broker, unique
from tests.support.outputs import ANSWER, CHAT, chats, outputs

SIZES = {"1 KiB": (1024, 8000), "8 KiB": (8192, 2500)}
BATCH = 1000
ROUNDS = 3
WARM_UP = 2  # rounds
TRANSACTIONS = 600  # small ones, until the broker's own code for them is compiled: in the beginning one takes it 20 ms, later 4
PARTITIONS = 3
_TICK = os.sysconf("SC_CLK_TCK")
Attempt = Callable[[], Awaitable[None]]


def run() -> dict[str, float]:
    """{figure: value}. Ratios are the sink's exchanges/s over a bare loop's, the median of the rounds."""
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder)) as broker:
        return uvloop.run(_run(broker))


async def _run(broker: KafkaBroker) -> dict[str, float]:
    figures: dict[str, float] = {}
    scale = float(os.environ.get("MESHSCRIBE_BENCH_SCALE", "1"))
    for label, (size, count) in SIZES.items():
        figures |= {f"{label}: {name}": value for name, value in (await _measure(broker, size, int(count * scale))).items()}
    return figures


async def _measure(broker: KafkaBroker, size: int, count: int) -> dict[str, float]:
    settings = await new_topics(broker.bootstrap, PARTITIONS)
    rows = _rows(size, count)
    encoded = [record._replace(headers=record.named()) for record in records(settings, "bench", rows)]
    producer = AIOKafkaProducer(
        **client_arguments(settings),
        enable_idempotence=True,
        compression_type="zstd",
        max_batch_size=BATCH_BYTES,
        retry_backoff_ms=RETRY_MS,
        max_request_size=settings.max_record_bytes,
    )
    await producer.start()
    for topic in {record.topic for record in encoded}:
        await producer.partitions_for(topic)
    wall, cpu = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    sink = KafkaSink(settings)
    journals = [unique("bench") for _ in range(WARM_UP + ROUNDS)]
    for journal in journals:
        await sink.high(journal)  # connected and known before the clock runs
    unused = iter(journals)
    attempts: dict[str, Attempt] = {
        "sink": lambda: _sink(sink, next(unused), rows),
        "bare batches": lambda: _batches(producer, encoded),
        "bare send": lambda: _send(producer, encoded),
    }
    for number in range(TRANSACTIONS):
        await sink.write("warm-up", [rows[0]._replace(place=Place(number + 1, 0))], Place(number + 1, 0))
    for number in range(WARM_UP + ROUNDS):
        for name, attempt in attempts.items():
            await asyncio.sleep(0.2)  # the broker writes what it has
            server, client, began = _cpu(broker), time.process_time(), time.perf_counter()
            await attempt()
            if number >= WARM_UP:
                wall[name].append(len(rows) / (time.perf_counter() - began))
                cpu[name].append((time.process_time() - client) / len(rows) * 1e6)
                cpu[name + " at the broker"].append((_cpu(broker) - server) / len(rows) * 1e6)
    await producer.stop()
    await sink.close()
    figures = {f"exchanges/s, {name}": statistics.median(values) for name, values in wall.items()}
    figures |= {f"CPU µs per exchange, {name}": statistics.median(values) for name, values in cpu.items()}
    for name in ("bare batches", "bare send"):
        figures[f"sink as a share of {name}"] = _share(wall["sink"], wall[name])
        figures[f"sink as a share of {name}, by CPU of both"] = 1 / _share(_both(cpu, "sink"), _both(cpu, name))
    return figures


def _share(ones: list[float], others: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def _both(cpu: dict[str, list[float]], name: str) -> list[float]:
    return [client + broker for client, broker in zip(cpu[name], cpu[f"{name} at the broker"], strict=True)]


def _rows(size: int, count: int) -> list[Output]:
    chance = Random(size)
    words = [f"{chance.randrange(1 << chance.randrange(8, 28)):x}" for _ in range(8000)]

    def padded(json: bytes) -> bytes:
        """The same document, `size` bytes long, about as compressible as text."""
        text = " ".join(chance.choices(words, k=size // 4))
        return json[:-1] + b',"user":"' + text[: size - len(json) - 10].encode() + b'"}'

    told = [one for n in range(count) for one in chats(1, first=n, request=padded(CHAT), answer=padded(ANSWER))]
    return [output for output in outputs(told) if len(output.events) > 1]


async def _sink(sink: KafkaSink, journal: str, rows: list[Output]) -> None:
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        await sink.write(journal, some, some[-1].place)


async def _batches(producer: AIOKafkaProducer, encoded: list[Record]) -> None:
    waiting: list[Any] = []
    open_: dict[tuple[str, int], Any] = {}
    for number, record in enumerate(encoded):
        place = (record.topic, partition(record.key, PARTITIONS))
        batch = open_.get(place)
        if batch is None or batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is None:
            if batch is not None:
                waiting.append(await producer.send_batch(batch, record.topic, partition=place[1]))
            batch = open_[place] = producer.create_batch()
            batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)
        if number % 100 == 0:
            await asyncio.sleep(0)
    for (topic, place_), batch in open_.items():
        waiting.append(await producer.send_batch(batch, topic, partition=place_))
    await asyncio.gather(*waiting)


async def _send(producer: AIOKafkaProducer, encoded: list[Record]) -> None:
    waiting = [await producer.send(record.topic, record.value, record.key, headers=record.headers) for record in encoded]
    await asyncio.gather(*waiting)


def _cpu(broker: KafkaBroker) -> float:
    """Seconds of CPU that the broker has used."""
    fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
