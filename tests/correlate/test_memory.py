"""What hostile input costs in memory is what it is counted for."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from collector.correlate import Correlator, Limits
from collector.messages import tap_pb2
from collector.messages.entry import Entry
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

LIMITS = Limits()
SLACK = 200_000  # of a correlator that holds nothing, and of its node
COUNT = 2_000


def open_streams(tape: Tape, vm: Vm) -> None:
    tape.tap(vm.seal([parts(Told(n, start_us=T0 + n, request_id=f"r{n}"), pieces=2)[0] for n in range(COUNT)]))


def twins(tape: Tape, vm: Vm) -> None:
    tape.tap(vm.seal([part for n in range(COUNT) for part in parts(Told(n, path=f"/{n}"))]))


def bare_parts(tape: Tape, vm: Vm) -> None:
    tape.tap(vm.seal([tap_pb2.Part(stream=n, start_us=T0) for n in range(4 * COUNT)]))


def gaps_in_indexes(tape: Tape, vm: Vm) -> None:
    tape.tap(vm.seal([tap_pb2.Part(stream=s, start_us=T0, index=2 * n + 2**20) for s in range(8) for n in range(2000)]))


def short_chunks(tape: Tape, vm: Vm) -> None:
    one = tap_pb2.Part(stream=1, start_us=T0)
    one.runs.add(direction=1, lengths=[0] * 50_000, times_us=range(50_000))
    one.runs.add(direction=1, data=b"x" * 50_000, lengths=[1] * 50_000, times_us=range(10**6, 10**6 + 50_000))
    tape.tap(vm.seal([one]))


def scattered_runs(tape: Tape, vm: Vm) -> None:
    one = tap_pb2.Part(stream=1, start_us=T0)
    for n in range(5 * COUNT):
        one.runs.add(direction=n % 2, offset=3 * n, data=b"x", lengths=[1], times_us=[10**6 + n])
    tape.tap(vm.seal([one]))


def parts_in_order(tape: Tape, vm: Vm) -> None:
    told = Told(1, response=tuple(b"%09d" % n for n in range(5 * COUNT)))
    tape.tap(vm.seal(parts(told, pieces=2)[:-1]))


def long_texts(tape: Tape, vm: Vm) -> None:
    found = []
    for n in range(200):
        [part] = parts(Told(n, start_us=T0 + n))
        part.ClearField("end")
        part.rule, part.downstream, part.request_id = "é" * 2000, "é" * 2000, b"r" * 1024
        found.append(part)
    tape.tap(vm.seal(found))


def logs_alone(tape: Tape, vm: Vm) -> None:
    tape.log(log_message([Told(n, start_us=T0 + n, request_id=f"r{n}") for n in range(COUNT)]))


def logs_with_headers(tape: Tape, vm: Vm) -> None:
    message = log_message([Told(n, start_us=T0 + n) for n in range(100)])
    for entry in message.http_logs.log_entry:
        entry.request.request_headers.update({f"h{n}": "" for n in range(300)})
        entry.request.path = "é" * 5000
    tape.log(message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fill",
    [
        open_streams,
        twins,
        bare_parts,
        gaps_in_indexes,
        short_chunks,
        scattered_runs,
        parts_in_order,
        long_texts,
        logs_alone,
        logs_with_headers,
    ],
)
def test_open_exchanges_take_what_they_are_counted_for(fill: Callable[[Tape, Vm], None]) -> None:
    tape = Tape()
    fill(tape, Vm())
    correlator = Correlator(LIMITS)
    grown = growth(correlator, tape.entries)
    counted = correlator.open_bytes
    assert grown <= 1.5 * counted + SLACK, (grown, counted, correlator.open_exchanges)
    assert counted <= 4 * grown + SLACK, (grown, counted, correlator.open_exchanges)


def growth(correlator: Correlator, entries: list[Entry]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        for entry in entries:
            correlator.feed(entry)
        del entries[:], entry
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def vms(tape: Tape) -> None:
    for n in range(500):
        tape.tap(Vm(f"{n:016x}", sequence=2**63).seal([]))


def holes(tape: Tape) -> None:
    vm = Vm()
    for _ in range(1000):
        vm.sequence += 10_000
        tape.tap(vm.seal([]))


def labels(tape: Tape) -> None:
    batch = Vm().seal([])
    batch.node.labels.update({f"l{n}": "x" * 100 for n in range(50_000)})
    tape.tap(batch)


def reasons(tape: Tape) -> None:
    batch = Vm().seal([])
    for n in range(50_000):
        batch.totals.drops.add(reason=n, ends=1)
    tape.tap(batch)


def closed_streams(tape: Tape) -> None:
    told = [Told(n, start_us=T0 + n, request_id="r" * 1000, path="/" + "p" * 5000) for n in range(300)]
    tape.tap(Vm().seal([part for one in told for part in parts(one)]))
    tape.log(log_message(told))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fill", "bound"), [(vms, 700_000), (holes, 40_000), (labels, 150_000), (reasons, 40_000), (closed_streams, 900_000)]
)
def test_what_is_remembered_is_small(fill: Callable[[Tape], None], bound: int) -> None:
    tape = Tape()
    fill(tape)
    assert growth(Correlator(LIMITS), tape.entries) <= bound


def test_long_request_ids_forget_earlier() -> None:
    tape, correlator = Tape(), Correlator(LIMITS._replace(closed_keys=100))
    told = [Told(n, start_us=T0 + n, request_id="r" * 1024) for n in range(100)]
    tape.tap(Vm().seal([part for one in told for part in parts(one)]))
    tape.log(log_message(told))
    for entry in tape.entries:
        correlator.feed(entry)
    assert len(correlator._memory.snapshot()[0]) < 70


@pytest.mark.slow
def test_what_is_kept_of_a_small_exchange_is_small_in_memory_and_in_a_checkpoint() -> None:
    tape, correlator, count = Tape(), Correlator(LIMITS), 2_000
    made = [tap_pb2.Part(stream=n, request_id=b"r", start_us=T0 + n, level=tap_pb2.METADATA, end=tap_pb2.End()) for n in range(count)]
    tape.tap(Vm().seal(made))
    tape.tick(11)
    assert growth(correlator, tape.entries) <= 1_300 * count
    state = correlator.state()
    assert len(state) <= 450 * count
    restored = Correlator(LIMITS)
    restored.restore(state)
    assert restored.state() == state
