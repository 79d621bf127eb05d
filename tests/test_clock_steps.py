"""A clock that is set: noticed, counted and said; and what it did to received time is in the journal, so that a replay gives the same."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collector.clock_steps import Steps
from collector.complaints import Complaints
from collector.correlate import Correlator, Limits
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.entry import Entry, Kind
from collector.settings import Journal as JournalSettings
from tests.support.clocks import TurnedClock
from tests.support.effort import examples
from tests.support.witnesses import Told, Vm, log_message, parts

SECOND, DAY = 1_000_000, 86_400_000_000
LIMITS = Limits(linger_us=10 * SECOND, idle_us=30 * SECOND, ledger_us=60 * SECOND)


@pytest.mark.parametrize(("by", "direction"), [(DAY, "ahead"), (-DAY, "back"), (1_500_000, "ahead"), (-1_500_000, "back")])
def test_a_step_is_counted_and_said(by: int, direction: str, caplog: pytest.LogCaptureFixture) -> None:
    clock, counted = TurnedClock(), list[str]()
    steps = Steps(clock, counted.append)
    for passes in (500_000, 90 * SECOND):  # however long the process stood still
        clock.now += passes
        steps.look()
    assert (counted, steps.told(), caplog.text) == ([], "", "")
    clock.step(by)
    steps.look()
    clock.now += 12 * SECOND
    steps.look()
    assert counted == [direction]
    assert steps.told() == f"the clock was set {direction} by {abs(by) / 1e6:.1f} s 12 s ago"
    assert steps.told(5 * SECOND).endswith("; received time is 5.0 s ahead of the clock and goes on at half pace")
    assert f"the clock was set {direction}" in caplog.text


def test_a_clock_that_is_set_all_the_time_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock, counted = TurnedClock(), list[str]()
    steps = Steps(clock, counted.append)
    for number in range(100):
        clock.now += 500_000
        clock.step(DAY if number % 2 else -DAY)
        steps.look()
    assert len(counted) == 100
    assert len(caplog.records) == 2


def test_complaints_come_once_a_minute_whatever_the_clock_says(caplog: pytest.LogCaptureFixture) -> None:
    clock = TurnedClock()
    complaints = Complaints(logging.getLogger("meshscribe.test"), clock)
    for by in (0, DAY, -2 * DAY, DAY):
        clock.step(by)
        complaints.tell("kind", "it failed")
    assert len(caplog.records) == 1
    clock.step(-DAY)
    clock.now += 60 * SECOND
    complaints.tell("kind", "it failed")
    assert len(caplog.records) == 2


HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 100 * SECOND)),
        st.tuples(st.just("step"), st.integers(-2 * DAY, 2 * DAY) | st.sampled_from([-SECOND, SECOND, -DAY, DAY])),
        st.tuples(st.sampled_from(["tap", "log"]), st.integers(0, 9)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=30,
)


async def live(journal: SqliteJournal, path: Path, clock: TurnedClock, history: list[tuple[str, int]]) -> list[Entry]:
    """What the journal holds after this."""
    vm, settings = Vm(), JournalSettings(path=path)
    for what, value in history:
        told = Told(value, request_id=f"r{value}")
        match what:
            case "pass":
                clock.now += value
                await journal.append(Kind.TICK, "", b"")
            case "step":
                clock.step(value)
            case "tap":
                await journal.append(Kind.TAP, "", vm.seal(parts(told)).SerializeToString())
            case "log":
                await journal.append(Kind.ACCESS_LOG, "", log_message([told]).SerializeToString())
            case _:
                await journal.close()
                journal = await open_journal(settings, clock, 1 << 20)
    await journal.append(Kind.TICK, "", b"")
    entries: list[Entry] = []
    while len(entries) < journal.last_position:
        entries += await journal.read(len(entries), 1 << 20)
    await journal.close()
    return entries


async def replayed(path: Path, history: list[tuple[str, int]]) -> None:
    clock = TurnedClock()
    entries = await live(await open_journal(JournalSettings(path=path), clock, 1 << 20), path, clock, history)
    times = [entry.received_at for entry in entries]
    assert times == sorted(times)
    one, other = Correlator(LIMITS), Correlator(LIMITS)
    for number, entry in enumerate(entries):
        assert msgspec.json.encode(one.feed(entry)) == msgspec.json.encode(other.feed(entry))
        if number % 3 == 0:
            state, other = other.state(), Correlator(LIMITS)
            other.restore(state)
        oldest = next(iter(one._openings.all.values()), None)
        assert oldest is None or entry.received_at - oldest.heard_at < LIMITS.idle_us


@given(HISTORY)
@hypothesis_settings(max_examples=examples(30))
def test_any_history_is_replayed_as_it_was(history: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(replayed(Path(folder) / "journal.db", history))


async def test_what_is_incomplete_closes_within_twice_the_linger_after_a_step_back(tmp_path: Path) -> None:
    clock, correlator = TurnedClock(), Correlator(LIMITS)
    journal = await open_journal(JournalSettings(path=tmp_path / "journal.db"), clock, 1 << 20)
    await journal.append(Kind.TICK, "", b"")
    clock.step(-DAY)
    await journal.append(Kind.TAP, "", Vm().seal(parts(Told(1))).SerializeToString())
    closed = list[object]()
    for _ in range(2 * LIMITS.linger_us // SECOND):
        clock.now += SECOND
        await journal.append(Kind.TICK, "", b"")
    for entry in await journal.read(0, 1 << 20):
        closed += correlator.feed(entry)
    assert closed
    assert correlator.open_exchanges == 0
    await journal.close()
