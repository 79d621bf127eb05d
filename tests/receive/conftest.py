"""Both receivers as they run in production: uvicorn and gRPC in one loop, before a real journal, on free ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from prometheus_client import CollectorRegistry

from collector import settings
from collector.http.connections import Bounds
from collector.http.servers import HttpServer
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.entry import Entry, Kind
from collector.messages.tap_pb2 import Batch
from collector.metrics import AccessLogMetrics, ListenerMetrics, TapMetrics
from collector.receive.access_log import METHOD, SERVICE, AccessLogServer
from collector.receive.admission import Admission
from collector.receive.shares import Progress, Shares
from collector.receive.tap import create_ingest_app
from tests.support.clocks import TurnedClock

TYPE = {"content-type": "application/x-protobuf"}


def batch(sequence: int = 1, size: int = 0) -> bytes:
    """A good tap batch, with a body of `size` bytes."""
    made = Batch(vm="00000000000000ab", sequence=sequence)
    made.node.id = "sidecar~tap"
    made.parts.add(stream=1).runs.add(data=bytes(size), lengths=[size], times_us=[1])
    return made.SerializeToString()


def log_message(first: bool = True, entries: int = 1, size: int = 0) -> bytes:
    """A good access log message, of about `size` bytes per entry."""
    made = StreamAccessLogsMessage()
    if first:
        made.identifier.node.id = "sidecar~log"
        made.identifier.log_name = "test"
    for _ in range(entries):
        entry = made.http_logs.log_entry.add()
        entry.common_properties.start_time.seconds, entry.common_properties.start_time.nanos = 1_790_000_000, 123_456_000
        entry.request.path = "/" + "x" * size
    return made.SerializeToString()


@dataclass
class Ingest:
    """The running receivers and clients of them."""

    journal: SqliteJournal
    registry: CollectorRegistry
    http: httpx.AsyncClient
    port: int
    channel: grpc.aio.Channel
    access_log: AccessLogServer

    async def post(self, content: Any, **headers: str) -> httpx.Response:
        return await self.http.post("/v1/tap", content=content, headers=TYPE | {k.replace("_", "-"): v for k, v in headers.items()})

    async def send_logs(self, messages: Iterable[bytes]) -> grpc.StatusCode:
        """Sends one stream and ends it. Returns the status that the server gave it."""
        return (await self.send_logs_for_details(messages))[0]

    async def send_logs_for_details(
        self, messages: Iterable[bytes], compression: grpc.Compression = grpc.Compression.NoCompression
    ) -> tuple[grpc.StatusCode, str]:
        """Status and words."""
        return await asyncio.to_thread(_send, self.access_log.port, list(messages), compression)

    async def raw(self, request: bytes) -> bytes:
        """Sends bytes over a connection of its own, says that no more come, and returns all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def entries(self, number: int) -> list[Entry]:
        """Waits for so many journal entries and returns all there are."""
        found: list[Entry] = []
        while len(found) < number:
            found += await self.journal.read(found[-1].position if found else 0, 1 << 30)
        return found

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"meshscribe_{name}", labels) or 0.0

    async def wait_for_count(self, number: float, name: str, **labels: str) -> None:
        """Waits until the counter stands there: an entry can be read a moment before it is counted."""
        while self.count(name, **labels) < number:
            await asyncio.sleep(0.001)
        assert self.count(name, **labels) == number

    async def check_good_input_passes(self, before: Sequence[Entry] = ()) -> None:
        """Both receivers take good input, and the entries from before are all there is besides."""
        assert (await self.post(batch(99))).status_code == 200
        assert await self.send_logs([log_message()]) == grpc.StatusCode.OK
        entries = await self.entries(len(before) + 2)
        assert [entry[:5] for entry in entries[:-2]] == [entry[:5] for entry in before]
        assert [(entry.kind, entry.payload) for entry in entries[-2:]] == [(Kind.TAP, batch(99)), (Kind.ACCESS_LOG, log_message())]


def _send(port: int, messages: list[bytes], compression: grpc.Compression) -> tuple[grpc.StatusCode, str]:
    # Not grpc.aio: its client says INTERNAL when the server ends a stream while the client still writes.
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.stream_unary(f"/{SERVICE}/{METHOD}")(iter(messages), compression=compression)
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


Start = Callable[..., Awaitable[Ingest]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start_one(quota_bytes: int = 1 << 30, shared: bool = False, **values: Any) -> Ingest:
            chosen = settings.Ingest(port=0, grpc_port=0, **values)
            return await stack.enter_async_context(running(tmp_path / "journal.db", chosen, quota_bytes, shared))

        yield start_one


@pytest.fixture
async def ingest(start: Start) -> Ingest:
    return await start(max_batch_bytes=1 << 20)


@asynccontextmanager
async def running(path: Path, chosen: settings.Ingest, quota_bytes: int, shared: bool) -> AsyncIterator[Ingest]:
    registry = CollectorRegistry()
    journal = await open_journal(settings.Journal(path=path, quota_bytes=quota_bytes), TurnedClock(), chosen.max_waiting_bytes)
    gate = Admission.of(journal)
    if shared:
        shares = Shares(quota_bytes, chosen.max_waiting_bytes)
        gate = Admission(journal, shares, lambda: journal.kept_bytes, lambda: Progress(done=journal.floor_position))
    app = create_ingest_app(gate, TapMetrics(registry), chosen)
    server = HttpServer("ingest.port", app, "127.0.0.1", 0, Bounds(chosen.max_connections), ListenerMetrics(registry, "ingest").refused)
    port = int((await server.start()).rpartition(":")[2])
    access_log = AccessLogServer(gate, AccessLogMetrics(registry), chosen)
    grpc_port = await access_log.start()
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel,
    ):
        yield Ingest(journal, registry, http, port, channel, access_log)
    await server.stop()
    await access_log.stop(0)
    await journal.close()
