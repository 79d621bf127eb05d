"""A collector for single poisons: sent, taken up, behind a checkpoint, over a restart; the neighbour is stored once."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import uvloop

from collector.demo.ports import Ports
from collector.messages import tap_pb2
from tests.fuzz.neighbour import Neighbour
from tests.fuzz.posts import Connection, Post
from tests.fuzz.streams import OK, Calls
from tests.fuzz.target import Collector, metrics

CHECKPOINT_SECONDS = 60.0
SEEN_SECONDS = 90.0
SETTINGS = {"MESHSCRIBE_CORRELATE__LINGER_SECONDS": "0.5"}
LINGERED_SECONDS = 2.0
ENDS = {0, 3, 7, 8}  # of a stream of log messages
REFUSALS = {400, 403, 413, 415, 429, 503}
NODE = "sidecar~10.66.9.9~poison-0.evil~evil.svc.cluster.local"
_NUMBER = r"^meshscribe_journal_{}_position(?:\{{.*\}})? (\S+)$"


def batch(vm: str = "00000000000bad00", sequence: int = 1, parts: Sequence[tap_pb2.Part] = ()) -> tap_pb2.Batch:
    """A batch of the poisoner's."""
    made = tap_pb2.Batch(vm=vm, sequence=sequence, parts=parts)
    made.node.id, made.node.namespace = NODE, "evil"
    made.totals.ends_sealed = made.totals.ends = sum(part.HasField("end") for part in parts)
    return made


class Bed:
    """Serves one test after the other for as long as its collector lives; then another one takes its place, on new files."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self._folder, self._ports = folder, ports
        self._number = 0
        self._prefixes = 0
        self._collector: Collector | None = None
        self.peak = 0  # resident bytes at most while the last test's input was taken up, and behind the restart

    @property
    def collector(self) -> Collector:
        """One that runs."""
        if self._collector is None:
            self._number += 1
            folder = self._folder / str(self._number)
            folder.mkdir()
            self._collector = Collector(folder, self._ports, SETTINGS)
            self._collector.start()
        return self._collector

    @property
    def next_neighbour(self) -> int:
        """The number of the neighbour that the next test has; its VM is named after it."""
        return self._prefixes + 1

    def discard(self) -> None:
        """What a test left behind is nothing to the next."""
        if self._collector is not None:
            self._collector.abandon()
            self._collector = None

    def survives(self, posts: Sequence[Post | bytes] = (), logs: Sequence[bytes] = (), ends: int = OK) -> list[int]:
        """Sends it all between two exchanges of the neighbour; raises AssertionError if anything breaks. The statuses of the posts.

        `logs` go over one stream, the first of which has to name a node; it has to end with this status.
        """
        collector = self.collector
        try:
            statuses = uvloop.run(self._survives(collector, posts, logs, ends))
            complaints = collector.complaints()
            assert not complaints, complaints[0]
        except BaseException:
            self.discard()
            raise
        return statuses

    async def _survives(self, collector: Collector, posts: Sequence[Post | bytes], logs: Sequence[bytes], ends: int) -> list[int]:
        self._prefixes += 1
        neighbour = Neighbour(collector.ingest_port, collector.grpc_port, f"good{self._prefixes}", f"{self._prefixes:016x}")
        telling = asyncio.create_task(neighbour.run())
        try:
            neighbour.tell()
            statuses = await send(collector, posts, logs, {ends})
            await _lingered(collector, neighbour)
            neighbour.finish()
            await _told(collector, telling)
            await _visible(collector, neighbour)
            await checkpointed(collector)
            self.peak = collector.memory()
            await asyncio.to_thread(collector.kill)
            await _settled(collector, neighbour)
            self.peak = max(self.peak, collector.memory())
        finally:
            telling.cancel()
            neighbour.close()
            await asyncio.sleep(0.05)
        return statuses


async def send(
    collector: Collector, posts: Sequence[Post | bytes], logs: Sequence[bytes], ends: Collection[int] = frozenset(ENDS)
) -> list[int]:
    """One after the other; the statuses of the posts. Raises AssertionError for one that no input may cause."""
    statuses = await _post(collector, posts)
    await _log(collector, logs, ends)
    return statuses


async def tell_and_see(collector: Collector, name: str) -> None:
    """An exchange of the neighbour's is sent and visible."""
    neighbour = Neighbour(collector.ingest_port, collector.grpc_port, name, f"{zlib.crc32(name.encode()):016x}")
    neighbour.tell()
    neighbour.finish()
    try:
        await _told(collector, asyncio.ensure_future(neighbour.run()))
        await _visible(collector, neighbour)
    finally:
        neighbour.close()
        await asyncio.sleep(0)


