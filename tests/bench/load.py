"""A load generator: keep-alive connections over bare asyncio, cheap enough to leave the machine to what is measured.

Open loop: requests are due at a fixed rate, whether or not earlier ones were answered, and a latency counts from when
its request was due; so a stall is seen in full. With rate 0 every connection sends as fast as it is answered.
`python -m tests.bench.load --help` runs it as a process of its own and prints a JSON summary.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import uvloop


@dataclass
class Load:
    """What to send."""

    port: int
    requests: int = 0  # 0: as many as fit into `seconds`
    rate: float = 0.0  # per second; 0: closed loop
    connections: int = 32
    seconds: float = 0.0
    path: str = "/echo"
    body_bytes: int = 1024
    prefix: str = "load"  # request ids are PREFIX-0, PREFIX-1, …
    tls: ssl.SSLContext | None = None


@dataclass
class Result:
    """What came back. Latencies in seconds, from when a request was due, in the order of completion."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)  # from sending to the answer, seconds
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def percentile(self, share: float, of: list[float] | None = None) -> float:
        """Of the latencies, or of other seconds."""
        ordered = sorted(self.latencies if of is None else of)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0

    def summary(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "statuses": dict(self.statuses),
            "faults": dict(self.faults),
            "seconds": self.seconds,
            "per_second": self.answered / self.seconds if self.seconds else 0.0,
            "p50_ms": 1000 * self.percentile(0.5),
            "p99_ms": 1000 * self.percentile(0.99),
            "max_ms": 1000 * self.percentile(1.0),
        }


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way. Understands answers with a content-length."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._due: float | None = None
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but does not derive from it

    def ask(self, request: bytes, due: float) -> None:
        self._due, self._asked = due, time.monotonic()
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            return
        at = data.find(b"content-length: ", 0, head)
        if at < 0:
            self._generator.fault("an answer without content-length")
            self.close()
            return
        if len(data) < head + 4 + int(data[at + 16 : data.find(b"\r\n", at)]):
            return
        self._data = b""
        due, self._due = self._due, None
        assert due is not None
        self._generator.answered(self, int(data[9:12]), due, self._asked)

    def connection_lost(self, exc: Exception | None) -> None:
        self._generator.lost(self, self._due is not None, exc)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Generator:
    """Runs one load. `run` returns when every request was answered or failed."""

    TICK = 0.001  # seconds; as fine as the loop's timers: what is due within one goes out at once

    def __init__(self, load: Load) -> None:
        self.load, self.result = load, Result()
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()
        self._numbers = count()
        body = b"x" * load.body_bytes
        head = f"POST {load.path} HTTP/1.1\r\nhost: iris.demo\r\ncontent-type: application/octet-stream\r\n"
        self._before = f"{head}content-length: {len(body)}\r\nx-request-id: {load.prefix}-".encode()
        self._after = b"\r\n\r\n" + body
        self._under_way = 0
        self._closing = False
        self._stop_at = float("inf")

    async def run(self) -> Result:
        await asyncio.gather(*(self._connect() for _ in range(self.load.connections)))
        began = time.monotonic()
        self._stop_at = began + self.load.seconds if self.load.seconds else float("inf")
        if self.load.rate:
            await self._paced(began)
        else:
            self._waiting.extend([began] * self.load.connections)
            self._spend()
        while self._under_way or self._waiting:
            await asyncio.sleep(0.005)
        self.result.seconds = time.monotonic() - began
        self._closing = True
        for connection in self._idle:
            connection.close()
        await asyncio.sleep(0)
        return self.result

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.load.port, ssl=self.load.tls)
        self._idle.append(connection)

    async def _paced(self, began: float) -> None:
        limit = self.load.requests or int(self.load.seconds * self.load.rate)
        planned = 0
        while planned < limit:
            until = min(int((time.monotonic() - began) * self.load.rate) + 1, limit)
            self._waiting.extend(began + number / self.load.rate for number in range(planned, until))
            planned = until
            self._spend()
            await asyncio.sleep(self.TICK)

    def _spend(self) -> None:
        while self._waiting and self._idle:
            connection, due = self._idle.popleft(), self._waiting.popleft()
            self.result.sent += 1
            self._under_way += 1
            connection.ask(b"%b%d%b" % (self._before, next(self._numbers), self._after), due)

    def answered(self, connection: _Connection, status: int, due: float, asked: float) -> None:
        now = time.monotonic()
        result = self.result
        result.answered += 1
        result.statuses[status] += 1
        result.latencies.append(now - due)
        result.served.append(now - asked)
        self._under_way -= 1
        self._idle.append(connection)
        if not self.load.rate and now < self._stop_at and (not self.load.requests or result.sent < self.load.requests):
            self._waiting.append(now)
        if self._waiting:
            self._spend()

    def fault(self, what: str) -> None:
        self.result.faults[what] += 1

    def lost(self, connection: _Connection, under_way: bool, error: Exception | None) -> None:
        """The proxy closed a connection: its request failed; another connection takes its place."""
        if under_way:
            self._under_way -= 1
            self.result.failed += 1
            self.fault(f"connection lost: {error!r}")
        elif connection in self._idle:
            self._idle.remove(connection)
        if not self._closing:
            asyncio.get_running_loop().create_task(self._connect())


def run(load: Load) -> Result:
    """Run one load to its end in a loop of its own."""
    return uvloop.run(Generator(load).run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    for name, kind in (("requests", int), ("rate", float), ("connections", int), ("seconds", float), ("body-bytes", int)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Load, name.replace("-", "_")))
    for name in ("path", "prefix"):
        parser.add_argument(f"--{name}", default=getattr(Load, name))
    print(json.dumps(run(Load(**vars(parser.parse_args()))).summary()))


if __name__ == "__main__":
    main()
