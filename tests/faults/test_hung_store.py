"""A store that hangs, as an operator meets it: what /readyz, the metrics and the log say, and what is stored afterwards."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.cluster import Member, collector_alone
from tests.support.postgres import Database
from tests.support.proxies import Proxies
from tests.support.waits import until

PATIENCE = 60.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process's lock: it need not be one, SQLite's locks are between connections."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def works(collector: Member) -> bool:
    """Whether /readyz says so of the sink. Where it says nothing, nothing is known."""
    return bool(collector.components().get("sink", {}).get("ok"))


def metric(collector: Member, name: str) -> float:
    return next(float(line.rpartition(" ")[2]) for line in collector.metrics().splitlines() if line.startswith(f"{name} "))


def hangs(collector: Member, proxies: Proxies, stored: Callable[[], int], folder: Path, hung: Any) -> None:
    """The whole course, with traffic."""
    proxies.start()
    try:
        assert until(stored, bool, PATIENCE)
        assert until(lambda: works(collector), bool, PATIENCE)
        with hung:
            is_told(collector, folder)
            before = len(proxies.acknowledged)
            assert until(lambda: len(proxies.acknowledged) > before + 50, bool, PATIENCE), "what comes is taken"
        assert until(lambda: works(collector), bool, PATIENCE)
    finally:
        proxies.end()
    assert until(stored, lambda found: found >= proxies.sent, PATIENCE) == proxies.sent
    log = (folder / "collector.log").read_text()
    assert log.count("has not answered for") <= 2, "the log is not filled"


def is_told(collector: Member, folder: Path) -> None:
    """By all that an operator looks at."""
    begun = time.monotonic()
    told = until(lambda: collector.components().get("sink", {}), lambda found: found.get("ok") is False, PATIENCE)
    print(f"\ntold after {time.monotonic() - begun:.1f} s")
    assert "has not answered for" in told["detail"] or "locked" in told["detail"]
    assert metric(collector, "meshscribe_sink_failing") == 1
    assert until(lambda: "the sink" in (folder / "collector.log").read_text(), bool, PATIENCE)
    assert httpx.get(f"{collector.url}/readyz", trust_env=False, timeout=30).status_code == 503
    assert httpx.get(f"{collector.url}/readyz/ingest", trust_env=False, timeout=30).status_code == 200


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def test_a_server_that_is_stopped_under_load(database: Database, tmp_path: Path, stack: ExitStack) -> None:
    collector = collector_alone(tmp_path, stack, {"MESHSCRIBE_SINK__URL": database.url, "MESHSCRIBE_AUDIT__QUERY_SECONDS": "2"})
    proxies = Proxies(collector.ingest_port, collector.grpc_port, 2, 100, logs=False)

    def stored() -> int:
        return int(database.postgres.run("SELECT count(*) FROM exchanges WHERE revision = 0", database.name)[0][0])

    hangs(collector, proxies, stored, tmp_path, database.postgres.hung())
    with database.postgres.hung():
        answer = httpx.get(f"{collector.url}/v1/exchanges", trust_env=False, timeout=30)
        assert (answer.status_code, "Waiting for the store" in answer.json()["detail"]) == (503, True)


def test_a_file_that_another_process_has_locked_under_load(tmp_path: Path, stack: ExitStack) -> None:
    store = tmp_path / "events.db"
    collector = collector_alone(tmp_path, stack, {"MESHSCRIBE_SINK__URL": f"sqlite:///{store}"})
    proxies = Proxies(collector.ingest_port, collector.grpc_port, 2, 100, logs=False)

    def stored() -> int:
        with closing(sqlite3.connect(store, timeout=30)) as connection:
            return int(connection.execute("SELECT count(*) FROM exchanges WHERE revision = 0").fetchone()[0])

    hangs(collector, proxies, stored, tmp_path, locked(store))


def test_idle_connections_on_the_audit_port_silence_no_probe(tmp_path: Path, stack: ExitStack) -> None:
    collector = collector_alone(tmp_path, stack, {"MESHSCRIBE_SINK__URL": f"sqlite:///{tmp_path}/events.db"})
    for _ in range(300):
        stack.enter_context(socket.create_connection(("127.0.0.1", collector.audit_port)))
    for _ in range(5):
        for path in ("healthz", "readyz", "metrics"):
            assert httpx.get(f"{collector.url}/{path}", trust_env=False, timeout=30).status_code == 200
