"""Proxies that tell of exchanges at a rate, as the filter and Envoy do: batches posted until they are acknowledged, logs over gRPC."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import grpc.aio
import httpx

from tests.support.witnesses import Told, Vm, log_message, parts

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
PER_BATCH = 10


class Proxies(threading.Thread):
    """`count` proxies, `rate` exchanges per second together. `acknowledged` are the request ids of batches that were answered with 200."""

    def __init__(self, port: int, grpc_port: int, count: int, rate: float, prefix: str = "r") -> None:
        super().__init__(daemon=True)
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.refused = 0  # answers other than 200
        self._url, self._grpc = f"http://127.0.0.1:{port}/v1/tap", f"127.0.0.1:{grpc_port}"
        self._count, self._rate, self._prefix = count, rate, prefix
        self._ending = threading.Event()

    def run(self) -> None:
        asyncio.run(self._run())

    def end(self, seconds: float = 60.0) -> None:
        """No new exchanges; returns when all that were sent are acknowledged. Raises AssertionError if they are not in time."""
        self._ending.set()
        self.join(seconds)
        assert not self.is_alive(), f"{self.sent - len(self.acknowledged)} exchanges are not acknowledged"

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            await asyncio.gather(*(self._proxy(client, number) for number in range(self._count)))

    async def _proxy(self, client: httpx.AsyncClient, number: int) -> None:
        node = f"sidecar~10.0.0.{number}~{self._prefix}-{number}.demo~demo.svc.cluster.local"
        vm = Vm(name=f"{number:016x}", node=node)
        logs: asyncio.Queue[Sequence[Told] | None] = asyncio.Queue()
        logging = asyncio.create_task(self._log(node, logs))
        posts: set[asyncio.Task[None]] = set()
        every = PER_BATCH * self._count / self._rate
        due = time.monotonic() + every * number / self._count
        while not self._ending.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += every
            told = self._told(number, vm)
            batch = vm.seal([part for one in told for part in parts(one)]).SerializeToString()
            post = asyncio.create_task(self._post(client, batch, told))
            posts.add(post)
            post.add_done_callback(posts.discard)
            logs.put_nowait(told)
        while posts:
            await asyncio.wait(posts)
        logs.put_nowait(None)
        await logging

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

    async def _post(self, client: httpx.AsyncClient, batch: bytes, told: Sequence[Told]) -> None:
        """Until it is acknowledged: the same batch under the same number, as the filter does."""
        wait = 0.05
        while True:
            try:
                answer = await client.post(self._url, content=batch, headers={"content-type": "application/x-protobuf"})
            except httpx.TransportError:
                status = 0
            else:
                status = answer.status_code
            if status == 200:
                self.acknowledged.update(one.request_id for one in told)
                return
            self.refused += status != 0
            await asyncio.sleep(wait)
            wait = min(1.0, wait * 2)

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

        while not ended:
            async with grpc.aio.insecure_channel(self._grpc) as channel:
                try:
                    await channel.stream_unary(METHOD)(messages())
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)
