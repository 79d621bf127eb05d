"""The store, or Kafka, is away for a while under load, and the journal may reach its quota: what was acknowledged arrives, once, in order.

MESHSCRIBE_SOAK_DEAD_SECONDS and MESHSCRIBE_SOAK_RATE set the long form's size.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from collector.demo.audit import Audit
from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.cloudevents import decode
from collector.kafka.topics import create
from tests.support.cluster import Cluster, Member, collector_alone, exactly_once, rss_bytes
from tests.support.kafka import read_all, running_broker, settings_for
from tests.support.postgres import Database
from tests.support.proxies import Proxies
from tests.support.waits import until

MB = 1 << 20
GROWTH = 48 * MB  # of a process that holds what its settings allow, and what its allocator keeps
TAIL = 96 * MB  # the journal's newest entries, 32 MiB as it counts them, with the messages parsed
FILLS_TAIL = 100_000  # exchanges that fill it in the first half of an outage
PROXIES = 4
BOUND_BYTES = MB  # of a journal, or of what may wait for Kafka, that is to be reached
PATIENCE = 120.0


class Size(NamedTuple):
    dead_seconds: float
    rate: float  # exchanges a second


SHORT = Size(5, 200)
SOAK = Size(float(os.environ.get("MESHSCRIBE_SOAK_DEAD_SECONDS", "300")), float(os.environ.get("MESHSCRIBE_SOAK_RATE", "500")))
SIZES = pytest.mark.parametrize("size", [SHORT, pytest.param(SOAK, marks=pytest.mark.soak)], ids=["short", "soak"])
pytestmark = [pytest.mark.slow, pytest.mark.cold, pytest.mark.timeout(2400)]


class Sink(Protocol):
    """Where the pipeline writes. `environment`: the settings that lead there."""

    environment: dict[str, str]

    def die(self) -> None: ...
    def revive(self) -> None: ...
    def requests(self) -> list[tuple[str, str]]:
        """(node, request id) of each exchange, in the order stored, as often as it is there: its first event, without later revisions."""
        ...


class PostgresSink:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.environment = {"MESHSCRIBE_SINK__URL": database.url}

    def die(self) -> None:
        self._database.postgres.stop("immediate")

    def revive(self) -> None:
        self._database.postgres.start()

    def requests(self) -> list[tuple[str, str]]:
        rows = self._database.postgres.run(
            "SELECT node, request_id FROM exchanges WHERE revision = 0 ORDER BY journal, position, ordinal", self._database.name
        )
        return [(row["node"], row["request_id"]) for row in rows]


class KafkaTopics:
    def __init__(self, broker: KafkaBroker) -> None:
        self._broker, self._settings = broker, settings_for(broker.bootstrap)
        asyncio.run(create(self._settings, 2, None))
        named = {f"MESHSCRIBE_KAFKA__{key.upper()}": value for key, value in self._settings.model_dump().items() if key.endswith("_topic")}
        servers = {"MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap, "MESHSCRIBE_SINK__URL": "kafka:"}
        self.environment = {**named, **servers}

    def die(self) -> None:
        self._broker.kill()

    def revive(self) -> None:
        self._broker.start()

    def requests(self) -> list[tuple[str, str]]:
        records = asyncio.run(read_all(self._settings.bootstrap_servers, self._settings.exchanges_topic))
        columns = [decode(record.headers, record.value).event.columns for record in records]
        return [(str(found.node), str(found.request_id)) for found in columns if not found.revision]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of this test's own, which it may torment."""
    with running_broker(tmp_path / "kafka") as made:
        yield made


SINKS: dict[str, Callable[[pytest.FixtureRequest], Sink]] = {
    "postgres": lambda request: PostgresSink(request.getfixturevalue("database")),
    "kafka": lambda request: KafkaTopics(request.getfixturevalue("broker")),
}


