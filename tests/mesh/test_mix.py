"""A mix of all kinds of calls through the real filter: what is billed is what the server told for the calls that were delivered, by class.

Seeded; the server writes down what is due. Among them are retries, copies, applications in front, aborts, polls, and calls that only look
like inference.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import grpc
import httpx
import pytest

from collector.demo.audit import Record
from tests.mesh.mix import native, odd, spoken
from tests.mesh.mix.lab import HOPS, Lab
from tests.mesh.mix.planned import Call, Due, Kind, Step
from tests.mesh.mix.server import MARK, OWN, Server, passing_on, serving
from tests.support.waits import until_holds

pytestmark = [pytest.mark.mesh]

KINDS: dict[str, tuple[Kind, int]] = {**spoken.KINDS, **native.KINDS, **odd.KINDS}
UNITS = ("rows", "images", "input_characters", "audio_seconds", "search_units")
AT_ONCE = 12


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(tmp_path, stack)


def planned(count: int, seed: int, more: Sequence[Kind] = ()) -> tuple[dict[int, Call], dict[int, str]]:
    """The calls, each kind at least once, and the name of the kind of each."""
    chance = Random(seed)
    names = [*KINDS, *chance.choices(list(KINDS), [weight for _, weight in KINDS.values()], k=count - len(KINDS))]
    chance.shuffle(names)
    calls = {number: KINDS[name][0](chance, number) for number, name in enumerate(names)}
    named = dict(enumerate(names))
    for number, kind in enumerate(more, count):
        calls[number], named[number] = kind(chance, number), kind.__name__
    return calls, named


class Client:
    """Sends each call as it was planned."""

    def __init__(self, lab: Lab, http: httpx.AsyncClient, over_grpc: grpc.Channel) -> None:
        self._lab, self._http = lab, http
        self._infer = over_grpc.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    async def call(self, number: int, call: Call) -> None:
        for at, step in enumerate(call.steps):
            for _ in range(call.tries):
                marks = {MARK: f"{number}.{at}", "x-request-id": str(uuid.uuid4())}
                if call.through == "grpc":
                    await asyncio.to_thread(self._over_grpc, step, tuple(marks.items()))
                else:
                    own = {OWN: "1"} if call.through == "fronted, own id" else {}
                    await self._send(self._lab.ports[call.through], step, marks | own)

    async def _send(self, port: int, step: Step, marks: dict[str, str]) -> None:
        headers = [("host", "iris.demo"), *step.headers, *marks.items()]
        left = sum(map(len, step.answer.pieces)) if step.leaves else -1
        url = f"http://127.0.0.1:{port}{step.path}"
        async with self._http.stream(step.method, url, content=step.body or None, headers=headers) as answer:
            try:
                async for piece in answer.aiter_raw():
                    left -= len(piece)
                    if left == 0 and step.answer.then == "hold":
                        return
            except httpx.RemoteProtocolError:
                assert step.answer.then == "cut"

    def _over_grpc(self, step: Step, metadata: tuple[tuple[str, str], ...]) -> None:
        try:
            self._infer(step.body, metadata=metadata, timeout=60)
        except grpc.RpcError:
            assert not step.answer.pieces


async def played(lab: Lab, calls: dict[int, Call]) -> dict[int, Due]:
    """Sends them all; what the server says is due of each."""
    server, left = Server(calls), list(calls.items())[::-1]
    limits = httpx.Limits(max_connections=4 * AT_ONCE)
    async with (
        serving(server, lab.server_port, lab.grpc_port),
        passing_on(lab.front_port, lab.ports["tapped"]),
        httpx.AsyncClient(trust_env=False, timeout=90, limits=limits) as http,
    ):
        with grpc.insecure_channel(f"127.0.0.1:{lab.ports['grpc']}") as channel:
            client = Client(lab, http, channel)

            async def worker() -> None:
                while left:
                    await client.call(*left.pop())

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            # Copies may come behind the answers; all that was sent is recorded then.
            await until_holds(lambda: asyncio.to_thread(are_recorded, lab, calls))
    return server.told


def are_recorded(lab: Lab, calls: dict[int, Call]) -> bool:
    expected = sum(HOPS[call.through] * len(call.steps) + call.steps[0].answer.refused for call in calls.values())
    return len(list(lab.audit.exchanges(limit=1000))) >= expected


def number_of(record: Record) -> int:
    """The call that it belongs to."""
    [mark] = [value for name, value in record["request"]["headers"] if name == MARK]
    return int(mark.split(".")[0])


def numbers(record: Record) -> Due:
    """Its tokens by class and its units."""
    usage = record.get("usage", {})
    units = {name: usage[name]["value"] for name in UNITS if name in usage}
    return Counter({name: value for name, value in (record.get("usage_classes", {}) | units).items() if value})


async def check(lab: Lab, calls: dict[int, Call], kinds: dict[int, str]) -> None:
    told = await played(lab, calls)
    records = [lab.audit.record(record["id"]) for record in lab.audit.exchanges(limit=1000)]
    billed: defaultdict[int, Due] = defaultdict(Counter)
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for record in records:
        number, used = number_of(record), numbers(record)
        if record["hop"]["billable"]:
            billed[number] += used
            if "usage_absent" in record or not used:
                reasons[number].append(f"{record.get('usage_absent')}{' beside a number' if used else ''}")
    wrong = {
        (number, kinds[number]): (dict(told[number]), dict(billed[number]), reasons[number])
        for number, call in calls.items()
        if told[number] != billed[number] or sorted(reasons[number]) != sorted(call.reasons)
    }
    assert not wrong, f"call, kind: (due, billed, reasons): {wrong}"
    assert sum(told.values(), Counter()) == sum(billed.values(), Counter())


async def test_what_is_billed_is_what_the_server_told(lab: Lab) -> None:
    await check(lab, *planned(300, seed=15))


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
async def test_of_1000_calls_and_slow_streams_too(lab: Lab, seed: int) -> None:
    await check(lab, *planned(1000, seed, [spoken.chat_slow] * 3))
