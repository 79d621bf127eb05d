"""A yardstick for the collector: a bare loop of the same work, in one thread and with nothing around it.

What comes in is appended to a journal, parsed, joined, hashed, described as JSON and stored with compressed bodies, all in SQLite. No HTTP,
no gRPC, no bounds, no losses counted, nothing decoded, nobody's service.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import zstandard
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from collector.describe.identity import uuid7
from collector.messages.headers import pairs
from collector.messages.tap_pb2 import Batch, Part
from tests.bench.inputs import Input

_SCHEMA = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE journal (position INTEGER PRIMARY KEY, entry BLOB);
CREATE TABLE exchanges (id TEXT PRIMARY KEY, request_id TEXT, path TEXT, status INTEGER, data BLOB) WITHOUT ROWID;
CREATE INDEX by_request_id ON exchanges (request_id);
CREATE TABLE payloads (id TEXT PRIMARY KEY, exchange TEXT, content_type TEXT, data BLOB) WITHOUT ROWID;
"""
Key = tuple[str, int]


def cpu_us(inputs: Input) -> float:
    """CPU µs per exchange."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        connection.executescript(_SCHEMA)
        began = time.process_time()
        logs = _logged(connection, inputs.logs)
        for batch in inputs.batches:
            _journal(connection, batch)
            _store(connection, list(_described(Batch.FromString(batch), logs)))
        spent = time.process_time() - began
        [(stored,)] = connection.execute("SELECT count(*) FROM exchanges")
        connection.close()
    if stored != inputs.exchanges:
        raise RuntimeError(f"{stored} of {inputs.exchanges} exchanges were stored")
    return spent / inputs.exchanges * 1e6


def _journal(connection: sqlite3.Connection, entry: bytes) -> None:
    connection.execute("INSERT INTO journal (entry) VALUES (?)", (entry,))


def _logged(connection: sqlite3.Connection, messages: list[bytes]) -> dict[Key, Any]:
    found = {}
    for message in messages:
        _journal(connection, message)
        for entry in StreamAccessLogsMessage.FromString(message).http_logs.log_entry:
            common = entry.common_properties
            start = common.start_time.seconds * 1_000_000 + common.start_time.nanos // 1000
            found[entry.request.request_id, start] = entry
    return found


def _described(batch: Batch, logs: dict[Key, Any]) -> Iterator[tuple[Part, Any, dict[str, Any]]]:
    for part in batch.parts:
        entry = logs.pop((part.request_id.decode(), part.start_us))
        address = entry.common_properties.downstream_remote_address.socket_address
        named = f"{batch.node.id}\0{part.start_us}".encode() + part.request_id
        record = {
            "id": uuid7(part.start_us // 1000, named),
            "node": batch.node.id,
            "start": part.start_us,
            "caller": f"{address.address}:{address.port_value}",
            "status": entry.response.response_code.value,
            "details": entry.response.response_code_details,
            "request": pairs(part.request_headers.map),
            "response": pairs(part.response_headers.map),
            "bodies": [(len(run.data), sha256(run.data).hexdigest()) for run in part.runs],
        }
        yield part, entry, record


def _store(connection: sqlite3.Connection, told: list[tuple[Part, Any, dict[str, Any]]]) -> None:
    compress = zstandard.ZstdCompressor(level=1).compress
    exchanges, payloads = [], []
    for part, entry, record in told:
        identity, request = record["id"], entry.request
        exchanges.append((identity, request.request_id, request.path, record["status"], orjson.dumps(record)))
        for number, run in enumerate(part.runs):
            name = uuid7(part.start_us // 1000, f"{identity}{number}".encode())
            payloads.append((name, identity, "application/json", compress(run.data)))
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO exchanges VALUES (?, ?, ?, ?, ?)", exchanges)
        connection.executemany("INSERT OR IGNORE INTO payloads VALUES (?, ?, ?, ?)", payloads)
