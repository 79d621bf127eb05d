"""`meshscribe serve` with `sink.url: kafka:` as a process: drained by SIGTERM, killed, started again; every exchange arrives once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from collector.demo.child import ChildError
from collector.demo.kafka_broker import KafkaBroker
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.settings import Kafka
from tests.bench.inputs import Input, make
from tests.support.kafka import event_ids, new_topics, read_all, settings_for
from tests.support.posts import post

SETTINGS = {
    "MESHSCRIBE_SINK__URL": "kafka:",
    "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "0.2",
}


def collector(settings: Kafka, ports: Ports, folder: Path) -> CollectorProcess:
    named = {f"MESHSCRIBE_KAFKA__{n.upper()}": str(v) for n, v in settings.model_dump(mode="json", exclude_defaults=True).items()}
    return CollectorProcess(ports.take(), ports.take(), ports.take(), folder, {**SETTINGS, **named})


def send(process: CollectorProcess, batches: list[bytes]) -> None:
    for batch in batches:
        post(process.ingest_port, batch)


async def exchanges(settings: Kafka) -> Counter[str]:
    return Counter(event_ids(await read_all(settings.bootstrap_servers, settings.exchanges_topic)))


async def test_drained_and_killed_and_started_again_every_exchange_arrives_once(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = await new_topics(kafka.bootstrap)
    told: Input = make(300, 512, batch_bytes=8 << 10)
    third = len(told.batches) // 3
    with Ports() as ports:
        process = collector(settings, ports, tmp_path)
        process.start()
        try:
            send(process, told.batches[:third])
            process.process.stop(30)
            drained = await exchanges(settings)
            assert drained
            assert set(drained.values()) == {1}
            process.start()
            send(process, told.batches[third : 2 * third])
            process.process.kill()
            process.start()
            send(process, told.batches[2 * third :])
            while (found := await exchanges(settings)).total() < told.exchanges:
                process.process.check()
        finally:
            process.process.stop(30)
    assert len(found) == told.exchanges
    assert await exchanges(settings) == found


def test_without_its_topics_it_ends_and_says_what_to_do(kafka: KafkaBroker, tmp_path: Path) -> None:
    with Ports() as ports:
        process = collector(settings_for(kafka.bootstrap), ports, tmp_path)
        with pytest.raises(ChildError, match="meshscribe kafka topics --create"):
            until_it_ends(process)


def until_it_ends(process: CollectorProcess) -> None:
    try:
        process.start()
        while True:
            process.process.check()
    finally:
        process.process.kill()
