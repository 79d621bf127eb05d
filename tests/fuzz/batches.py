"""Tap batches of hostile senders: good ones of the real classes, in which something is not as the filter would make it."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from random import Random
from typing import Any

from collector.messages import tap_pb2
from collector.messages.headers import pack
from tests.fuzz.bodies import hostile
from tests.fuzz.edges import U32, U64, damage, spoil

SENDERS = 8
AGAIN, KEPT = 0.25, 256  # how many are earlier ones again, and of how many
BIGGEST = 400  # of what is multiplied in an ordinary run: single larger ones have tests of their own (test_poison.py, the bench)
FAR_US = (0, 1, -1, -(1 << 63), (1 << 63) - 1, 253_402_300_800_000_000, -9_161_000_000_000_000_000, 1 << 53)
STATUSES = ("200", "200", "200", "404", "9" * 26, "-1", "", "2e2", "٢٠٠", "200 OK", "0", "99999")


def wall_us() -> int:
    """Now, in microseconds since the epoch."""
    return time.time_ns() // 1000


class Batches:
    """Makes one after the other. `victim` is the VM of somebody else, whose name a hostile sender may take."""

    def __init__(self, chance: Random, victim: str, now_us: Callable[[], int] = wall_us) -> None:
        self._chance, self._victim, self._now_us = chance, victim, now_us
        self._sequences = [0] * SENDERS
        self._stream = 0
        self._made: list[bytes] = []
        self._open: list[tuple[int, bytes, int, int]] = []  # (stream, request id, start, next index) of streams that go on
        self._kinds: tuple[Callable[[tap_pb2.Batch], None], ...] = (
            *(self._ordinary, self._ordinary, self._hostile_bodies, self._hostile_bodies, self._hostile_bodies),
            *(self._goes_on, self._goes_on, self._pieces, self._twins, self._indexes, self._sequence, self._far),
            *(self._drops, self._labels, self._empty_parts, self._header_blocks, self._statuses, self._lengths, self._tails, self._victims),
        )

    def next(self) -> bytes:
        """The next one as bytes; some are no batch any more."""
        if self._made and self._chance.random() < AGAIN:
            return self._again()
        payload = self._fresh()
        if len(self._made) < KEPT:
            self._made.append(payload)
        else:
            self._made[self._chance.randrange(KEPT)] = payload
        return payload

    def _again(self) -> bytes:
        """An earlier one under another number and VM, put in behind it: of a field that comes twice the last one counts."""
        chance = self._chance
        numbered = tap_pb2.Batch(sequence=chance.choice((1, 2, 3, 1 << 40)), vm=f"{chance.getrandbits(8):016x}")
        return chance.choice(self._made) + numbered.SerializeToString(deterministic=True)

    def _fresh(self) -> bytes:
        chance = self._chance
        batch = self._sealed()
        chance.choice(self._kinds)(batch)
        if chance.random() < 0.4:
            spoil(batch, chance, chance.choice((1, 1, 2, 6)))
        payload = batch.SerializeToString(deterministic=True)  # a map's order is random else
        return damage(payload, chance) if chance.random() < 0.1 else payload

    def _sealed(self) -> tap_pb2.Batch:
        sender = self._chance.randrange(SENDERS)
        self._sequences[sender] += self._chance.choice((1, 1, 1, 1, 1, 1, 1, 0, 2, 40))
        sequence = max(1, self._sequences[sender])
        batch = tap_pb2.Batch(vm=f"{sender:016x}", sequence=sequence)
        batch.node.id = f"sidecar~10.66.0.{sender}~hostile-{sender}.evil~evil.svc.cluster.local"
        batch.node.namespace, batch.node.workload = "evil", "hostile"
        batch.totals.streams = batch.totals.ends = batch.totals.ends_sealed = sequence
        return batch

    def _part(self, batch: tap_pb2.Batch, index: int = 0) -> tap_pb2.Part:
        self._stream += 1
        part = batch.parts.add(stream=self._stream & 0xFFFFFFFF, index=index, level=tap_pb2.REQUEST_RESPONSE)
        part.request_id = b"evil-%d" % self._stream
        part.start_us = self._now_us()
        return part

    def _end(self, part: tap_pb2.Part) -> None:
        part.end.at_us, part.end.request_complete, part.end.response_complete = 900, True, True

    def _whole(self, batch: tap_pb2.Batch) -> tap_pb2.Part:
        part = self._part(batch)
        part.request_headers.map = pack([(":method", "POST"), (":path", "/v1/models/iris:predict"), (":authority", "iris.evil")])
        part.response_headers.map = pack([(":status", "200"), ("content-type", "application/json")])
        part.runs.add(direction=tap_pb2.RESPONSE_BODY, data=b"{}", lengths=[2], times_us=[5])
        self._end(part)
        return part

    # -- the kinds

    def _ordinary(self, batch: tap_pb2.Batch) -> None:
        for _ in range(self._chance.choice((1, 1, 1, 5))):
            self._whole(batch)

    def _hostile_bodies(self, batch: tap_pb2.Batch) -> None:
        made = hostile(self._chance)
        part = self._part(batch)
        kind = [("content-type", made.content_type), *([("content-encoding", made.encoding)] if made.encoding else [])]
        part.request_headers.map = pack([(":method", "POST"), (":path", made.path), *kind])
        status = self._chance.choice(STATUSES).encode().decode("latin-1")
        part.response_headers.map = pack([(":status", status), *kind])
        for direction, body in ((tap_pb2.REQUEST_BODY, made.request), (tap_pb2.RESPONSE_BODY, made.response)):
            lengths = [len(body)] if self._chance.random() < 0.8 else [1] * min(len(body), 50)
            part.runs.add(direction=direction, data=body, lengths=lengths, times_us=range(10, 10 + len(lengths)))
        self._end(part)

    def _goes_on(self, batch: tap_pb2.Batch) -> None:
        """A stream of many parts, of which the next comes in a later batch; seldom its end."""
        chance = self._chance
        if not self._open or (len(self._open) < 40 and chance.random() < 0.3):
            fresh = self._part(batch)
            self._open.append((fresh.stream, fresh.request_id, fresh.start_us, 1))
            return
        at = chance.randrange(len(self._open))
        stream, request_id, start, index = self._open[at]
        for _ in range(chance.choice((1, 3, 10))):
            part = batch.parts.add(stream=stream, request_id=request_id, start_us=start, index=index)
            part.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=index * 2, data=b"ab", lengths=[2], times_us=[index])
            index += chance.choice((1, 1, 1, 2))
        self._open[at] = (stream, request_id, start, index)
        if chance.random() < 0.05:
            self._end(batch.parts[-1])
            del self._open[at]

    def _pieces(self, batch: tap_pb2.Batch) -> None:
        """One stream in parts that come in any order, twice, or not."""
        chance, first = self._chance, self._part(batch)
        key: dict[str, Any] = {"stream": first.stream, "request_id": first.request_id, "start_us": first.start_us}
        made = [tap_pb2.Part(**key, index=n) for n in range(1, chance.choice((2, 9, 70)))]
        for part in made:
            part.runs.add(offset=part.index, data=b"x", lengths=[chance.choice((1, 1, 5))], times_us=[1])
        self._end(made[-1])
        chance.shuffle(made)
        batch.parts.extend(made[: chance.randrange(len(made) + 1)] + made[: chance.choice((0, 0, 3))])

    def _twins(self, batch: tap_pb2.Batch) -> None:
        for _ in range(self._chance.choice((2, 5, 60))):
            part = self._whole(batch)
            part.request_id, part.start_us = b"twin", 1_780_000_000_000_000

    def _indexes(self, batch: tap_pb2.Batch) -> None:
        for _ in range(self._chance.choice((1, 5, BIGGEST))):
            self._part(batch, self._chance.choice(U32))

    def _sequence(self, batch: tap_pb2.Batch) -> None:
        batch.sequence = self._chance.choice((*U64[1:], batch.sequence + 10_001))
        batch.vm = f"{self._chance.getrandbits(64):016x}" if self._chance.random() < 0.7 else batch.vm

    def _far(self, batch: tap_pb2.Batch) -> None:
        part = self._whole(batch)
        part.start_us = self._chance.choice(FAR_US)
        part.end.at_us = self._chance.choice(U64)

    def _drops(self, batch: tap_pb2.Batch) -> None:
        for _ in range(self._chance.choice((1, 2, 5, BIGGEST))):
            drops = batch.totals.drops if self._chance.random() < 0.7 else batch.totals.abandoned
            numbers = {name: self._chance.choice(U64) for name in ("ends", "fragments", "bytes")}
            drops.add(reason=self._chance.choice((0, 1, 4, 99, self._chance.getrandbits(31))), **numbers)

    def _labels(self, batch: tap_pb2.Batch) -> None:
        for number in range(self._chance.choice((1, 5, BIGGEST))):
            batch.node.labels[f"l{number}"] = "v" * self._chance.choice((0, 10, 200))
        self._whole(batch)

    def _empty_parts(self, batch: tap_pb2.Batch) -> None:
        for _ in range(self._chance.choice((1, 30, BIGGEST))):
            batch.parts.add()

    def _header_blocks(self, batch: tap_pb2.Batch) -> None:
        chance, part = self._chance, self._whole(batch)
        block = pack([(":path", "/x"), ("a", "b" * chance.choice((0, 5, 2000)))] * chance.choice((1, 3, 100)))
        lying = struct.pack("<I", chance.choice(U32)) + block[4:]
        part.request_headers.map = chance.choice((lying, block[: chance.randrange(len(block))], block + b"\0", damage(block, chance)))
        part.response_trailers.map = chance.choice((b"", b"\0", block))

    def _statuses(self, batch: tap_pb2.Batch) -> None:
        part = self._whole(batch)
        status = self._chance.choice(STATUSES).encode().decode("latin-1")
        part.response_headers.map = pack([(":status", status)] * self._chance.choice((1, 2)))
        part.end.response_code = self._chance.choice(U32)

    def _lengths(self, batch: tap_pb2.Batch) -> None:
        chance, part = self._chance, self._whole(batch)
        for _ in range(chance.choice((1, 4))):
            run = part.runs.add(direction=chance.choice((0, 1, 2)), offset=chance.choice(U64), data=chance.randbytes(5))
            run.lengths.extend(chance.choices(U32, k=chance.choice((0, 1, 3))))
            run.times_us.extend(chance.choices(U64, k=chance.choice((0, 1, 3))))
        part.end.request_size, part.end.response_size = chance.choice(U64), chance.choice(U64)

    def _tails(self, batch: tap_pb2.Batch) -> None:
        """Tails anywhere: over the runs, behind the body's end, empty, and several of one body."""
        chance, whole = self._chance, self._whole(batch)
        whole.end.response_size = chance.choice(U64)
        for index in range(1, chance.choice((2, 4))):
            part = batch.parts.add(stream=whole.stream, request_id=whole.request_id, start_us=whole.start_us, index=index)
            for tail in (part.request_tail, part.response_tail):
                tail.offset, tail.data = chance.choice(U64), chance.randbytes(chance.choice((0, 1, 50)))

    def _victims(self, batch: tap_pb2.Batch) -> None:
        """Somebody else's VM under this sender's own name."""
        batch.vm, batch.sequence = self._victim, self._chance.choice(U64[1:])
        self._whole(batch)
