"""One run: hostile senders and a good neighbour at once, a collector that is killed in between, and what has to hold."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvloop

from collector.demo.child import ChildError
from tests.fuzz import neighbour as good
from tests.fuzz.batches import Batches
from tests.fuzz.figures import Figures
from tests.fuzz.logs import Logs
from tests.fuzz.neighbour import Neighbour
from tests.fuzz.posts import Connection, Post, encoded
from tests.fuzz.recent import Recent, Sent
from tests.fuzz.stored import api_faults, ledger_of_neighbour
from tests.fuzz.streams import BROKEN, Calls
from tests.fuzz.target import TRACEBACK, Target

PACE_SECONDS = 0.6  # hostile senders wait while the neighbour waits for longer: a flood is another test's, this one is of what is sent
STUCK_SECONDS = 90.0  # a failure's, not the figure's
SETTLE_SECONDS = 120.0
DYING_SECONDS = 3.0
CLOSING_SECONDS = 0.1  # connections of a loop that ends
PER_STREAM = 48
GRPC_EXPECTED = {0, 1, 3, 7, 8, 14}  # OK, CANCELLED, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE


class FuzzError(AssertionError):
    """What did not hold, with the seed and where the last messages lie."""


@dataclass(frozen=True)
class Plan:
    """What to do. The restarts are spread evenly over the messages."""

    seed: int
    messages: int
    restarts: tuple[str, ...] = ("kill", "stop", "kill")
    posters: int = 3
    loggers: int = 3
    neighbour_every: int = 100
    logs_per_post: float = 4.0  # at most: a log message costs the collector a fifth of a post
    seconds: float = 3600.0  # then it ends all the same


class Run:
    """`run` returns the figures, or raises FuzzError."""

    def __init__(self, target: Target, plan: Plan, keep: Path) -> None:
        self._target, self._plan, self._keep = target, plan, keep
        self.figures = Figures(plan.seed)
        self._neighbour = Neighbour(target.ingest_port, target.grpc_port, f"good{plan.seed}")
        self._recent = Recent()
        self._faults: list[str] = []
        self._logs_before = 0  # read by the processes that are gone
        self._told = 0
        self._up = asyncio.Event()
        self._over = asyncio.Event()

    async def run(self) -> Figures:
        """Sends, restarts, looks, settles, restarts once more, looks again."""
        self._up.set()
        began = time.monotonic()
        neighbour = asyncio.create_task(self._neighbour.run())
        try:
            await self._work([*self._hostile(), self._watch, self._count, self._torment], began)
            self.figures.seconds = time.monotonic() - began
            self._neighbour.finish()
            await asyncio.wait_for(neighbour, SETTLE_SECONDS)
            await self._settle()
            await self._restart("stop")
            await self._settle()
        except (ChildError, AssertionError, OSError, sqlite3.Error) as error:
            self._faults.append("".join(traceback.format_exception(error)[-3:]))
        finally:
            neighbour.cancel()
            self._neighbour.close()
            await asyncio.sleep(CLOSING_SECONDS)
        self.figures.count(self._neighbour.cases.values())
        if self._faults:
            await asyncio.sleep(DYING_SECONDS)  # what ended it is written last
        self._faults += await asyncio.to_thread(self._target.complaints)
        if self._faults:
            raise await asyncio.to_thread(self._failure)
        return self.figures

    async def _work(self, parts: list[Callable[[], Awaitable[None]]], began: float) -> None:
        """Until enough is sent, or something does not hold."""
        tasks = [asyncio.ensure_future(part()) for part in parts]
        try:
            while not self._over.is_set() and time.monotonic() - began < self._plan.seconds:
                done, _ = await asyncio.wait(tasks, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
                if self._faults:
                    raise AssertionError("stopped")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- what is sent

    def _hostile(self) -> list[Callable[[], Awaitable[None]]]:
        posters = [self._poster(number) for number in range(self._plan.posters)]
        return posters + [self._logger(100 + number) for number in range(self._plan.loggers)]

    def _poster(self, line: int) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            chance = Random(f"{self._plan.seed}-{line}")
            batches, connection = Batches(chance, good.VM), Connection(self._target.ingest_port, self._answered)
            try:
                while True:
                    await self._gate()
                    post = encoded(batches.next(), chance)
                    self._recent.add(Sent("post", line, post.body, post.encoding))
                    self.figures.bytes += len(post.body)
                    await connection.send(post)
                    await asyncio.sleep(0)
            finally:
                connection.close()

        return send

    def _answered(self, post: Post, status: int) -> None:
        self.figures.posts[status] += 1
        if status >= 500 and status != 503:
            self._faults.append(f"a post was answered {status}")

    def _logger(self, line: int) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            logs, calls = Logs(Random(f"{self._plan.seed}-{line}")), Calls(self._target.grpc_port)
            try:
                while True:
                    await self._stream(logs, calls, line)
            finally:
                calls.close()

        return send

    async def _stream(self, logs: Logs, calls: Calls, line: int) -> None:
        await self._gate()
        while self.figures.logs > self._plan.logs_per_post * (100 + self.figures.answered):
            await asyncio.sleep(0.01)
        stream = await calls.begin()
        for number in range(PER_STREAM):
            if number % 8 == 0:
                await self._gate()
            payload = logs.next() if number else logs.opening()
            self._recent.add(Sent("log" if number else "opening", line, payload))
            self.figures.bytes += len(payload)
            if not await calls.send(stream, payload):
                break
            await asyncio.sleep(0)
        status = await calls.end(stream)
        self.figures.streams[status] += 1
        if status != BROKEN and status not in GRPC_EXPECTED:
            self._faults.append(f"a stream ended with {status}: {stream.detail}")

    async def _gate(self) -> None:
        """Waits while the collector is away, or the neighbour waits."""
        await self._up.wait()
        while self._neighbour.untold > 5 or self._neighbour.oldest_unseen() > PACE_SECONDS:
            await asyncio.sleep(0.01)

    # -- what is looked at meanwhile

    async def _watch(self) -> None:
        while True:
            await self._look()
            stuck = self._neighbour.oldest_unseen()
            assert stuck < STUCK_SECONDS, f"an acknowledged exchange of the neighbour has not been visible for {stuck:.0f} s"
            if self._up.is_set():
                self._target.check()
            await asyncio.sleep(0.03)

    async def _look(self) -> None:
        waiting = self._neighbour.waiting
        if waiting:
            seen = await asyncio.to_thread(self._target.store.seen, list(waiting))
            now = time.monotonic()
            for name in seen:
                waiting.pop(name).seen = now

    async def _count(self) -> None:
        """Counts what the collector says it read, lets the neighbour tell in proportion, and asks whether it is ready."""
        while True:
            await self._up.wait()
            await self._count_logs()
            while self._told < 1 + self.figures.messages // self._plan.neighbour_every:
                self._told += 1
                self._neighbour.tell()
            if self.figures.messages >= self._plan.messages:
                self._over.set()
            began = time.monotonic()
            status = await asyncio.to_thread(self._target.ready)
            if self._up.is_set():
                self.figures.readyz[status] += 1
                self.figures.slowest_readyz = max(self.figures.slowest_readyz, time.monotonic() - began)
                assert status, "/readyz does not answer"
            await asyncio.sleep(0.1)

    async def _count_logs(self) -> None:
        taken = await asyncio.to_thread(self._target.taken)
        self.figures.logs = max(self.figures.logs, self._logs_before + taken)
        self.figures.peak_bytes = max(self.figures.peak_bytes, self._target.memory())

    async def _torment(self) -> None:
        restarts = self._plan.restarts
        for number, how in enumerate(restarts, 1):
            while self.figures.messages < self._plan.messages * number // (len(restarts) + 1):
                await asyncio.sleep(0.05)
            await self._restart(how)

    async def _restart(self, how: str) -> None:
        began = time.monotonic()
        await self._count_logs()
        self._up.clear()
        self._neighbour.disturb()
        await asyncio.to_thread(self._target.kill if how == "kill" else self._target.stop)
        self._logs_before = self.figures.logs
        self._neighbour.disturb_since(began)
        self.figures.restarts[how] += 1
        if not self.figures.seconds:  # the last restart is no part of the fuzzing
            self.figures.away += time.monotonic() - began
        self._up.set()

    # -- what has to hold at the end

    async def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._neighbour.waiting and time.monotonic() < deadline:
            await self._look()
            self._target.check()
            await asyncio.sleep(0.1)
        cases = self._neighbour.cases
        while self._faults_now() and time.monotonic() < deadline:  # a window of the ledger, a linger
            await asyncio.sleep(0.5)
        self._faults += self._faults_now()
        if self._target.audit_url is not None:
            self._faults += await asyncio.to_thread(api_faults, self._target.audit_url, cases)

    def _faults_now(self) -> list[str]:
        cases = self._neighbour.cases
        found = self._target.store.faults(cases)
        if self._target.audit_url is not None:
            ledger = ledger_of_neighbour(self._target.audit_url)
            wanted = {"announced": len(cases), "received": len(cases), "missing": 0, "dropped": 0}
            if ledger != wanted:
                found.append(f"the neighbour's ledger says {ledger}, expected {wanted}")
        return found

    def _failure(self) -> FuzzError:
        path = self._recent.save(self._keep / f"fuzz-{self._plan.seed}.jsonl")
        told = "\n".join(self._faults[:20])
        more = f"\n… and {len(self._faults) - 20} more" if len(self._faults) > 20 else ""
        again = f"python -m tests.fuzz --seed {self._plan.seed} --messages {self._plan.messages}"
        tail = "" if any(TRACEBACK in fault for fault in self._faults) else f"\n{self._target.tail()}"
        return FuzzError(
            f"{told}{more}{tail}\n\nseed {self._plan.seed}: {again}\nthe last messages, for --replay: {path}\n{self.figures.summary()}"
        )


def run(target: Target, plan: Plan, keep: Path) -> Figures:
    """Starts the target and runs the plan in a loop of its own. The target is left running."""
    target.start()
    return uvloop.run(Run(target, plan, keep).run())
