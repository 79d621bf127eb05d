"""Scenes around the traffic: chains of hops, proxies that lose, repeat and come late, hostile senders, refusals, absences, and time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from collector.messages import tap_pb2
from collector.messages.entry import Kind
from tests.fuzz.batches import Batches
from tests.fuzz.logs import Logs
from tests.replay_check.stage import VERIFIED, Stage
from tests.support import chains
from tests.support.witnesses import NODE, Told, Vm, log_message, parts

SECOND_US = 1_000_000
HOSTILE_BYTES = 24 << 10  # of one entry: larger ones make the recording large and are rare in life
STATUSES = (200, 200, 200, 101, 204, 304, 400, 404, 413, 429, 500, 503, 504, 0)


def hops(stage: Stage) -> Iterator[None]:
    """Calls through gateway, transformer and predictor, with retries, timeouts and mirrors."""
    chance, number = stage.chance, 1 << 20
    for turn in range(1 << 30):
        request_id = f"7d2f9c3e-1111-4000-8000-{turn:012x}"
        kinds = [chains.chain(), chains.chain()[:2], [chains.gateway(upstream=chains.PREDICTOR), chains.predictor()]]
        kinds.append([*chains.chain(), chains.other_predictor(30_000, 20_000)])
        kinds.append([chains.gateway(status=504, timed_out=True, attempts=2), chains.transformer(status=0)])
        for passage in chance.choice(kinds):
            number += 1
            renamed = type(passage)(**{**vars(passage), "request_id": request_id})
            chains.tell(stage.tape, number, renamed, stage.tape.now - SECOND_US)
            yield


def lossy(stage: Stage) -> Iterator[None]:
    """A busy proxy whose batches are lost, repeated, out of order or late, that drops ends and begins anew; twins, odd statuses."""
    chance = stage.chance
    vm, held = Vm("00000000000000cc"), list[tap_pb2.Batch]()
    while True:
        told = [_exchange(stage, chance) for _ in range(chance.choice((1, 1, 2, 6)))]
        if chance.random() < 0.15:
            told += [Told(**{**vars(told[0]), "stream": stage.stream(), "status": chance.choice((200, 404))})] * chance.choice((1, 1, 2))
        if chance.random() < 0.1:
            vm.dropped[chance.randrange(1, 6)] = vm.dropped.get(1, 0) + chance.randrange(1, 9)
        sealed = [vm.seal([part for one in told for part in parts(one, pieces=chance.choice((1, 1, 3)))])]
        lot = chance.random()
        if lot < 0.06:
            sealed = []  # lost on the way
        elif lot < 0.12:
            held += sealed
            sealed = []
        elif lot < 0.2:
            sealed *= 2
        elif lot < 0.28 and held:
            sealed += [held.pop(chance.randrange(len(held)))]
        elif lot < 0.29:
            vm = Vm(f"{stage.stream():016x}")
        for batch in sealed:
            stage.tape.tap(batch, stage.moment())
            yield
        if chance.random() < 0.9:
            stage.tape.log(log_message(told, NODE if chance.random() < 0.2 else None, chance.choice((0, 2, 3))), stage.moment())
            yield


def _exchange(stage: Stage, chance: Random) -> Told:
    now = stage.tape.now
    far = chance.choice((now, now, now, now - 3600 * SECOND_US, now + 86_400 * SECOND_US)) if chance.random() < 0.1 else now
    return Told(
        stage.stream(),
        request_id=stage.request_id() if chance.random() < 0.95 else "",
        start_us=far - chance.randrange(1, 2 * SECOND_US),
        downstream=f"10.0.0.{chance.randrange(9)}:{chance.randrange(1024, 60_000)}",
        addressed=chance.random() < 0.3,
        path=chance.choice(("/v1/models/iris:predict", "/v1/models/iris:predict?key=secret", "/", "/healthz", "/\xe9")),
        status=chance.choice(STATUSES),
        request=chance.choice((b'{"instances":[[1]]}', b"", b"\xff\x00")),
        response=chance.choice(((b'{"predictions":', b"[1]}"), (b"",), (b"a" * 300, b"b" * 300), ())),
        flags=chance.choice((0, 0, 0, 1, 4, 1 << 9)),
        level=chance.choice((4, 4, 4, 3, 2, 1, 0)),
    )


def hostile(stage: Stage) -> Iterator[None]:
    """Batches and log messages of the fuzzers; some as a verified sender, some under another's name."""
    chance = stage.chance
    batches = Batches(Random(chance.getrandbits(64)), "00000000000000cc", stage.now_us)
    logs = Logs(Random(chance.getrandbits(64)), stage.now_us)
    while True:
        sender = chance.choice(("", "", VERIFIED.format("evil", "hostile"), VERIFIED.format("demo", "iris-predictor")))
        node = f"sidecar~10.66.0.{chance.randrange(8)}~hostile-1.evil~evil.svc.cluster.local"
        if chance.random() < 0.6:
            kind, payload = Kind.TAP, batches.next()
        else:
            kind, payload = Kind.ACCESS_LOG, logs.opening() if chance.random() < 0.1 else logs.next()
        if len(payload) <= HOSTILE_BYTES:
            stage.tape.add(kind, node, payload, stage.moment(), sender)
            yield


def refused(stage: Stage) -> Iterator[None]:
    """Refusals, absences and incidents, well told and badly."""
    chance = stage.chance
    reasons = ("busy", "too_large", "identity", "x" * 300, "", "\u00e9")
    while True:
        now, kind = stage.tape.now, chance.choice((Kind.REFUSED, Kind.REFUSED, Kind.REFUSED, Kind.AWAY, Kind.INCIDENT))
        if chance.random() < 0.1:
            payload = chance.choice((b"\xff", b"{}", b"[]", b'{"reason":5,"from_us":-1,"to_us":9e99,"entries":1e400}'))
        elif kind is Kind.REFUSED:
            counts = {name: chance.choice((0, 1, 7, 1 << 40, -3)) for name in ("messages", "entries", "bytes")}
            payload = json.dumps({"reason": chance.choice(reasons), **counts}).encode()
        else:
            span = {
                "from_us": now - chance.randrange(1, 90 * SECOND_US),
                "to_us": now,
                "reason": chance.choice(("stopped", "killed", "hung")),
            }
            more = (
                {"said": "frames were lost", "cut": chance.random() < 0.3}
                if kind is Kind.INCIDENT
                else {"clock_suspect": chance.random() < 0.3}
            )
            payload = json.dumps(span | more).encode()
        source = chance.choice((*(proxy.node for proxy in stage.proxies), "", "collector"))
        stage.tape.add(
            kind, "" if kind is Kind.INCIDENT else source, payload, stage.moment(), chance.choice(("", VERIFIED.format("a", "b")))
        )
        yield


def time(stage: Stage) -> Iterator[None]:
    """Ticks: mostly short, some so long that what lingers, is idle or late is over."""
    lengths, often = (0.5, 3, 11, 61, 301, 1000), (20, 3, 4, 4, 1, 1)
    while True:
        [seconds] = stage.chance.choices(lengths, often)
        stage.tape.tick(seconds)
        yield