async def _post(collector: Collector, posts: Sequence[Post | bytes]) -> list[int]:
    statuses: list[int] = []
    connection = Connection(collector.ingest_port, lambda _, status: statuses.append(status), ahead=1)
    for post in posts:
        await connection.send(post if isinstance(post, Post) else Post(post))
        await connection.idle()
    connection.close()
    odd = [status for status in statuses if status != 200 and status not in REFUSALS]
    assert not odd, f"answers: {odd}"
    return statuses


async def _log(collector: Collector, logs: Sequence[bytes], ends: Collection[int]) -> None:
    if logs:
        calls = Calls(collector.grpc_port)
        stream = await calls.begin()
        for log in logs:
            await calls.send(stream, log)
        assert await calls.end(stream) in ends, f"{stream.status}: {stream.detail}"
        calls.close()


async def _lingered(collector: Collector, neighbour: Neighbour) -> None:
    """Until what was sent is closed and its ledger window is over, for want of anything else to wait for."""
    ends = time.monotonic() + LINGERED_SECONDS
    while time.monotonic() < ends:
        neighbour.tell()
        collector.check()
        await asyncio.sleep(0.25)


async def _told(collector: Collector, telling: asyncio.Task[None]) -> None:
    deadline = time.monotonic() + SEEN_SECONDS
    while not telling.done():
        collector.check()
        assert time.monotonic() < deadline, "the neighbour's exchanges are not acknowledged"
        await asyncio.wait({telling}, timeout=0.1)
    telling.result()


async def _visible(collector: Collector, neighbour: Neighbour) -> None:
    deadline = time.monotonic() + SEEN_SECONDS
    while neighbour.waiting:
        for name in await asyncio.to_thread(collector.store.seen, list(neighbour.waiting)):
            neighbour.waiting.pop(name).seen = time.monotonic()
        collector.check()
        assert time.monotonic() < deadline, f"not visible after {SEEN_SECONDS:.0f} s: {sorted(neighbour.waiting)}"
        await asyncio.sleep(0.02)


async def checkpointed(collector: Collector) -> None:
    """Until the last checkpoint but one covers all that came so far: the journal is forgotten up to there.

    Something comes in meanwhile: a collector with nothing to do takes no checkpoint.
    """
    wanted = await asyncio.to_thread(_position, collector, "last")
    deadline = time.monotonic() + CHECKPOINT_SECONDS
    nudge = batch(vm=f"{time.time_ns() & (1 << 63) - 1:016x}")
    while await asyncio.to_thread(_position, collector, "floor") < wanted:
        collector.check()
        assert time.monotonic() < deadline, "no checkpoint"
        await _post(collector, [nudge.SerializeToString()])
        nudge.sequence += 1
        await asyncio.sleep(0.25)


def _position(collector: Collector, which: str) -> float:
    found = re.search(_NUMBER.format(which), metrics(collector.url), re.MULTILINE)
    return float(found[1]) if found else -1.0


async def _settled(collector: Collector, neighbour: Neighbour) -> None:
    deadline = time.monotonic() + SEEN_SECONDS
    while (faults := collector.store.faults(neighbour.cases)) and time.monotonic() < deadline:
        collector.check()
        await asyncio.sleep(0.2)
    assert not faults, faults
    await _ready(collector)


async def _ready(collector: Collector) -> None:
    deadline = time.monotonic() + SEEN_SECONDS
    while (status := await asyncio.to_thread(collector.ready)) != 200:
        collector.check()
        assert time.monotonic() < deadline, f"/readyz says {status}\n{collector.tail()}"
        await asyncio.sleep(0.1)
