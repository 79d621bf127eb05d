"""Input for benches: tap batches and access log messages of N exchanges, as bytes, made beforehand."""

from __future__ import annotations

import json
import time
from random import Random
from typing import NamedTuple

from collector.messages.headers import pack
from tests.support.witnesses import NODE, Told, Vm, log_message, parts

BATCH_BYTES = 256 << 10  # the tap filter's own default for batch_bytes
HTTP11 = 2  # envoy.data.accesslog.v3.HTTPAccessLogEntry.HTTPVersion
_REQUEST = [
    (":authority", "iris.demo.svc.cluster.local"),
    (":scheme", "http"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate"),
    ("user-agent", "python-httpx/0.28"),
    ("content-type", "application/json"),
    ("x-forwarded-proto", "http"),
]
_RESPONSE = [
    ("content-type", "application/json"),
    ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
    ("server", "istio-envoy"),
    ("x-envoy-upstream-service-time", "3"),
]


class Input(NamedTuple):
    """What the witnesses send. `first_log` carries the node, as a stream's first message does."""

    exchanges: int
    batches: list[bytes]
    logs: list[bytes]


def body(size: int, chance: Random) -> bytes:
    """A KServe V1 body of `size` bytes."""
    text = json.dumps({"instances": [[chance.random() for _ in range(size // 20 + 2)]]}).encode()
    return text[: size - 3].rsplit(b",", 1)[0].ljust(size - 3) + b"]]}"


def make(exchanges: int, size: int, batch_bytes: int = BATCH_BYTES) -> Input:
    """Exchanges with bodies of `size` bytes each way, batched as the filter does, and their access log in messages of 16 KiB."""
    chance, vm, began = Random(1), Vm(), time.time_ns() // 1000  # far from its arrival, a start would be suspect
    bodies = [body(size, chance) for _ in range(64)]
    per_batch, per_log = max(1, batch_bytes // (2 * size + 700)), 60
    told = [
        Told(
            n,
            request_id=f"7d2f9c3e-0000-4000-8000-{n:012x}",
            start_us=began + n * 150,
            downstream=f"10.0.0.9:{1024 + n % 60_000}",
            request=bodies[n % 64],
            response=(bodies[(n + 7) % 64],),
        )
        for n in range(exchanges)
    ]
    batches = []
    for start in range(0, exchanges, per_batch):
        sealed = []
        for one in told[start : start + per_batch]:
            [part] = parts(one)
            named = [(":method", "POST"), (":path", one.path), ("x-request-id", one.request_id), ("content-length", str(size))]
            part.request_headers.map = pack(named + _REQUEST)
            part.response_headers.map = pack([(":status", "200"), ("content-length", str(size)), *_RESPONSE])
            sealed.append(part)
        batches.append(vm.seal(sealed).SerializeToString())
    starts = range(0, exchanges, per_log)
    logs = [log_message(told[s : s + per_log], NODE if s == 0 else None, HTTP11).SerializeToString() for s in starts]
    return Input(exchanges, batches, logs)
