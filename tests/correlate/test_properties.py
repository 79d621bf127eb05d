"""Any order, repeats and losses of what the witnesses tell; a crash at any entry under any checkpoint schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from envoy.service.accesslog.v3 import als_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Closed, Correlator, Limits
from collector.describe.identity import exchange_id
from collector.messages import tap_pb2
from collector.messages.completeness import INCOMPLETE
from collector.messages.completeness import Completeness as C
from collector.messages.entry import Entry
from collector.messages.exchange import Exchange, LedgerWindow
from tests.support.effort import examples
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

LIMITS = Limits()
HTTP11, HTTP2 = 2, 3
Message = tap_pb2.Batch | als_pb2.StreamAccessLogsMessage

bodies = st.lists(st.binary(min_size=1, max_size=6), max_size=4).map(tuple)


@dataclass
class Traffic:
    """Exchanges, and the messages in which two witnesses told them."""

    told: list[Told]
    batches: list[tap_pb2.Batch]
    logs: list[als_pb2.StreamAccessLogsMessage]


@st.composite
def traffic(draw: st.DrawFn, twins: bool = False) -> Traffic:
    addressed, protocol = draw(st.booleans()), draw(st.sampled_from([HTTP11, HTTP2]))
    told = [
        Told(
            number,
            request_id="same" if twins else f"r{draw(st.integers(0, 2))}",
            start_us=T0 if twins else T0 + number,
            path=f"/{number}",
            addressed=addressed,
            downstream=f"10.0.0.9:{40_000 + number}" if protocol == HTTP11 else "10.0.0.9:40000",
            request=draw(st.binary(max_size=5)),
            response=draw(bodies),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    vms = [Vm(f"vm{n}") for n in range(draw(st.integers(1, 2)))]
    batches = []
    waiting: list[list[tap_pb2.Part]] = [[] for _ in vms]
    streams = [(n % len(vms), parts(t, draw(st.integers(1, 2)))) for n, t in enumerate(told)]
    while any(left for _, left in streams):
        vm, left = draw(st.sampled_from([s for s in streams if s[1]]))
        waiting[vm].append(left.pop(0))
        if draw(st.booleans()):
            batches.append(vms[vm].seal(waiting[vm]))
            waiting[vm] = []
    batches += [vms[n].seal(left) for n, left in enumerate(waiting) if left]
    cut = draw(st.integers(0, len(told)))
    logs = [log_message(some, protocol=protocol) for some in (told[:cut], told[cut:]) if some]
    return Traffic(told, batches, logs)


def played(messages: Sequence[Message], gaps: Sequence[float] = ()) -> Tape:
    """A journal of these messages in this order, with the given seconds before each, and time enough behind the last."""
    tape = Tape()
    for number, message in enumerate(messages):
        seconds = gaps[number] if number < len(gaps) else 0.01
        if isinstance(message, tap_pb2.Batch):
            tape.tap(message, seconds)
        else:
            tape.log(message, seconds)
    tape.tick(400)
    tape.tick(100)
    return tape


def fed(entries: Sequence[Entry], limits: Limits = LIMITS) -> list[Closed]:
    correlator = Correlator(limits)
    return [closed for entry in entries for closed in correlator.feed(entry)]


def last_revisions(closed: Sequence[Closed]) -> dict[str, Exchange]:
    found: dict[str, Exchange] = {}
    for one in closed:
        if isinstance(one.item, Exchange):
            identity = exchange_id(one.item.key)
            assert one.item.revision == (found[identity].revision + 1 if identity in found else 0)
            found[identity] = one.item
    return found


def sums(closed: Sequence[Closed]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in closed:
        if isinstance(one.item, LedgerWindow):
            total.update(one.item.counts)
            total.update({f"cured_{name}": sum(windows.values()) for name, windows in one.item.cured.items()})
    return total


def same_as_told(exchange: Exchange, told: Sequence[Told]) -> bool:
    """Whether the exchange says exactly what really passed, in all that it says is there.

    A stream without its path (lost) and an entry of its twin, whose own stream was lost, cannot be told apart: that it lacks something
    is said.
    """
    tap, log = exchange.tap, exchange.access_log
    if tap is not None and tap.request_headers is None:
        return bool(exchange.completeness & C.HEADERS_GAP)
    path = log.path if log is not None else None
    for one in told:
        if tap is not None and tap.stream == one.stream and path in (None, one.path):
            return tap.request.data in (one.request, b"") and _is_part(tap.response.data, one.response_body)
        if tap is None and path == one.path:
            return True
    return False


def _is_part(some: bytes, whole: bytes) -> bool:
    rest = iter(whole)
    return all(byte in rest for byte in some)


@given(st.data())
@settings(max_examples=examples(300))
def test_any_order_and_any_repeat_gives_the_same_complete_exchanges(data: st.DataObject) -> None:
    made = data.draw(traffic(twins=data.draw(st.booleans())))
    repeats = data.draw(st.lists(st.sampled_from(made.batches), max_size=3))
    order = data.draw(st.permutations([*made.batches, *made.logs, *repeats]))
    closed = fed(played(order).entries)
    found = last_revisions(closed)
    assert len(found) == len(made.told)
    by_stream = {t.stream: t for t in made.told}
    for exchange in found.values():
        assert exchange.revision == 0
        assert exchange.completeness == C.COMPLETE
        assert exchange.tap is not None
        assert exchange.access_log is not None
        told = by_stream[exchange.tap.stream]
        assert exchange.access_log.path == told.path
        assert exchange.tap.request.data == told.request
        assert exchange.tap.response.data == told.response_body
    counts = sums(closed)
    assert counts["announced"] == counts["received"] == counts["both"] == len(made.told)
    assert counts["missing"] == 0


@given(st.data())
@settings(max_examples=examples(300))
def test_whatever_is_lost_is_flagged_and_counted(data: st.DataObject) -> None:
    made = data.draw(traffic(twins=data.draw(st.booleans())))
    messages: list[Message] = [*made.batches, *made.logs]
    lost = data.draw(st.sets(st.sampled_from(range(len(messages)))))
    order = data.draw(st.permutations([m for n, m in enumerate(messages) if n not in lost]))
    closed = fed(played(order).entries)
    found = last_revisions(closed)
    for exchange in found.values():
        assert same_as_told(exchange, made.told)
        assert bool(exchange.completeness & C.COMPLETE) != bool(exchange.completeness & INCOMPLETE)
    if not lost:
        assert all(e.completeness == C.COMPLETE for e in found.values())
    counts = sums(closed)
    assert counts["announced"] == counts["received"] + counts["missing"]
    ended = sum(e.tap is not None and e.tap.ended for e in found.values())
    assert counts["received"] == ended
    complete = sum(bool(e.completeness & C.COMPLETE) for e in found.values())
    whole = _wholly_told(made, {id(m) for n, m in enumerate(messages) if n in lost})
    assert complete == whole


def _wholly_told(made: Traffic, lost: set[int]) -> int:
    """Exchanges of which nothing was lost."""
    streams_hurt = {(b.vm, p.stream) for b in made.batches if id(b) in lost for p in b.parts}
    vm_of = {p.stream: b.vm for b in made.batches for p in b.parts}
    logged = {e.request.path for m in made.logs if id(m) not in lost for e in m.http_logs.log_entry}
    return sum(t.path in logged and (vm_of[t.stream], t.stream) not in streams_hurt for t in made.told)


@given(st.data())
@settings(max_examples=examples(200))
def test_however_late_a_piece_comes_there_is_one_exchange_and_its_last_revision_has_all(data: st.DataObject) -> None:
    made = data.draw(traffic())
    order = data.draw(st.permutations([*made.batches, *made.logs]))
    gaps = data.draw(st.lists(st.sampled_from([0.01, 1.0, 8.0, 15.0]), min_size=len(order), max_size=len(order)))
    limits = LIMITS._replace(late_us=3_600_000_000)
    closed = fed(played(order, gaps).entries, limits)
    found = last_revisions(closed)
    assert len(found) == len(made.told)
    assert all(e.completeness == C.COMPLETE for e in found.values())
    counts = sums(closed)
    assert counts["announced"] == len(made.told)
    assert counts["received"] == len(made.told) - counts["missing"]
    assert counts["missing"] == counts["cured_missing"]
    assert counts["both"] + counts["tap_only"] + counts["access_log_only"] == len(made.told)
    assert counts["without_tap"] == counts["cured_without_tap"]
    assert counts["without_access_log"] == counts["cured_without_access_log"]


@given(st.data())
@settings(max_examples=examples(400))
def test_a_crash_at_any_entry_under_any_checkpoint_schedule_gives_the_same_output_once(data: st.DataObject) -> None:
    made = data.draw(traffic(twins=data.draw(st.booleans())))
    messages: list[Message] = [*made.batches, *made.logs]
    messages += data.draw(st.lists(st.sampled_from(messages), max_size=3))
    chance = Random(data.draw(st.integers(0, 2**32)))
    order = chance.sample(messages, len(messages))
    gaps = [chance.choice([0.01, 1.0, 8.0, 15.0, 130.0]) for _ in order]
    limits = LIMITS._replace(
        open_bytes=chance.choice([2_000, LIMITS.open_bytes]),
        late_bytes=chance.choice([0, 1_500, LIMITS.late_bytes]),
        closed_keys=chance.choice([2, LIMITS.closed_keys]),
    )
    entries = played(order, gaps).entries
    expected = fed(entries, limits)
    stored: list[Closed] = []
    checkpoint: tuple[int, bytes] | None = None
    while True:
        correlator = Correlator(limits)
        start = 0
        if checkpoint is not None:
            start, state = checkpoint
            correlator.restore(state)
        crash = chance.randint(start, len(entries))
        for entry in entries[start:]:
            out = correlator.feed(entry)
            fresh = [c for c in out if not stored or c.place > stored[-1].place]
            if entry.position > crash:
                stored += fresh[: chance.randint(0, len(fresh))]
                break
            stored += fresh
            if chance.random() < 0.4:
                checkpoint = (entry.position, correlator.state())
        else:
            break
    assert stored == expected
