"""Whatever numbers and texts come: no exception, a checkpoint that holds, and the same output with and without restarts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from envoy.service.accesslog.v3 import als_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Closed, Correlator, Limits, nodes, numbers
from collector.messages import tap_pb2
from collector.messages.entry import Entry, Kind
from collector.messages.exchange import Exchange, Fault, LedgerWindow
from collector.messages.headers import pack
from tests.support.effort import examples
from tests.support.witnesses import NODE, T0, Tape, Told, Vm, log_message, parts

LIMITS = Limits(idle_us=30_000_000)
EDGES = [0, 1, 2, 63, 64, 65, 2**31 - 1, 2**31, 2**32 - 1]
u32 = st.sampled_from(EDGES) | st.integers(0, 3)
u64 = st.sampled_from([*EDGES, 2**32, 2**44, 2**44 + 1, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]) | st.integers(0, 3)
i64 = st.sampled_from([-(2**63), -(2**31), -1, 0, 1, T0, T0 + 1, 253_402_300_800_000_000, 2**63 - 1])
i32 = st.sampled_from([-(2**31), -1, 0, 1, 5, 999_999_999, 2**31 - 1])
texts = st.sampled_from(["", "a", "é" * 50, "/v1/x", "x" * 2000])
blobs = st.sampled_from([b"", b"a", b"\xff\xfe", pack([(":path", "/v1/x"), (":method", "POST")]), pack([(":status", "9" * 26)])])


@st.composite
def hostile_parts(draw: st.DrawFn) -> tap_pb2.Part:
    part = tap_pb2.Part(
        stream=draw(u32),
        request_id=draw(st.sampled_from([b"", b"r", b"\xff" * 2000])),
        start_us=draw(i64),
        downstream=draw(texts),
        index=draw(u32),
        level=draw(i32),
        rule=draw(texts),
    )
    for name in ("request_headers", "request_trailers", "response_headers", "response_trailers"):
        if draw(st.booleans()):
            getattr(part, name).map = draw(blobs)
            getattr(part, name).at_us = draw(u64)
    for _ in range(draw(st.integers(0, 3))):
        part.runs.add(
            direction=draw(i32),
            offset=draw(u64),
            data=draw(blobs),
            lengths=draw(st.lists(u32, max_size=3)),
            times_us=draw(st.lists(u64, max_size=3)),
        )
    if draw(st.booleans()):
        for field in tap_pb2.End.DESCRIPTOR.fields:
            kind = u64 if field.type == field.TYPE_UINT64 else u32 if field.type == field.TYPE_UINT32 else st.booleans()
            setattr(part.end, field.name, draw(kind))
    return part


@st.composite
def hostile_batches(draw: st.DrawFn) -> tap_pb2.Batch:
    batch = tap_pb2.Batch(vm=draw(st.sampled_from(["a", "b"])), sequence=draw(u64), parts=draw(st.lists(hostile_parts(), max_size=4)))
    batch.node.id = draw(st.sampled_from([NODE, "", "n" * 5000]))
    batch.node.labels.update(draw(st.dictionaries(texts, texts, max_size=3)))
    batch.totals.ends, batch.totals.ends_sealed = draw(u64), draw(u64)
    for drops in (batch.totals.drops, batch.totals.abandoned):
        for _ in range(draw(st.integers(0, 3))):
            drops.add(reason=draw(i32), ends=draw(u64), fragments=draw(u64), bytes=draw(u64))
    return batch


@st.composite
def hostile_logs(draw: st.DrawFn) -> als_pb2.StreamAccessLogsMessage:
    message = log_message([], node=draw(st.sampled_from([NODE, None])))
    for _ in range(draw(st.integers(0, 3))):
        entry = message.http_logs.log_entry.add()
        common = entry.common_properties
        common.start_time.seconds = draw(i64 | st.just(T0 // 1_000_000))
        common.start_time.nanos = draw(i32)
        for span in (common.duration, common.time_to_first_upstream_rx_byte, common.time_to_last_downstream_tx_byte):
            if draw(st.booleans()):
                span.seconds, span.nanos = draw(i64), draw(i32)
        common.upstream_request_attempt_count = draw(u32)
        entry.protocol_version, entry.request.request_method = draw(i32), draw(i32)
        entry.request.request_id, entry.request.path = draw(st.sampled_from(["", "r"])), draw(texts)
        entry.request.request_body_bytes, entry.response.response_body_bytes = draw(u64), draw(u64)
        entry.response.response_code.value = draw(u32)
        entry.request.request_headers.update(draw(st.dictionaries(texts, texts, max_size=3)))
    return message


payloads = (
    hostile_batches().map(lambda b: (Kind.TAP, b.SerializeToString()))
    | hostile_logs().map(lambda m: (Kind.ACCESS_LOG, m.SerializeToString()))
    | st.tuples(st.sampled_from([Kind.TAP, Kind.ACCESS_LOG, Kind.REFUSED, Kind.AWAY]), st.binary(max_size=20))
    | st.sampled_from([Kind.REFUSED, Kind.AWAY]).map(lambda k: (k, b'{"reason":5,"from_us":-1,"to_us":9e99,"entries":1e400}'))
    | st.just((Kind.TICK, b""))
)


def replayed(entries: list[Entry], restarts: bool) -> list[Closed]:
    correlator, found = Correlator(LIMITS), []
    for entry in entries:
        found += correlator.feed(entry)
        state = correlator.state()
        if restarts:
            correlator = Correlator(LIMITS)
            correlator.restore(state)
    return found


def numbers_in(told: Any) -> list[int]:
    if isinstance(told, bool):
        return []
    if isinstance(told, int):
        return [told]
    if isinstance(told, dict):
        return [n for k, v in told.items() for n in [*numbers_in(k), *numbers_in(v)]]
    return [n for one in told for n in numbers_in(one)] if isinstance(told, list | tuple) else []


@pytest.mark.slow
@given(st.lists(st.tuples(payloads, st.sampled_from([0.01, 1.0, 15.0, 70.0])), max_size=8))
@settings(max_examples=examples(400))
def test_nothing_that_comes_ends_it_and_a_checkpoint_always_holds(messages: list[tuple[tuple[Kind, bytes], float]]) -> None:
    tape = Tape()
    for (kind, payload), seconds in messages:
        tape.add(kind, NODE, payload, seconds)
    tape.tick(100)
    tape.tick(100)
    found = replayed(tape.entries, restarts=False)
    assert found == replayed(tape.entries, restarts=True)
    for place, item in found:
        assert not isinstance(item, Fault), (place, item)
        assert all(-(2**63) <= number < 2**64 for number in numbers_in(msgspec.to_builtins(item, builtin_types=(bytes,))))
        if isinstance(item, Exchange):
            assert numbers.EPOCH_US <= item.key.start_us <= tape.now + numbers.AHEAD_US
            assert item.tap is None or item.tap.code == 0 or 100 <= item.tap.code <= 999
            assert item.access_log is None or item.access_log.status == 0 or 100 <= item.access_log.status <= 999
            times = [item.tap.end_us] if item.tap is not None else []
            times += [item.access_log.duration_us, item.access_log.last_byte_us] if item.access_log is not None else []
            assert all(time is None or 0 <= time <= numbers.CENTURY_US for time in times)
        elif item.away_us is None:
            assert all(number >= 0 for number in numbers_in(msgspec.to_builtins(item)))


def one_exchange(tape: Tape) -> Exchange:
    correlator = Correlator(LIMITS)
    [exchange] = [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]
    return exchange


def test_a_start_that_cannot_be_is_the_arrival_and_both_witnesses_still_join() -> None:
    for start in (-(2**63), 0, 253_402_300_800_000_000, T0 + 3 * numbers.DAY_US, T0 - 31 * numbers.DAY_US):
        tape, told = Tape(), Told(1, start_us=start)
        first = tape.tap(Vm().seal(parts(told)))
        tape.log(log_message([told]), 5)
        exchange = one_exchange(tape)
        assert exchange.tap is not None
        assert exchange.access_log is not None
        assert exchange.key.start_us == first.received_at
        assert exchange.problems == [numbers.START_UNKNOWN]
        assert exchange.start_told == start


def test_a_start_within_a_day_ahead_and_thirty_days_back_stands() -> None:
    for start in (T0 + numbers.DAY_US, T0 - 29 * numbers.DAY_US):
        tape, told = Tape(), Told(1, start_us=start)
        tape.tap(Vm().seal(parts(told)))
        tape.log(log_message([told]))
        exchange = one_exchange(tape)
        assert (exchange.key.start_us, exchange.problems, exchange.start_told) == (start, [], None)


def test_a_collector_whose_clock_shows_1970_keeps_the_starts_that_it_is_told() -> None:
    tape, told = Tape(now=1_000_000), Told(1)
    tape.tap(Vm().seal(parts(told)))
    tape.log(log_message([told]))
    exchange = one_exchange(tape)
    assert (exchange.key.start_us, exchange.start_told) == (T0, None)


def test_a_revision_keeps_the_start_of_the_exchange_whose_told_one_was_none() -> None:
    tape, told = Tape(), Told(1, start_us=T0 + 3 * numbers.DAY_US)
    tape.tap(Vm().seal(parts(told)))
    tape.tick(11)
    tape.log(log_message([told]))
    correlator = Correlator(LIMITS)
    first, second = [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]
    assert first.key == second.key
    assert first.start_told == second.start_told == told.start_us


def test_two_impossible_starts_are_two_exchanges() -> None:
    tape = Tape()
    tape.tap(Vm().seal([*parts(Told(1, start_us=-5)), *parts(Told(2, start_us=-6))]))
    tape.tick(11)
    correlator = Correlator(LIMITS)
    keys = {c.item.key for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)}
    assert len(keys) == 2


def test_what_cannot_be_is_unknown_with_a_problem() -> None:
    tape, told = Tape(), Told(1)
    [part] = parts(told)
    part.ClearField("response_headers")
    part.end.response_code, part.end.at_us, part.end.response_size = 10_000, 2**64 - 1, 2**64 - 1
    part.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=2**64 - 1, data=b"x", lengths=[1], times_us=[0])
    tape.tap(Vm().seal([part]))
    message = log_message([told])
    entry = message.http_logs.log_entry[0]
    entry.response.response_code.value = 99
    entry.common_properties.duration.seconds = -1
    entry.request.request_headers.update({str(n): "x" for n in range(30)})
    tape.log(message)
    tape.tick(11)
    exchange = one_exchange(tape)
    assert exchange.tap is not None
    assert (exchange.tap.code, exchange.tap.end_us) == (0, None)
    assert exchange.access_log is not None
    assert (exchange.access_log.status, exchange.access_log.duration_us) == (0, None)
    assert list(exchange.access_log.request_headers) == sorted(exchange.access_log.request_headers)
    assert set(exchange.problems) == {
        numbers.OFFSET_REFUSED,
        numbers.SIZE_UNKNOWN,
        numbers.STATUS_UNKNOWN,
        numbers.DURATION_UNKNOWN,
    }


def test_labels_beyond_their_bounds_are_left_out_and_counted_once() -> None:
    tape, vm = Tape(), Vm()
    for number in range(2):
        batch = vm.seal(parts(Told(number, start_us=T0 + number)))
        batch.node.labels.update({f"l{n:04}": "x" * 100 for n in range(500)})
        tape.tap(batch)
    tape.tick(100)
    found = replayed(tape.entries, restarts=True)
    [node] = {e.item.node.id: e.item.node for e in found if isinstance(e.item, Exchange)}.values()
    assert len(node.labels) == nodes.LABELS_KEPT
    cut = sum(c.item.counts.get("labels_cut", 0) for c in found if isinstance(c.item, LedgerWindow))
    assert cut == 500 + 3 - nodes.LABELS_KEPT


def test_what_cannot_be_read_is_counted_under_who_sent_it() -> None:
    tape = Tape()
    tape.add(Kind.TAP, "n", b"\xff", sender="s")
    tape.add(Kind.ACCESS_LOG, "n", b"\xff", sender="s")
    tape.add(Kind.REFUSED, "n", b"\xff", sender="s")
    tape.tick(100)
    [window] = [c.item for c in replayed(tape.entries, restarts=False) if isinstance(c.item, LedgerWindow)]
    assert (window.node.id, window.node.sender) == ("n", "s")
    assert window.malformed == {"unreadable_batch": 1, "unreadable_log": 1, "unreadable_refusal": 1}


def test_a_tap_that_says_less_than_the_access_log_changes_nothing_also_after_a_restart() -> None:
    """What is known of a proxy does not depend on whether the tap's last node was seen since the start."""
    tape = Tape()
    poor = tap_pb2.Batch(vm="a", sequence=1)
    poor.node.id = NODE
    tape.add(Kind.TAP, NODE, poor.SerializeToString(), 0.01)
    rich = als_pb2.StreamAccessLogsMessage()
    rich.identifier.node.id = NODE
    rich.identifier.node.metadata.fields["LABELS"].struct_value.fields["app"].string_value = "iris"
    tape.add(Kind.ACCESS_LOG, NODE, rich.SerializeToString(), 0.01)
    poor.sequence = 2
    tape.add(Kind.TAP, NODE, poor.SerializeToString(), 0.01)
    tape.tick(100)
    assert replayed(tape.entries, restarts=False) == replayed(tape.entries, restarts=True)
