"""Too much is open: who is closed early, and what comes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits
from collector.correlate.pieces import CHUNK_BYTES
from collector.messages import tap_pb2
from collector.messages.completeness import Completeness as C
from collector.messages.entry import Entry
from collector.messages.exchange import Exchange, LedgerWindow
from tests.support.effort import examples
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

LIMITS = Limits(open_bytes=1 << 20)
CHUNKS = 1_000  # in each part of the endless stream
NEIGHBOURS = 100
NEIGHBOUR = "sidecar~10.0.0.2~gpt-0.models~models.svc.cluster.local"


def endless(number: int) -> tap_pb2.Part:
    """The next part of a stream of chunks of one byte, behind its limit."""
    part = tap_pb2.Part(stream=1, request_id=b"endless", start_us=T0, index=number, level=tap_pb2.REQUEST_RESPONSE)
    part.runs.add(
        direction=tap_pb2.RESPONSE_BODY,
        offset=number * CHUNKS,
        lengths=[1] * CHUNKS,
        times_us=range(number * CHUNKS, (number + 1) * CHUNKS),
    )
    return part


def exchanges(correlator: Correlator, entries: list[Entry]) -> list[Exchange]:
    return [one.item for entry in entries for one in correlator.feed(entry) if isinstance(one.item, Exchange)]


@pytest.mark.slow
def test_an_endless_stream_closes_itself_and_none_of_its_neighbours() -> None:
    tape, vm, near = Tape(), Vm(), Vm("00000000000000bb", node=NEIGHBOUR)
    told = [Told(n, start_us=T0 + n, request_id=f"near-{n}") for n in range(NEIGHBOURS)]
    begun = [parts(one, pieces=2) for one in told]
    tape.tap(near.seal([one[0] for one in begun]))
    fits = LIMITS.open_bytes // (CHUNK_BYTES * CHUNKS)
    for number in range(5 * fits):
        tape.tap(vm.seal([endless(number)]))
    tape.tap(near.seal([part for one in begun for part in one[1:]]))
    tape.log(log_message(told, NEIGHBOUR), node=NEIGHBOUR)
    tape.tick(100)
    correlator = Correlator(LIMITS)
    closed = [one.item for entry in tape.entries for one in correlator.feed(entry)]
    whole = [one for one in closed if isinstance(one, Exchange) and one.node.id == NEIGHBOUR]
    assert Counter(one.completeness & C.COMPLETE for one in whole) == {C.COMPLETE: NEIGHBOURS}
    long = [one for one in closed if isinstance(one, Exchange) and one.node.id != NEIGHBOUR]
    assert [one.revision for one in long] == list(range(len(long))), "what comes later is a revision"
    assert {one.key for one in long} == {long[0].key}
    assert 4 <= len(long) <= 6, "and costs no more than it brings"
    windows = [one for one in closed if isinstance(one, LedgerWindow)]
    assert sum(one.counts.get("evicted", 0) for one in windows) == len(long)
    assert correlator.open_bytes <= LIMITS.open_bytes


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 300_000)), min_size=1, max_size=25), st.integers(0, 24))
@settings(max_examples=examples(200))
def test_a_restart_changes_nothing(bodies: list[tuple[int, int]], cut: int) -> None:
    tape, vm = Tape(), Vm()
    for number, (stream, size) in enumerate(bodies):
        one = Told(stream, start_us=T0 + stream, request=b"x" * size)
        part = parts(replace(one, response=()), pieces=2)[0]
        part.index, part.runs[0].offset = number, number * 300_000
        tape.tap(vm.seal([part]))
    whole, first = Correlator(LIMITS), Correlator(LIMITS)
    expected = [one for entry in tape.entries for one in whole.feed(entry)]
    found = [one for entry in tape.entries[:cut] for one in first.feed(entry)]
    second = Correlator(LIMITS)
    second.restore(first.state())
    found += [one for entry in tape.entries[cut:] for one in second.feed(entry)]
    assert found == expected
    assert whole.open_bytes <= LIMITS.open_bytes
