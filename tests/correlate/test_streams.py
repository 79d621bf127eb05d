"""Streams of any length: what is kept of them is bounded by their gaps and their bytes, and a checkpoint can always hold it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits, spans
from collector.correlate.pieces import add
from collector.correlate.state import Pieces
from collector.messages import tap_pb2
from collector.messages.completeness import Completeness as C
from collector.messages.exchange import Exchange
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

LIMITS = Limits()


def restarted(correlator: Correlator) -> Correlator:
    """Another process, that goes on from this one's checkpoint."""
    other = Correlator(LIMITS)
    other.restore(correlator.state())
    return other


def test_a_long_stream_survives_checkpoints_and_restarts_and_is_one_complete_exchange() -> None:
    told = Told(1, response=tuple(b"%d," % n for n in range(1200)))
    tape, vm = Tape(), Vm()
    for part in parts(told, pieces=2):
        tape.tap(vm.seal([part]), 0.1)
    tape.log(log_message([told]))
    correlator, found = Correlator(LIMITS), []
    for entry in tape.entries:
        found += correlator.feed(entry)
        if entry.position % 300 == 7:
            correlator = restarted(correlator)
    [exchange] = [c.item for c in found if isinstance(c.item, Exchange)]
    assert exchange.completeness == C.COMPLETE
    assert exchange.tap is not None
    assert exchange.tap.response.data == told.response_body
    assert len(exchange.tap.response.chunks) == 1200


def test_a_long_stream_costs_its_bytes() -> None:
    tape, vm = Tape(), Vm()
    told = Told(1, response=(b"x" * 300,) * 1200)
    for part in parts(told, pieces=2)[:-1]:
        tape.tap(vm.seal([part]), 0.1)
    correlator = Correlator(LIMITS)
    for entry in tape.entries:
        correlator.feed(entry)
    assert correlator.open_bytes < 2 * len(told.response_body)


@given(st.lists(st.integers(0, 60), max_size=120))
def test_spans_are_the_set_of_what_came(indexes: list[int]) -> None:
    pieces, model = Pieces("vm", 1), set[int]()
    for index in indexes:
        assert (spans.mark(pieces, index) < 0) == (index in model)
        model.add(index)
        pieces.last_index = index
        assert pieces.whole == (model == set(range(index + 1)))
        beyond = pieces.spans or []
        assert beyond == sorted(beyond)
        ranges = [*range(pieces.next), *(n for a, b in zip(beyond[::2], beyond[1::2], strict=True) for n in range(a, b + 1))]
        assert ranges == sorted(model)
    pieces.last_index = max(model, default=0)
    missing = set(range(pieces.last_index + 1)) - model
    assert (pieces.spans is not None) == bool(missing and model)


def test_at_the_bound_of_gaps_nothing_is_lost_and_the_stream_is_never_called_whole() -> None:
    pieces = Pieces("vm", 1)
    count = 2 * (spans.SPANS_KEPT + 5)
    for index in range(0, count, 2):
        assert add(pieces, tap_pb2.Part(index=index), False) >= 0
    assert pieces.torn
    assert len(pieces.spans or ()) <= 2 * spans.SPANS_KEPT
    for index in range(1, count, 2):
        assert add(pieces, tap_pb2.Part(index=index), False) >= 0
    pieces.last_index = count - 1
    assert not pieces.whole


def test_a_torn_stream_has_a_gap_in_its_headers() -> None:
    told, vm, tape = Told(1), Vm(), Tape()
    head, *_, tail = parts(told, pieces=2)
    key = {"stream": 1, "request_id": head.request_id, "start_us": head.start_us, "level": head.level}
    count = 2 * spans.SPANS_KEPT + 20
    middle = [tap_pb2.Part(index=n, **key) for n in [*range(2, count, 2), *range(1, count, 2)]]
    tail.index = count
    tape.tap(vm.seal([head, *middle, tail]))
    tape.log(log_message([told]))
    tape.tick(11)
    correlator = Correlator(LIMITS)
    [exchange] = [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]
    assert exchange.completeness & C.HEADERS_GAP
    assert not exchange.completeness & C.COMPLETE


def test_pieces_of_a_body_in_any_order_are_joined_as_they_were() -> None:
    pieces = Pieces("vm", 1)
    for index, offset in enumerate([0, 2, 8, 4, 6]):
        part = tap_pb2.Part(index=index)
        part.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=offset, data=b"%02d" % offset, lengths=[1, 1], times_us=[offset, offset])
        assert add(pieces, part, False) > 0
    assert [(s.offset, s.end, b"".join(s.data)) for s in pieces.response_body] == [(0, 4, b"0002"), (8, 10, b"08"), (4, 8, b"0406")]
