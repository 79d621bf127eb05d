"""One sender that posts as fast as it can, and a neighbour that sends a little and looks how soon it is stored.

`python -m tests.faults.flood PORT CONNECTIONS PARTS` floods until it gets SIGTERM, then prints how its posts were answered, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter, deque
from pathlib import Path

import httpx

from collector.messages import tap_pb2
from tests.support import warm_start

FLOODER = "sidecar~10.0.0.66~flooder-0.demo~demo.svc.cluster.local"
NEIGHBOUR = "sidecar~10.0.0.7~neighbour-0.demo~demo.svc.cluster.local"
MARK = b"########"


def batch(node: str, vm: str, sequence: int, ids: list[bytes]) -> bytes:
    """A batch of so many small exchanges."""
    made = tap_pb2.Batch(vm=vm, sequence=sequence, totals=tap_pb2.Totals(streams=len(ids), ends=len(ids), ends_sealed=len(ids)))
    made.node.id, made.node.namespace = node, "demo"
    now = time.time_ns() // 1000
    for number, request_id in enumerate(ids):
        end = tap_pb2.End(at_us=1000, request_complete=True, response_complete=True, response_code=200)
        made.parts.add(stream=number, request_id=request_id, start_us=now + number, level=tap_pb2.REQUEST_RESPONSE, end=end)
    return made.SerializeToString()


class Neighbour(threading.Thread):
    """Posts one exchange after the other at a steady rate; `seconds` from each post to its exchange in the store."""

    def __init__(self, port: int, store: Path, requests: int, rate: float) -> None:
        super().__init__(daemon=True)
        self.prefix = f"good-{time.monotonic_ns()}"
        self.seconds: list[float] = []
        self.refused = 0
        self.waiting: deque[tuple[bytes, float]] = deque()
        self._url, self._store, self._requests, self._rate = f"http://127.0.0.1:{port}/v1/tap", store, requests, rate
        self._looker = threading.Thread(target=self._look, daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        self._looker.start()
        began, vm = time.monotonic(), f"{time.monotonic_ns() & (1 << 64) - 1:016x}"
        with httpx.Client(timeout=30, trust_env=False) as client:
            for number in range(self._requests):
                due = began + number / self._rate
                time.sleep(max(0.0, due - time.monotonic()))  # a steady rate is what it is
                name = f"{self.prefix}-{number}".encode()
                content = batch(NEIGHBOUR, vm, number + 1, [name])
                while client.post(self._url, content=content, headers={"content-type": "application/x-protobuf"}).status_code != 200:
                    self.refused += 1
                    time.sleep(0.05)
                self.waiting.append((name, due))
        self._ended.set()

    def settled(self, seconds: float) -> bool:
        """Waits until all that it sent is stored."""
        self.join(seconds)
        self._looker.join(seconds)
        return not self.is_alive() and not self._looker.is_alive()

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(int(len(self.seconds) * share), len(self.seconds) - 1)]

    def _look(self) -> None:
        connection = sqlite3.connect(f"file:{self._store}?mode=ro", uri=True, timeout=30)
        while self.waiting or not self._ended.is_set():
            if (
                self.waiting
                and connection.execute("SELECT 1 FROM exchanges WHERE request_id = ?", (self.waiting[0][0].decode(),)).fetchone()
            ):
                self.seconds.append(time.monotonic() - self.waiting.popleft()[1])
            else:
                time.sleep(0.01)
        connection.close()


class Flood:
    """The flooder as a process of its own."""

    def __init__(self, port: int, connections: int, parts: int) -> None:
        command = [sys.executable, "-m", "tests.faults.flood", str(port), str(connections), str(parts)]
        self._process = warm_start.Popen(command, stdout=subprocess.PIPE, text=True)

    def stop(self) -> Counter[str]:
        """Posts by status."""
        self._process.terminate()
        told, _ = self._process.communicate(timeout=60)
        return Counter(json.loads(told))


async def flood(port: int, connections: int, parts: int) -> None:
    """Until SIGTERM."""
    answers: Counter[str] = Counter()
    template, numbers = batch(FLOODER, "00000000f100d000", 1, [MARK + b"-%d" % n for n in range(parts)]), iter(range(1, 1 << 30))
    sequence = b"\x12\x1000000000f100d000\x18\x01"
    assert sequence in template

    def content() -> bytes:
        number = next(numbers)
        varint = tap_pb2.Batch(sequence=number).SerializeToString()
        coder = zlib.compressobj(1, wbits=31)
        plain = template.replace(sequence, sequence[:-2] + varint).replace(MARK, b"%08d" % number)
        return coder.compress(plain) + coder.flush()

    async def post() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = content()
        while True:
            head = (
                "POST /v1/tap HTTP/1.1\r\nhost: c\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            await reader.readexactly(length)
            status = answer.split(b" ", 2)[1].decode()
            answers[status] += 1
            if status == "200":
                body = content()

    tasks = [asyncio.create_task(post()) for _ in range(connections)]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            answers[repr(task.exception())] += 1
        task.cancel()
    print(json.dumps(answers))


if __name__ == "__main__":
    asyncio.run(flood(*map(int, sys.argv[1:])))
