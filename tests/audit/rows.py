"""Rows of the store, as the sink writes them, and a store to put them in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstandard
from sqlalchemy import Connection, Table, create_engine, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from collector.describe import describe_ledger
from collector.describe.identity import event_id, uuid7
from collector.messages.completeness import Completeness, names
from collector.messages.event import REQUEST_TYPE, RESPONSE_TYPE, Place
from collector.messages.exchange import LedgerWindow, Node
from collector.messages.usage_counts import SUMS
from collector.settings import Audit
from collector.store import texts
from collector.store.postings import postings
from collector.store.schema import (
    USAGE_DIMENSIONS,
    exchanges,
    ledger,
    marks,
    metadata,
    payloads,
    places,
    usage_days,
    usage_hours,
    usage_keys,
)
from collector.store.usage_deltas import HOUR_US, HOURS
from collector.store.words import line
from tests.support.clocks import Sleeping

NOW = 1_763_800_000_123_456  # 2025-11-22T08:26:40.123456Z
SECOND = 1_000_000
MINUTE = 60 * SECOND
JOURNAL = "0192aaaa-0000-7000-8000-000000000001"
NODE = "sidecar~10.0.0.7~llama-predictor-0.prod~prod.svc.cluster.local"


class Clock(Sleeping):
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.us = NOW

    def now_us(self) -> int:
        return self.us

    def monotonic_us(self) -> int:
        return self.us


def patient(**settings: Any) -> Audit:
    """The API's settings; no query is given up for a machine that is busy."""
    return Audit(**{"query_seconds": 120, **settings})


