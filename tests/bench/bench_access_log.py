"""What an access log entry costs from the socket to the disk. Run alone: `python tests/bench/bench_access_log.py [folder]`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from prometheus_client import CollectorRegistry

from collector import settings
from collector.clock import SystemClock
from collector.journal.sqlite import open_journal
from collector.metrics import AccessLogMetrics
from collector.receive.access_log import METHOD, SERVICE, AccessLogServer

STREAMS = 4
MESSAGES = 500  # per stream
MESSAGE_BYTES = 16 << 10  # where Envoy flushes

CLIENT = """
import sys, threading, grpc
port, method, streams, messages = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
first = sys.stdin.buffer.read()
def stream():
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        channel.stream_unary(method)(iter([first] * messages))
threads = [threading.Thread(target=stream) for _ in range(streams)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def run(folder: str | None = None) -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return uvloop.run(_run(Path(place)))


def make_message() -> StreamAccessLogsMessage:
    """As large as Envoy makes them, with what Envoy fills in without being asked."""
    message = StreamAccessLogsMessage()
    message.identifier.node.id = "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"
    while message.ByteSize() < MESSAGE_BYTES:
        entry = message.http_logs.log_entry.add(protocol_version=2)  # type: ignore[arg-type]
        common, request, response = entry.common_properties, entry.request, entry.response
        common.start_time.seconds, common.start_time.nanos, common.duration.nanos = 1_780_000_000, 123_456_000, 5_000_000
        common.time_to_last_rx_byte.nanos = common.time_to_first_upstream_rx_byte.nanos = 1_000_000
        common.downstream_remote_address.socket_address.address = "10.0.0.9"
        common.downstream_remote_address.socket_address.port_value = 40_000
        common.upstream_cluster, common.route_name = "inbound|8080||", "default"
        request.request_method, request.scheme, request.authority = 1, "http", "iris.demo.svc.cluster.local"  # type: ignore[assignment]
        request.path, request.request_id = "/v1/models/iris:predict", "7d2f9c3e-0000-4000-8000-000000000001"
        request.request_body_bytes = response.response_body_bytes = 1024
        response.response_code.value = 200
    return message


async def _run(folder: Path) -> dict[str, float]:
    journal = await open_journal(settings.Journal(path=folder / "journal.db"), SystemClock(), 256 << 20)
    server = AccessLogServer(journal, AccessLogMetrics(CollectorRegistry()), settings.Ingest(grpc_port=0))
    port, message = await server.start(), make_message()
    command = (sys.executable, "-c", CLIENT, str(port), f"/{SERVICE}/{METHOD}", str(STREAMS), str(MESSAGES))
    client = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    cpu = time.process_time()
    await client.communicate(message.SerializeToString())
    await server.stop(0)
    cpu = time.process_time() - cpu
    if journal.last_position != STREAMS * MESSAGES:
        raise RuntimeError(f"{journal.last_position} messages arrived of {STREAMS * MESSAGES}")
    await journal.close()
    entries = len(message.http_logs.log_entry)
    return {
        "access_log_entries_per_message": entries,
        "access_log_message_cpu_us": cpu / journal.last_position * 1e6,
        "access_log_entry_cpu_us": cpu / journal.last_position / entries * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps({name: round(value, 2) for name, value in run(*sys.argv[1:2]).items()}, indent=2))