@SIZES
@pytest.mark.parametrize("sink", SINKS)
def test_a_dead_sink_turns_no_proxy_away_and_has_everything_once_and_in_order_afterwards(
    request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack, sink: str, size: Size
) -> None:
    store = SINKS[sink](request)
    collector = collector_alone(tmp_path, stack, store.environment)
    proxies = Proxies(collector.ingest_port, collector.grpc_port, PROXIES, size.rate, in_flight=1, logs=False)
    proxies.start()
    assert until(store.requests, bool, PATIENCE)
    store.die()
    try:
        assert until(lambda: _component(collector, "sink")["ok"], lambda ok: not ok, PATIENCE) is False
        before, acknowledged = rss_bytes(collector), len(proxies.acknowledged)
        time.sleep(size.dead_seconds / 2)
        halfway = rss_bytes(collector)
        time.sleep(size.dead_seconds / 2)
        grown, late, taken = rss_bytes(collector) - before, rss_bytes(collector) - halfway, len(proxies.acknowledged) - acknowledged
        assert not _component(collector, "sink")["ok"]
    finally:
        store.revive()
    proxies.end()
    print(f"\n{sink}: dead {size.dead_seconds:g} s, {taken} taken meanwhile", end=", ")
    print(f"RSS {before / MB:.0f} MB {grown / MB:+.1f} MB, in the second half {late / MB:+.1f} MB")
    assert (proxies.refused, proxies.unanswered) == (0, 0)
    assert taken >= size.dead_seconds * size.rate / 2, "nothing was taken in while the sink was away: the test tested nothing"
    assert grown < TAIL + GROWTH
    assert taken < FILLS_TAIL or late < GROWTH / 2, "memory grows with what waits"
    found = until(store.requests, lambda found: len(found) >= proxies.sent, PATIENCE)
    print(f"{len(found)} stored of {len(proxies.acknowledged)} acknowledged")
    _once(found, proxies.acknowledged)
    _in_order(found)


@SIZES
def test_at_its_quota_the_journal_refuses_and_counts_and_what_it_took_arrives(
    database: Database, tmp_path: Path, stack: ExitStack, size: Size
) -> None:
    bound = {"MESHSCRIBE_JOURNAL__QUOTA_BYTES": str(BOUND_BYTES), "MESHSCRIBE_CORRELATE__EXPECT": "both"}
    store = PostgresSink(database)
    collector = collector_alone(tmp_path, stack, {**store.environment, **bound})
    proxies = Proxies(collector.ingest_port, collector.grpc_port, PROXIES, size.rate)
    proxies.start()
    assert until(store.requests, bool, PATIENCE)
    store.die()
    try:
        assert until(lambda: proxies.refused, bool, PATIENCE + 10 * BOUND_BYTES / size.rate / 1000)
        before, acknowledged = rss_bytes(collector), len(proxies.acknowledged)
        journal = _component(collector, "journal")
        used = re.match(r"(\d+)% of its quota", journal["detail"])
        assert used
        assert int(used[1]) >= 95 * PROXIES // (PROXIES + 1), "each may hold as much as is left"
        assert "more than their share" in _component(collector, "ingest")["detail"]
        time.sleep(size.dead_seconds / 2)
        halfway = rss_bytes(collector)
        time.sleep(size.dead_seconds / 2)
        grown, late, taken = rss_bytes(collector) - before, rss_bytes(collector) - halfway, len(proxies.acknowledged) - acknowledged
        refused = proxies.refused
    finally:
        store.revive()
    patience = PATIENCE + size.dead_seconds * size.rate / 500  # all that was refused passes through a journal of one megabyte
    proxies.end(patience)
    found = until(store.requests, lambda found: proxies.acknowledged <= {name for _, name in found}, PATIENCE)
    dropped = _counter(collector, 'meshscribe_access_log_entries_total{result="refused"}')
    print(
        f"\nquota: {size.dead_seconds:g} s, {taken} taken in meanwhile, {refused} batches refused, {dropped} log entries dropped, "
        f"RSS {before / MB:.0f} MB {grown / MB:+.1f} MB, {late / MB:+.1f} in the second half; "
        f"{len(found)} stored of {len(proxies.acknowledged)} acknowledged"
    )
    assert grown < TAIL + GROWTH
    assert late < GROWTH / 2, "memory grows with what is refused"
    assert set(proxies.answers) <= {503, 0}, "the filter is asked to come again, and nothing else is said"
    assert taken < size.dead_seconds * size.rate / 2, "the bound did not hold"
    _once([one for one in found if one[1]], proxies.acknowledged)
    assert dropped > 0, "no access log was dropped: the test tested nothing"
    told = until(lambda: _refused(database), lambda told: told >= dropped, PATIENCE)
    assert told == dropped, "the ledger has every drop"
    with closing(Audit(collector.url)) as audit:
        sums = until(audit.totals, lambda found: found["received"] + found["cured"].get("missing", 0) >= proxies.sent, PATIENCE)
    # A batch that was refused once comes behind later ones: missing in one window, and cured in a later one.
    assert (sums["announced"], sums["received"] + sums["cured"].get("missing", 0)) == (proxies.sent, proxies.sent)