def name(time_us: int, salt: str = "") -> str:
    """An exchange's id."""
    return uuid7(time_us // 1000, f"{time_us}{salt}".encode())


def record(identity: str, revision: int, columns: dict[str, Any]) -> bytes:
    """A record, laid out as no serialiser would: whoever parses it and writes it anew is found out."""
    said = {
        "id": identity,
        "revision": revision,
        "start": "2025-11-22T08:26:40.123456Z",
        "duration_ms": 12.5,
        "proxy": {"node": columns["node"], "namespace": columns["namespace"], "workload": "llama-predictor"},
        "service": {"namespace": columns["namespace"], "name": columns["service"]},
        "request": {"id": columns["request_id"], "method": columns["method"], "path": columns["path"], "body": {}},
        "response": {"status": columns["status"], "body": {}},
        "inference": {"model_requested": columns["model"]},
        "completeness": names(columns["completeness"]),
    }
    return json.dumps(said, separators=(" , ", " :  ")).encode()


def exchange(time_us: int, salt: str = "", revision: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of `exchanges`."""
    identity = name(time_us, salt)
    columns: dict[str, Any] = {
        "exchange": identity,
        "revision": revision,
        "superseded": False,
        "source": f"/proxy/{NODE}",
        "subject": "prod/llama",
        "time_us": time_us,
        "duration_us": 12_500,
        "namespace": "prod",
        "service": "llama",
        "node": NODE,
        "request_id": f"req-{identity}",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "caller": "spiffe://cluster.local/ns/app/sa/web",
        "model": "llama-3",
        "completeness": int(Completeness.COMPLETE),
        "request_bytes": 10,
        "response_bytes": 20,
        "journal": JOURNAL,
        "position": time_us - NOW + (1 << 40),
        "ordinal": 0,
        **changes,
    }
    columns["id"] = event_id(identity, "exchange", revision)
    columns.setdefault("data", record(identity, revision, columns))
    return columns


def payload(of: dict[str, Any], direction: str, data: bytes, /, **changes: Any) -> dict[str, Any]:
    """A row of `payloads`, compressed as the sink does."""
    return {
        "id": event_id(of["exchange"], direction, of["revision"]),
        "exchange": of["exchange"],
        "revision": of["revision"],
        "type": REQUEST_TYPE if direction == "request" else RESPONSE_TYPE,
        "source": of["source"],
        "subject": of["subject"],
        "time_us": of["time_us"],
        "content_type": "application/json",
        "content_encoding": None,
        "size": len(data),
        "extensions": json.dumps({"exchange": of["exchange"], "revision": of["revision"], "component": "predictor"}).encode(),
        "compression": "zstd",
        "data": zstandard.ZstdCompressor(level=1).compress(data),
        **changes,
    }


def window(
    start_us: int,
    node: str = NODE,
    dropped: dict[str, int] | None = None,
    *,
    sender: str = "",
    refused: dict[str, int] | None = None,
    malformed: dict[str, int] | None = None,
    cured: dict[str, dict[int, int]] | None = None,
    **counts: int,
) -> dict[str, Any]:
    """A row of `ledger`, as describe and the sink make it. What was announced is what the other counts come to."""
    reasons = dropped or {}
    told = {"batches": 7, "received": 0, "missing": 0, **counts}
    told["announced"] = told["received"] + told["missing"] + sum(reasons.values())
    proxy = Node(node, namespace="prod", workload="llama-predictor", sender=sender)
    return ledger_row(LedgerWindow(proxy, start_us, MINUTE, told, reasons, {}, refused or {}, malformed or {}, cured or {}))


def away(from_us: int, to_us: int, reason: str = "killed") -> dict[str, Any]:
    """A row of `ledger` that says that the collector took nothing in between."""
    return ledger_row(LedgerWindow(Node("collector"), from_us, to_us - from_us, {}, {}, {}, away_us=(from_us, to_us), away_reason=reason))


def ledger_row(of: LedgerWindow, journal: str = JOURNAL) -> dict[str, Any]:
    """The row that is stored of a window."""
    salt = f"{of.node.id}{of.node.sender}{of.start_us}{of.cured}{journal}"
    (event,) = describe_ledger(of, Place(of.start_us // SECOND, 0)).events
    return {
        "id": uuid7(of.start_us // 1000, salt.encode()),
        "source": event.source,
        "time_us": of.start_us,
        **event.columns._asdict(),
        "journal": journal,
        "position": of.start_us // SECOND,
        "ordinal": 0,
        "data": event.data,
    }


@cache
def _tables() -> bytes:
    """A file with the tables and nothing in them: to copy it takes a tenth of the time that it takes to make."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        return path.read_bytes()


class Store:
    """A SQLite file with the tables, written to as the sink would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = create_engine(f"sqlite:///{path}")
        if path.exists():
            metadata.create_all(self.engine)
        else:
            path.write_bytes(_tables())

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.path}"

    def opened(self) -> AsyncEngine:
        """An engine for the API, as the collector makes it."""
        return create_async_engine(self.url)

    def transact(self, work: Callable[[Connection], None]) -> None:
        """Does it in one transaction."""
        with self.engine.begin() as connection:
            work(connection)

    def exchanges(self, *rows: dict[str, Any]) -> None:
        """Writes them and moves each journal's place, as one transaction."""

        def write(connection: Connection) -> None:
            for row in rows:
                older = (exchanges.c.exchange == row["exchange"]) & (exchanges.c.revision < row["revision"])
                connection.execute(update(exchanges).where(older).values(superseded=True))
                connection.execute(insert(exchanges).values(row))
                for bucket, batch, hashes, told in postings([(row["id"], row.get("marks"))]):
                    connection.execute(insert(marks).values(bucket=bucket, batch=batch, hashes=hashes, told=told))
                place = {"position": row["position"], "ordinal": row["ordinal"]}
                moved = connection.execute(update(places).where(places.c.journal == row["journal"]).values(place))
                if not moved.rowcount:
                    connection.execute(insert(places).values(journal=row["journal"], **place))

        self.transact(write)

    def payloads(self, *rows: dict[str, Any]) -> None:
        self.transact(lambda connection: _insert(connection, payloads, rows))

    def ledger(self, *rows: dict[str, Any]) -> None:
        self.transact(lambda connection: _insert(connection, ledger, rows))

    def usage(self, time_us: int, folded: int = 0, **told: Any) -> None:
        """Sums of an hour and of its day: counts by their names, the rest is the key."""
        counts = {name: told.pop(name) for name in SUMS if name in told}
        parts = {name: told.get(name) for name in USAGE_DIMENSIONS}
        identity = int.from_bytes(blake2b(json.dumps([folded, parts]).encode(), digest_size=7).digest())

        def write(connection: Connection) -> None:
            connection.execute(insert(usage_keys).values(id=identity, folded=folded, **parts))
            connection.execute(insert(usage_hours).values(hour=time_us // HOUR_US, key=identity, **counts))
            connection.execute(insert(usage_days).values(day=time_us // HOUR_US // HOURS, key=identity, **counts))

        self.transact(write)

    def words(self, exchange: str, *said: str) -> None:
        """Into the index of texts: that this was asked or answered."""

        def write(connection: Connection) -> None:
            own = connection.connection.driver_connection
            assert isinstance(own, sqlite3.Connection)
            own.execute(texts.BEGUN_SQLITE, (NOW,))
            texts.put_sqlite(own, [texts.Text(exchange, line(said))])

        self.transact(write)

    def drop(self) -> None:
        """The tables are gone, as before a first migration."""
        self.transact(metadata.drop_all)

    def close(self) -> None:
        self.engine.dispose()


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(insert(table), list(rows))
