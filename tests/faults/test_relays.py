"""A relay's target is dead for a while under load: nothing else notices, and afterwards the target has every event once, in order.

MESHSCRIBE_SOAK_DEAD_SECONDS and MESHSCRIBE_SOAK_RATE set the long form's size.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Protocol

import httpx
import pytest

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from collector.kafka.topics import create
from collector.messages import tap_pb2
from collector.messages.event import EXCHANGE_TYPE
from tests.faults.rig import until
from tests.support.cluster import Member
from tests.support.kafka import read_all, settings_for

MB = 1 << 20
GROWTH = 48 * MB  # of a process that holds one batch of the relay more, and what its allocator keeps
PER_POST = 5
BODY = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}' % (b"word " * 200)


class Size(NamedTuple):
    dead_seconds: float
    rate: float  # exchanges a second


SHORT = Size(6, 100)
SOAK = Size(float(os.environ.get("MESHSCRIBE_SOAK_DEAD_SECONDS", "300")), float(os.environ.get("MESHSCRIBE_SOAK_RATE", "500")))


class End(Protocol):
    """A relay's target that can be dead. `environment`: the collector's settings that lead there."""

    environment: dict[str, str]

    def die(self) -> None: ...
    def revive(self) -> None: ...
    def exchanges(self) -> list[str]:
        """Ids of exchange events, in the order they came, as often as they came. Raises OSError while it is dead."""
        ...


class Http:
    """A receiver of batches on a port that stays its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._port = stack.enter_context(Ports()).take()
        self._ids: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        relay = {"name": "r", "to": "http", "mode": "batch", "url": f"http://127.0.0.1:{self._port}/"}
        self.environment = {"MESHSCRIBE_RELAYS": json.dumps([relay])}
        self.revive()
        stack.callback(self.die)

    def revive(self) -> None:
        ids = self._ids

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
                ids.extend(event["id"] for event in batch if event["type"] == EXCHANGE_TYPE)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def die(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def exchanges(self) -> list[str]:
        return list(self._ids)


class Topics:
    """The topics of a broker that is killed."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self._settings = settings_for(broker.bootstrap)
        asyncio.run(create(self._settings, 1, None))
        named = {f"MESHSCRIBE_KAFKA__{key.upper()}": value for key, value in self._settings.model_dump().items() if key.endswith("_topic")}
        servers = {"MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap, "MESHSCRIBE_KAFKA__TIMEOUT_SECONDS": "5"}
        self.environment = {**named, **servers, "MESHSCRIBE_RELAYS": '[{"name":"r","to":"kafka"}]'}

    def die(self) -> None:
        self._broker.kill()

    def revive(self) -> None:
        self._broker.start()

    def exchanges(self) -> list[str]:
        records = asyncio.run(read_all(self._settings.bootstrap_servers, self._settings.exchanges_topic))
        return [dict(record.headers)["ce_id"].decode() for record in records]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


ENDS: dict[str, Callable[[pytest.FixtureRequest, ExitStack], End]] = {
    "http": lambda request, stack: Http(stack),
    "kafka": lambda request, stack: Topics(request.getfixturevalue("kafka")),
}


class Tap(threading.Thread):
    """A proxy's filter at a steady rate. `delays`: from each post's acknowledgement until its last exchange was in the store (s)."""

    def __init__(self, port: int, store: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.delays: list[float] = []
        self.ending = threading.Event()
        self._url, self._store, self._rate = f"http://127.0.0.1:{port}/v1/tap", store, rate

    def run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client, closing(sqlite3.connect(self._store, timeout=30)) as store:
            due = time.monotonic()
            while not self.ending.is_set():
                answer = client.post(self._url, content=self._batch(), headers={"content-type": "application/x-protobuf"})
                assert answer.status_code == 200
                self._note(store)
                due += PER_POST / self._rate
                time.sleep(max(0.0, due - time.monotonic()))

    def _note(self, store: sqlite3.Connection) -> None:
        began, last = time.monotonic(), f"relay-{self.sent}"
        while not store.execute("SELECT 1 FROM exchanges WHERE request_id = ?", (last,)).fetchone():
            time.sleep(0.005)
        self.delays.append(time.monotonic() - began)

    def _batch(self) -> bytes:
        parts = []
        for _ in range(PER_POST):
            self.sent += 1
            part = tap_pb2.Part(
                stream=self.sent,
                request_id=f"relay-{self.sent}".encode(),
                start_us=time.time_ns() // 1000,
                downstream="10.0.0.9:1234",
                level=tap_pb2.REQUEST_RESPONSE,
                end=tap_pb2.End(at_us=1000, request_size=len(BODY), request_complete=True, response_complete=True, response_code=200),
            )
            part.runs.add(direction=tap_pb2.REQUEST_BODY, offset=0, data=BODY, lengths=[len(BODY)], times_us=[10])
            parts.append(part)
        totals = tap_pb2.Totals(streams=self.sent, ends=self.sent, ends_sealed=self.sent)
        node = tap_pb2.Node(id="sidecar~10.0.0.9~relay-0.demo~demo.svc.cluster.local", namespace="demo", workload="relay")
        sequence = self.sent // PER_POST
        return tap_pb2.Batch(node=node, vm="00000000feedf00d", sequence=sequence, totals=totals, parts=parts).SerializeToString()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", [SHORT, pytest.param(SOAK, marks=pytest.mark.soak)], ids=["short", "soak"])
@pytest.mark.parametrize("target", ENDS)
def test_a_dead_target_is_noticed_by_nobody_and_has_everything_afterwards(
    request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack, target: str, size: Size
) -> None:
    end = ENDS[target](request, stack)
    store = tmp_path / "events.db"
    collector = _collector(tmp_path, store, stack, end)
    tap = Tap(collector.ingest_port, store, size.rate)
    tap.start()
    until(end.exchanges, bool, 60)
    healthy = _while(tap, size.dead_seconds / 2)
    end.die()
    try:
        until(lambda: _relay(collector), lambda detail: "failing" in detail, 60)
        before = _rss(collector.process.pid)
        dead = _while(tap, size.dead_seconds)
        grown = _rss(collector.process.pid) - before
        assert collector.ready, "a relay's target makes nobody unready"
        assert "failing since" in _relay(collector)
    finally:
        end.revive()
    tap.ending.set()
    tap.join(60)
    assert grown < GROWTH
    # Both were measured under the same load; a busy machine makes single ones late.
    assert statistics.median(dead) < 2 * statistics.median(healthy) + 0.1
    _has_everything(end, store, tap.sent)


def _collector(folder: Path, store: Path, stack: ExitStack, end: End) -> Member:
    ports = stack.enter_context(Ports())
    settings = {
        "MESHSCRIBE_SINK__URL": f"sqlite:///{store}",
        "MESHSCRIBE_JOURNAL__PATH": str(folder / "journal.db"),
        "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    }
    collector = Member("collector", "all", folder, ports, {**settings, **end.environment})
    stack.callback(collector.process.stop)
    collector.start()
    return collector


def _while(tap: Tap, seconds: float) -> list[float]:
    """The delays that the tap measured meanwhile."""
    from_ = len(tap.delays)
    tap.join(seconds)
    assert tap.is_alive(), "the load ended by itself"
    return tap.delays[from_:]


def _relay(collector: Member) -> str:
    return str(collector.components().get("relay r", {}).get("detail", ""))


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _has_everything(end: End, store: Path, sent: int) -> None:
    with closing(sqlite3.connect(store, timeout=30)) as connection:
        stored = [row[0] for row in connection.execute("SELECT id FROM exchanges ORDER BY journal, position, ordinal")]
    assert len(stored) == sent

    def there() -> list[str]:
        with suppress(OSError):
            return end.exchanges()
        return []

    assert until(there, lambda found: len(found) >= sent, 120) == stored