@SIZES
def test_a_receiver_without_kafka_refuses_at_its_bound_and_what_it_took_arrives(
    broker: KafkaBroker, tmp_path: Path, stack: ExitStack, size: Size
) -> None:
    cluster = Cluster(broker.bootstrap, tmp_path, stack, partitions=2)
    receive = cluster.member("receive", "receive", MESHSCRIBE_INGEST__MAX_WAITING_BYTES=str(BOUND_BYTES))
    process = cluster.member("process", "process")
    for member in (receive, process):
        member.start()
    assert until(lambda: receive.ready and process.ready, bool, PATIENCE)
    proxies = Proxies(receive.ingest_port, receive.grpc_port, PROXIES, size.rate)
    proxies.start()
    assert until(lambda: len(proxies.acknowledged), lambda count: count > 300, PATIENCE) > 300
    broker.kill()
    try:
        assert until(lambda: proxies.refused, bool, PATIENCE), "a stalled partition refuses tap batches"
        before, acknowledged = (rss_bytes(receive), rss_bytes(process)), len(proxies.acknowledged)
        time.sleep(size.dead_seconds)
        after, taken = (rss_bytes(receive), rss_bytes(process)), len(proxies.acknowledged) - acknowledged
    finally:
        broker.start()
    proxies.end(PATIENCE)
    dropped = _counter(receive, 'meshscribe_access_log_entries_total{result="refused"}')
    told = [f"{was / MB:.0f} MB {(now - was) / MB:+.1f} MB" for was, now in zip(before, after, strict=True)]
    print(f"\nreceive: Kafka dead {size.dead_seconds:g} s, {proxies.refused} batches refused, {dropped} log entries dropped, RSS {told}")
    assert taken == 0
    assert all(now - was < GROWTH for was, now in zip(before, after, strict=True))
    events = exactly_once(cluster, proxies.acknowledged, PATIENCE)
    print(f"{events.requests.total()} in the topics of {len(proxies.acknowledged)} acknowledged")


def _component(member: Member, name: str) -> dict[str, Any]:
    return member.components().get(name, {"ok": True})


def _counter(member: Member, name: str) -> int:
    found = re.search(rf"^{re.escape(name)} (\S+)$", member.metrics(), re.MULTILINE)
    assert found, f"no metric {name}"
    return int(float(found[1]))


def _refused(database: Database) -> int:
    """The access log entries that all ledger windows say were refused, for whatever reason."""
    rows = database.postgres.run("SELECT data FROM ledger", database.name)
    return sum(sum(json.loads(row["data"])["refused"].values()) for row in rows)


def _once(found: Iterable[tuple[str, str]], wanted: set[str]) -> None:
    times = Counter(name for _, name in found)
    assert times.keys() == wanted
    assert times.total() == len(wanted), "some are there twice"


def _in_order(found: Iterable[tuple[str, str]]) -> None:
    """A proxy's exchanges are numbered in the order in which they were acknowledged."""
    numbers = defaultdict(list)
    for node, name in found:
        numbers[node].append(int(name.rpartition("-")[2]))
    assert len(numbers) == PROXIES
    for node, of_proxy in numbers.items():
        assert of_proxy == sorted(of_proxy), f"{node}'s exchanges are out of order"
