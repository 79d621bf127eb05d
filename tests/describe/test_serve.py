"""`meshscribe serve` with rules: what they hide is in no byte that it stores, on one machine and by role on Kafka."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.messages.headers import pack
from tests.decode import transcripts as t
from tests.support.cluster import Cluster
from tests.support.kafka import read_all
from tests.support.posts import post
from tests.support.waits import until
from tests.support.witnesses import Told, Vm, parts

SECRET, CONSUMER = "sk-0123456789abcdef", "acme-4711"
ASKED = json.dumps({"model": "llama", "user": "jane", "messages": [{"role": "user", "content": SECRET}]}).encode()
STREAM = t.sse([*t.words("it is ", SECRET[:7], SECRET[7:]), t.delta({}, finish="stop")])
SECONDS = 120.0


def rules(folder: Path) -> dict[str, str]:
    (folder / "key").write_text("0123456789abcdef")
    return {
        "MESHSCRIBE_REDACTION__PATHS": '["user"]',
        "MESHSCRIBE_REDACTION__PATTERNS": '["sk-[0-9a-f]{16}"]',
        "MESHSCRIBE_USAGE__CONSUMER_HEADERS": '["x-consumer-id"]',
        "MESHSCRIBE_USAGE__CONSUMER_KEY_FILE": str(folder / "key"),
        "MESHSCRIBE_USAGE__BILLABLE_HOPS": '["predictor"]',
        "MESHSCRIBE_USAGE__TOKENIZERS": '[{"bytes_per_token": 4}]',
        "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    }


def batch() -> bytes:
    half = len(STREAM) // 2
    made = parts(Told(1, path=t.CHAT, request=ASKED, response=(STREAM[:half], STREAM[half:])), 2)
    made[0].request_headers.map = pack([(":method", "POST"), (":path", t.CHAT), ("x-consumer-id", CONSUMER)])
    made[-1].response_headers.map = pack([(":status", "200"), *t.SSE])
    return Vm().seal(made).SerializeToString()


def check(record: dict[str, Any]) -> None:
    assert record["inference"]["choices"][0]["text"] == "it is [redacted]"
    assert record["hop"]["rule"] == "configured:predictor-hop"
    assert len(record["caller"]["consumer"]) == 32
    assert record["usage"]["completion_tokens"]["provenance"] == "estimated"


def exchanges(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/v1/exchanges", timeout=30) as answer:
        return [item for item in json.load(answer)["items"] if isinstance(item, dict)]


def body(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_on_one_machine_neither_the_store_nor_the_api_has_it(tmp_path: Path) -> None:
    with Ports() as ports:
        collector = CollectorProcess(ports.take(), ports.take(), ports.take(), tmp_path, rules(tmp_path))
        collector.start()
        try:
            post(collector.ingest_port, batch())
            [found] = until(lambda: exchanges(collector.url), bool, SECONDS)
            bodies = [body(f"{collector.url}/v1/exchanges/{found['id']}/{side}") for side in ("request", "response")]
        finally:
            collector.process.stop(30)
    assert bodies[1].endswith(b"data: [DONE]\n\n")
    with sqlite3.connect(tmp_path / "events.db") as connection:
        [(data,)] = connection.execute("SELECT data FROM exchanges").fetchall()
    connection.close()
    check(json.loads(data))
    stored = b"".join(bodies) + b"".join(path.read_bytes() for path in tmp_path.glob("events.db*"))
    assert not [word for word in (SECRET, SECRET[7:], "jane", CONSUMER) if word.encode() in stored]


def test_by_role_no_record_of_the_events_topics_has_it(kafka: KafkaBroker, tmp_path: Path) -> None:
    with ExitStack() as stack:
        cluster = Cluster(kafka.bootstrap, tmp_path, stack, partitions=1)
        receive, process = cluster.member("receive", "receive"), cluster.member("process", "process", **rules(tmp_path))
        receive.launch()
        process.launch()
        assert until(lambda: receive.ready and process.ready, bool, SECONDS), process.process.tail()
        post(receive.ingest_port, batch())
        assert until(lambda: cluster.events().usages, bool, SECONDS), process.process.tail()
        settings = cluster.settings
        topics = (settings.exchanges_topic, settings.usage_topic, settings.payloads_topic)
        records = [record for topic in topics for record in asyncio.run(read_all(settings.bootstrap_servers, topic))]
    assert len(records) == 4
    [own] = [json.loads(record.value) for record in records if record.topic == settings.exchanges_topic]
    check(own)
    stored = b"".join(b"".join((record.key or b"", record.value, repr(record.headers).encode())) for record in records)
    assert not [word for word in (SECRET, SECRET[7:], "jane", CONSUMER) if word.encode() in stored]
