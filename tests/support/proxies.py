"""Proxies that tell of exchanges at a rate, as the filter and Envoy do: batches posted until they are acknowledged, logs over gRPC."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import grpc.aio

from collector.tasks import escaped
from tests.support.witnesses import Told, Vm, log_message, parts

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
PER_BATCH = 10
IN_FLIGHT = 4
POST_SECONDS = 2.0


class Proxies(threading.Thread):
    """`count` proxies, `rate` exchanges per second together. `acknowledged` are the request ids of batches that were answered with 200.

    `in_flight`: posts of one proxy at a time; with 1 its batches are taken in their order. `logs`: whether the access log tells too.
    """

    def __init__(
        self, port: int, grpc_port: int, count: int, rate: float, prefix: str = "r", *, in_flight: int = IN_FLIGHT, logs: bool = True
    ) -> None:
        super().__init__(daemon=True)
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.refused = 0  # answers other than 200
        self.answers = Counter[int]()  # by status
        self.unanswered = 0
        self._port, self._grpc = port, f"127.0.0.1:{grpc_port}"
        self._count, self._rate, self._prefix = count, rate, prefix
        self._in_flight, self._logs = in_flight, logs
        self._ending = threading.Event()

    def run(self) -> None:
        asyncio.run(self._run())

    def end(self, seconds: float = 60.0) -> None:
        """No new exchanges; returns when all that were sent are acknowledged. Raises AssertionError if they are not in time."""
        self._ending.set()
        self.join(seconds)
        missing = self.sent - len(self.acknowledged)
        assert not self.is_alive(), f"{missing} exchanges are not acknowledged; {self.refused} refusals, {self.unanswered} without answer"

    async def _run(self) -> None:
        await asyncio.gather(*(self._proxy(number) for number in range(self._count)))

    async def _proxy(self, number: int) -> None:
        node = f"sidecar~10.0.0.{number}~{self._prefix}-{number}.demo~demo.svc.cluster.local"
        vm = Vm(name=f"{number:016x}", node=node)
        logs: asyncio.Queue[Sequence[Told] | None] = asyncio.Queue()
        batches: asyncio.Queue[tuple[bytes, Sequence[Told]] | None] = asyncio.Queue()
        working = [asyncio.create_task(self._post(batches)) for _ in range(self._in_flight)]
        if self._logs:
            working.append(asyncio.create_task(self._log(node, logs)))
        every = PER_BATCH * self._count / self._rate
        due = time.monotonic() + every * number / self._count
        while not self._ending.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += every
            told = self._told(number, vm)
            batches.put_nowait((vm.seal([part for one in told for part in parts(one)]).SerializeToString(), told))
            logs.put_nowait(told)
        logs.put_nowait(None)
        for _ in range(self._in_flight):
            batches.put_nowait(None)
        await asyncio.gather(*working)

    def _told(self, number: int, vm: Vm) -> list[Told]:
        first = vm.sequence * PER_BATCH
        start = time.time_ns() // 1000
        self.sent += PER_BATCH
        return [
            Told(
                n,
                request_id=f"{self._prefix}-{number}-{n}",
                start_us=start + n % PER_BATCH,
                downstream=f"10.1.{number}.9:{1024 + n % 50_000}",
            )
            for n in range(first, first + PER_BATCH)
        ]

    async def _post(self, batches: asyncio.Queue[tuple[bytes, Sequence[Told]] | None]) -> None:
        """One batch after the other, each until it is acknowledged: the same batch under the same number, as the filter does."""
        connection = _Connection(self._port)
        while (item := await batches.get()) is not None:
            batch, told = item
            wait = 0.05
            while (status := await connection.post(batch)) != 200:
                self.answers[status] += 1
                self.refused += status != 0
                self.unanswered += status == 0
                await asyncio.sleep(wait)
                wait = min(1.0, wait * 2)
            self.acknowledged.update(one.request_id for one in told)
        connection.close()

    async def _log(self, node: str, logs: asyncio.Queue[Sequence[Told] | None]) -> None:
        """A stream after the other: what was under way when one broke is lost, as with Envoy."""
        ended = False

        async def messages() -> AsyncIterator[bytes]:
            nonlocal ended
            first = True
            while (told := await logs.get()) is not None:
                yield log_message(told, node if first else None).SerializeToString()
                first = False
            ended = True
            logs.put_nowait(None)  # a stream that broke may still wait for it

        while not ended:
            async with grpc.aio.insecure_channel(self._grpc) as channel:
                try:
                    await channel.stream_unary(METHOD)(messages())
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)
                except asyncio.CancelledError as error:
                    escaped(error, "gRPC")  # it says so of streams too that the other side broke
                    await asyncio.sleep(0.1)


class _Connection:
    """A keep-alive connection that is made anew when it breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, batch: bytes) -> int:
        """The answer's status; 0 if there is none."""
        head = f"POST /v1/tap HTTP/1.1\r\nhost: c\r\ncontent-type: application/x-protobuf\r\ncontent-length: {len(batch)}\r\n\r\n"
        try:
            async with asyncio.timeout(POST_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                writer.write(head.encode() + batch)
                answer = await reader.readuntil(b"\r\n\r\n")
                if length := re.search(rb"content-length: (\d+)", answer):
                    await reader.readexactly(int(length[1]))
                return int(answer[9:12])
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self.close()
            return 0

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
