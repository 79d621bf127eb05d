"""A body told as head and tail: whatever is lost, repeated or late, what is told of it is true."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits
from collector.correlate.body import assemble
from collector.correlate.state import Stretch, Tail
from collector.messages import tap_pb2
from collector.messages.completeness import Completeness as C
from collector.messages.exchange import Body, Exchange, LedgerWindow
from tests.support.effort import examples
from tests.support.witnesses import Tape, Told, Vm, log_message, parts


def body_of(size: int) -> bytes:
    """Every byte says where it is."""
    return bytes(at % 251 for at in range(size))


def stretches(body: bytes, limit: int, cuts: list[int]) -> list[Stretch]:
    """What the filter tells of it in the pieces that these cuts make."""
    bounds = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    told = []
    for start, end in pairwise(bounds):
        held = body[start : min(end, max(start, limit))]
        told.append(Stretch(start, end, len(held), [held], [end - start], [start]))
    return told


@st.composite
def told(draw: st.DrawFn) -> tuple[bytes, list[Stretch], Tail | None, int | None]:
    """A body, and what of it arrived, in any order and some of it twice."""
    body = body_of(draw(st.integers(1, 60)))
    limit, most = draw(st.integers(0, 40)), draw(st.integers(0, 30))
    pieces = stretches(body, limit, draw(st.lists(st.integers(1, 60), max_size=6)))
    arrived = draw(st.lists(st.sampled_from(pieces), max_size=8)) if draw(st.booleans()) else draw(st.permutations(pieces))
    start = max(limit, len(body) - most)
    tail = Tail(start, body[start:]) if start < len(body) and draw(st.integers(0, 4)) else None
    return body, list(arrived), tail, draw(st.sampled_from([len(body), None]))


def expanded(body: Body, length: int) -> list[int | None]:
    """Its bytes where they belong; None: not there."""
    data, found = iter(body.data), list[int | None]()
    holes = {at for start, count in body.missing for at in range(start, start + count)}
    for at in range(length):
        found.append(None if at in holes else next(data, None))
    assert next(data, None) is None, "bytes are left over"
    return found


@given(told())
@settings(max_examples=examples(2000))
def test_each_byte_is_at_its_place_or_said_to_be_missing(case: tuple[bytes, list[Stretch], Tail | None, int | None]) -> None:
    passed, arrived, tail, size = case
    body = assemble(arrived, size, tail)
    known = {at for one in arrived for at in range(one.offset, one.offset + one.held)}
    known |= set(range(tail.offset, tail.end)) if tail else set()
    assert expanded(body, len(passed)) == [byte if at in known else None for at, byte in enumerate(passed)]
    assert passed.startswith(body.prefix)
    offset, data = body.tail
    assert not data or passed[offset:] == data
    if size is not None:
        assert body.size == len(passed)
        whole = known == set(range(len(passed)))
        assert whole is not bool(body.gaps or body.truncated)
        assert whole or tail is None or passed.endswith(body.tail[1])


@given(told())
@settings(max_examples=examples(300))
def test_without_a_tail_nothing_changes_and_with_one_nothing_is_known_less(
    case: tuple[bytes, list[Stretch], Tail | None, int | None],
) -> None:
    _, arrived, tail, size = case
    before, after = assemble(arrived, size), assemble(arrived, size, tail)
    assert before.cut is None
    assert len(after.data) >= len(before.data)
    assert after.chunks == before.chunks
    assert sum(length for _, length in after.gaps) <= sum(length for _, length in before.gaps) or size is None


def long_parts(told: Told, limit: int, most: int) -> list[tap_pb2.Part]:
    """Its parts as a filter with these limits sends them: each chunk in one of its own."""
    found = parts(told, pieces=2)
    for part in found:
        for run in part.runs:
            run.data = run.data[: max(0, limit - run.offset)] if run.direction == tap_pb2.RESPONSE_BODY else run.data
    body = told.response_body
    if len(body) > limit:
        start = max(limit, len(body) - most)
        found[-1].response_tail.offset, found[-1].response_tail.data = start, body[start:]
    return found


def closed(tape: Tape) -> list[Exchange]:
    correlator = Correlator(Limits())
    return [one.item for entry in tape.entries for one in correlator.feed(entry) if isinstance(one.item, Exchange)]


@given(st.data())
@settings(max_examples=examples(300))
def test_batches_in_any_order_twice_or_lost_through_the_correlator(data: st.DataObject) -> None:
    pieces = tuple(data.draw(st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=6)))
    limit, most = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    one = Told(1, response=pieces)
    vm = Vm()
    batches = [vm.seal([part]) for part in long_parts(one, limit, most)]
    arriving = data.draw(st.permutations([*batches, *data.draw(st.lists(st.sampled_from(batches), max_size=2))]))
    lost = data.draw(st.sampled_from([None, *batches]))
    tape = Tape()
    for batch in arriving:
        if batch is not lost:
            tape.tap(batch)
    tape.log(log_message([one]))
    tape.tick(400)
    tape.tick(100)
    tap = closed(tape)[-1].tap
    if tap is None:
        return
    body, size = tap.response, len(one.response_body)
    assert body.size == size
    found = expanded(body, size)
    assert all(byte is None or byte == one.response_body[at] for at, byte in enumerate(found))
    if lost is None:
        assert [byte is None for byte in found] == [limit <= at < size - most for at in range(size)]
        assert not body.gaps
        flags = closed(tape)[-1].completeness
        assert bool(flags & C.RESPONSE_TRUNCATED) is (size > limit + most) is not bool(flags & C.COMPLETE)


@pytest.mark.parametrize("level", [tap_pb2.METADATA, tap_pb2.REQUEST])
def test_below_its_level_a_tail_says_nothing(level: int) -> None:
    one = Told(1, response=(b"abcdefgh",), level=level)
    vm, tape = Vm(), Tape()
    tape.tap(vm.seal(long_parts(one, 2, 2)))
    tape.log(log_message([one]))
    [exchange] = closed(tape)
    assert exchange.tap is not None
    assert (exchange.tap.response.cut, exchange.tap.response.gaps, exchange.tap.response.truncated) == (None, [], False)


LONG = body_of(3000)
SEVERAL = [*(Tail(at, LONG[at:]) for at in (2000, 2990)), Tail(100, LONG[100:2900]), Tail(0, b"x"), Tail(2**63, b"y"), Tail(4, b"")]


@given(st.permutations(SEVERAL))
def test_of_several_tails_the_one_that_reaches_furthest_is_kept_in_any_order(tails: list[Tail]) -> None:
    one, vm, tape = Told(1, response=(LONG[:2], LONG[2:5], LONG[5:])), Vm(), Tape()
    found = long_parts(one, limit=2, most=0)
    for part, tail in zip(found, tails, strict=False):
        part.response_tail.offset, part.response_tail.data = tail.offset, tail.data
    tape.log(log_message([one]))
    for part in found:
        tape.tap(vm.seal([part]))
    correlator = Correlator(Limits())
    [exchange] = [c.item for entry in tape.entries for c in correlator.feed(entry) if isinstance(c.item, Exchange)]
    assert not correlator.open_exchanges
    assert correlator.open_bytes == 0
    assert exchange.tap is not None
    sound = [tail for tail in tails[: len(found)] if tail.end < 2**63 and tail.data]
    kept = max(sound, key=lambda tail: (tail.end, len(tail.data)))
    assert exchange.tap.response.data == LONG[:2] + kept.data[max(0, 2 - kept.offset) :]
    assert not repeated(correlator, tape)


def repeated(correlator: Correlator, tape: Tape) -> int:
    """Parts that the ledger calls repeated."""
    windows = [one.item for one in correlator.feed(tape.tick(1000)) if isinstance(one.item, LedgerWindow)]
    return sum(window.counts.get("repeated_parts", 0) for window in windows)
