"""The time of a partition that several writers append to, each by its own clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits
from collector.correlate.received import HOLD_US, LEAP_US, Received
from collector.messages.entry import Entry, Kind
from collector.messages.exchange import Exchange
from tests.support.witnesses import T0, Told, Vm, log_message, parts

SECOND, DAY = 1_000_000, 86_400_000_000


class Partition:
    """Its entries; `clocks` says by how much each writer's clock is ahead, `mono` what its monotonic clock showed at the start."""

    def __init__(self, **clocks: int) -> None:
        self.clocks, self.true, self.position = clocks, T0, 0
        self.numbers = {name: number for number, name in enumerate(clocks, 1)}

    def entry(self, writer: str, kind: Kind = Kind.TICK, payload: bytes = b"") -> Entry:
        self.position += 1
        number = self.numbers[writer]
        return Entry(self.position, kind, "", self.true + self.clocks[writer], payload, None, "", number, self.true - T0 + 1000 * number)


def test_one_writer_a_day_ahead_moves_nothing_beside_one_that_is_on_time() -> None:
    part, time = Partition(right=0, wrong=DAY), Received()
    for _ in range(1000):
        part.true += SECOND // 10
        assert time.at(part.entry("right")) == part.true
        assert time.at(part.entry("wrong")) <= part.true + SECOND


def test_what_a_writer_alone_says_is_followed_and_when_it_is_gone_time_goes_on_at_half_pace() -> None:
    part, time = Partition(right=0, wrong=DAY), Received()
    time.at(part.entry("right"))
    for _ in range(HOLD_US // SECOND + 1):
        part.true += SECOND
        now = time.at(part.entry("wrong"))
    assert now == part.true + DAY
    time.at(part.entry("right"))
    for _ in range(100):
        part.true += SECOND
        later = time.at(part.entry("right"))
        assert later == now + SECOND // 2
        now = later


def test_a_quiet_hour_is_believed_at_once() -> None:
    part, time = Partition(one=0, other=5000), Received()
    time.at(part.entry("one"))
    time.at(part.entry("other"))
    part.true += 3600 * SECOND
    assert time.at(part.entry("other")) == part.true + 5000


def test_two_new_writers_that_agree_are_believed_at_once() -> None:
    part, time = Partition(old=0, one=0, other=0), Received()
    time.at(part.entry("old"))
    part.true += 8 * 3600 * SECOND
    assert time.at(part.entry("one")) == T0
    assert time.at(part.entry("other")) == part.true


MOVES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20 * SECOND), st.none() | st.integers(-2 * DAY, 2 * DAY), st.booleans()), max_size=60
)


@given(MOVES)
def test_any_clocks(moves: list[tuple[str, int, int | None, bool]]) -> None:
    """Never back; a writer that goes on brings at least half of what passed for it; never ahead of all clocks."""
    part, correlator = Partition(a=0, b=0, c=0), Correlator(Limits())
    ahead, heard = 0, dict[str, tuple[int, int]]()
    for writer, passes, clock, restarts in moves:
        part.true += passes
        if clock is not None:
            part.clocks[writer] = clock
        ahead = max(ahead, part.clocks[writer])
        entry = part.entry(writer)
        if restarts:
            state, correlator = correlator.state(), Correlator(Limits())
            correlator.restore(state)
        before = correlator.received.now
        correlator.feed(entry)
        assert before <= correlator.received.now <= part.true + ahead
        true, then = heard.get(writer, (part.true, 0))
        assert correlator.received.now >= then + (part.true - true) // 2
        heard[writer] = part.true, correlator.received.now


@given(MOVES)
def test_the_time_is_the_same_from_any_checkpoint(moves: list[tuple[str, int, int | None, bool]]) -> None:
    part, entries = Partition(a=0, b=LEAP_US * 2, c=-DAY), []
    for writer, passes, clock, _ in moves:
        part.true += passes
        part.clocks[writer] = clock if clock is not None else part.clocks[writer]
        entries.append(part.entry(writer))
    whole, cut = Correlator(Limits()), Correlator(Limits())
    for entry, (*_, restarts) in zip(entries, moves, strict=True):
        whole.feed(entry)
        cut.feed(entry)
        if restarts:
            state, cut = cut.state(), Correlator(Limits())
            cut.restore(state)
        assert whole.received.now == cut.received.now
    assert whole.state() == cut.state()


def test_what_is_incomplete_closes_within_twice_the_linger_after_a_writer_that_was_ahead_is_gone() -> None:
    limits = Limits(linger_us=10 * SECOND)
    part, correlator = Partition(wrong=DAY, right=0), Correlator(limits)
    correlator.feed(part.entry("wrong"))
    logged, tapped = log_message([Told(1)]), Vm().seal(parts(Told(2, request_id="another")))
    for kind, message in ((Kind.ACCESS_LOG, logged), (Kind.TAP, tapped)):
        correlator.feed(part.entry("right", kind, message.SerializeToString()))
    closed = []
    for _ in range(40):
        part.true += SECOND // 2
        closed += [c.item for c in correlator.feed(part.entry("right")) if isinstance(c.item, Exchange)]
    assert len(closed) == 2
