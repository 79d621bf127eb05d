"""When the collector was away: noticed, told to the journal, and shown by the ledger."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from collector.correlate import Correlator, Limits
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.errors import JournalFullError
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages import tap_pb2
from collector.messages.entry import Away, Entry, Kind
from collector.messages.exchange import LedgerWindow
from collector.roles.away import HUNG, KILLED, STILL_US, STOPPED, Presence, Watch
from collector.settings import Journal as JournalSettings
from tests.support.clocks import TurnedClock
from tests.support.posts import post

SECOND = 1_000_000
PATIENCE = 60.0
FROZEN_SECONDS = 4.0
SIGNED = timedelta(microseconds=STILL_US)  # the last sign of life before is not older, or it is a standstill of its own


class Told:
    """A journal that keeps what it is told, and refuses as often as it should."""

    def __init__(self, refuses: int = 0) -> None:
        self.away: list[Away] = []
        self._refuses = refuses

    async def append(self, kind: Kind, source: str, payload: bytes, message: Any = None, **more: str) -> int:
        assert (kind, source) == (Kind.AWAY, "collector")
        if self._refuses:
            self._refuses -= 1
            raise JournalFullError("full")
        self.away.append(msgspec.json.decode(payload, type=Away))
        return len(self.away)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_loop_that_stood_still_is_noticed_and_one_that_is_busy_is_not() -> None:
    clock, journal = TurnedClock(), Told()
    start = clock.now
    watch = Watch(journal, clock)
    for seconds in (0.5, 2.4, 7.0, 0.5):
        clock.now += round(seconds * SECOND)
        watch.look()
        await settled()
    assert journal.away == [Away(start + 2_900_000, start + 9_900_000, HUNG)]


async def test_a_clock_that_is_set_is_no_standstill() -> None:
    clock, journal = TurnedClock(), Told()
    watch = Watch(journal, clock)
    for by in (3600 * SECOND, -86_400 * SECOND):
        clock.step(by)
        watch.look()
        await settled()
    assert journal.away == []


@pytest.mark.parametrize("by", [-86_400 * SECOND, 86_400 * SECOND])
async def test_a_standstill_in_which_the_clock_is_set_is_as_long_as_it_was(by: int) -> None:
    clock, journal = TurnedClock(), Told()
    watch, start = Watch(journal, clock), clock.now
    clock.now += 7 * SECOND
    clock.step(by)
    watch.look()
    await settled()
    assert journal.away == [Away(start, start + 7 * SECOND, HUNG)]


async def test_what_a_full_journal_does_not_take_is_told_later_as_one_span() -> None:
    clock, journal = TurnedClock(), Told(refuses=2)
    start = clock.now
    watch = Watch(journal, clock)
    for seconds in (5.0, 5.0, 0.5, 0.5):
        clock.now += round(seconds * SECOND)
        watch.look()
        await settled()
    assert journal.away == [Away(start, start + 10 * SECOND, HUNG)]


class Life:
    """The presence on a real journal, over several processes' lives."""

    def __init__(self, folder: Path) -> None:
        self._settings, self.clock = JournalSettings(path=folder / "journal.db"), TurnedClock()

    async def begins(self) -> tuple[SqliteJournal, Presence]:
        journal = await open_journal(self._settings, self.clock, 1 << 20)
        presence = Presence(journal, self.clock, self._settings.path)
        await presence.start()
        return journal, presence

    async def ends(self, journal: SqliteJournal, presence: Presence, *, orderly: bool) -> None:
        if orderly:
            presence.leave()
        await presence.stop()
        await journal.close()


async def away(journal: SqliteJournal) -> list[Away]:
    entries = await journal.read(0, 1 << 20) if journal.last_position else ()
    return [msgspec.json.decode(entry.payload, type=Away) for entry in entries if entry.kind == Kind.AWAY]


async def test_a_first_start_was_never_away(tmp_path: Path) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    assert journal.last_position == 0
    await life.ends(journal, presence, orderly=True)


@pytest.mark.parametrize(("orderly", "reason"), [(True, STOPPED), (False, KILLED)])
async def test_a_restart_tells_from_when_to_when_nobody_listened(tmp_path: Path, orderly: bool, reason: str) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    life.clock.now += SECOND  # the sign of life is so old
    left = life.clock.now
    await journal.append(Kind.TICK, "", b"")
    await life.ends(journal, presence, orderly=orderly)
    life.clock.now += 30 * SECOND
    journal, presence = await life.begins()
    assert await away(journal) == [Away(left, left + 30 * SECOND, reason)]
    await life.ends(journal, presence, orderly=True)


async def test_what_the_journal_took_while_it_stopped_does_not_make_the_absence_shorter(tmp_path: Path) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    left = life.clock.now
    presence.leave()
    life.clock.now += 5 * SECOND
    await journal.append(Kind.TICK, "", b"")
    await life.ends(journal, presence, orderly=False)
    journal, presence = await life.begins()
    assert await away(journal) == [Away(left, left + 5 * SECOND, STOPPED)]
    await life.ends(journal, presence, orderly=True)


@pytest.mark.parametrize("orderly", [True, False])
@pytest.mark.parametrize("by", [-86_400 * SECOND, 86_400 * SECOND])
async def test_an_absence_in_which_the_clock_is_set_is_as_long_as_it_was(
    tmp_path: Path, by: int, orderly: bool, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    await journal.append(Kind.TICK, "", b"")
    await life.ends(journal, presence, orderly=orderly)
    life.clock.now += 30 * SECOND
    life.clock.step(by)
    now = life.clock.now
    journal, presence = await life.begins()
    assert await away(journal) == [Away(now - 30 * SECOND, now, STOPPED if orderly else KILLED)]
    assert "the clock was set" in caplog.text
    await life.ends(journal, presence, orderly=True)


async def test_after_a_start_of_the_machine_a_clock_that_went_back_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    await journal.append(Kind.TICK, "", b"")
    await life.ends(journal, presence, orderly=True)
    life.clock.step(-3600 * SECOND)
    monkeypatch.setattr("collector.roles.away.boot", lambda: "another")
    journal, presence = await life.begins()
    assert await away(journal) == [Away(life.clock.now, life.clock.now, STOPPED, clock_suspect=True)]
    await life.ends(journal, presence, orderly=True)


@pytest.mark.parametrize("sign", ["", "nonsense", "running x", "stopped ²"])
async def test_without_a_sign_of_life_the_newest_entry_is_one(tmp_path: Path, sign: str) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    taken = life.clock.now
    await journal.append(Kind.TICK, "", b"")
    await life.ends(journal, presence, orderly=True)
    (tmp_path / "journal.db.alive").write_text(sign)
    life.clock.now += SECOND
    journal, presence = await life.begins()
    assert await away(journal) == [Away(taken, taken + SECOND, KILLED)]
    await life.ends(journal, presence, orderly=True)


def test_the_correlator_makes_a_window_of_it_and_counts_what_it_cannot_read() -> None:
    payloads = (msgspec.json.encode(Away(5, 9, HUNG)), b"{}", b"\xff")
    correlator = Correlator(Limits())
    entries = [Entry(n, Kind.AWAY, "collector", n, payload) for n, payload in enumerate(payloads, 1)]
    entries.append(Entry(4, Kind.TICK, "", 600 * SECOND, b""))
    windows = [one.item for entry in entries for one in correlator.feed(entry) if isinstance(one.item, LedgerWindow)]
    away = [(w.start_us, w.window_us, w.away_us, w.away_reason) for w in windows if w.away_us]
    assert away == [(5, 4, (5, 9), HUNG)]
    assert sum(sum(window.malformed.values()) for window in windows) == 2


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    with Ports() as ports:
        settings = {"MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1"}
        running = CollectorProcess(ports.take(), ports.take(), ports.take(), tmp_path, settings)
        running.start()
        _post(running)
        yield running
        running.process.stop()


def _post(collector: CollectorProcess) -> None:
    part = tap_pb2.Part(stream=1, request_id=b"r", start_us=1, level=tap_pb2.REQUEST_RESPONSE, end=tap_pb2.End(at_us=1, response_code=200))
    totals = tap_pb2.Totals(streams=1, ends=1, ends_sealed=1)
    post(collector.ingest_port, tap_pb2.Batch(node=tap_pb2.Node(id="a"), vm="feed", sequence=1, totals=totals, parts=[part]))


def _absence(collector: CollectorProcess, reason: str, since: datetime) -> tuple[datetime, datetime]:
    """From when to when, of the first told with this reason and an end after `since`: a busy machine may make others."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = httpx.get(f"{collector.url}/v1/ledger", trust_env=False, timeout=30).json()["totals"]
        assert found["gaps"] >= found["times_away"] >= len(found["away"])
        for one in found["away"]:
            begun, over = datetime.fromisoformat(one["from"]), datetime.fromisoformat(one["to"])
            if one["reason"] == reason and over > since:
                return begun, over
        time.sleep(0.1)
    raise AssertionError(f"the ledger never told of an absence of this kind ({reason}): {found}")


def _end(collector: CollectorProcess) -> None:
    collector.process.stop()
    collector.start()


def _kill(collector: CollectorProcess) -> None:
    collector.process.kill()
    collector.start()


def _freeze(collector: CollectorProcess) -> None:
    collector.process.send(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)  # the standstill itself
    collector.process.send(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize(("away_by", "reason"), [(_end, STOPPED), (_kill, KILLED), (_freeze, HUNG)])
def test_a_collector_that_was_away_says_so(collector: CollectorProcess, away_by: Callable[[CollectorProcess], None], reason: str) -> None:
    before = datetime.now(UTC)
    away_by(collector)
    begun, over = _absence(collector, reason, before)
    assert before - SIGNED < begun < over < datetime.now(UTC)
    if away_by is _freeze:
        assert over - begun > timedelta(seconds=0.9 * FROZEN_SECONDS)
    metrics = httpx.get(f"{collector.url}/metrics", trust_env=False, timeout=30).text
    assert f'meshscribe_ledger_away_seconds_total{{reason="{reason}"}}' in metrics


async def test_a_journal_that_is_shorter_than_its_last_sign_of_life_is_told(tmp_path: Path) -> None:
    clock, path = TurnedClock(), tmp_path / "journal.db"
    for lost in (False, True):
        journal = await open_journal(JournalSettings(path=path), clock, 1 << 20)
        presence = Presence(journal, clock, path)
        await presence.start()
        kinds = [entry.kind for entry in await journal.read(0, 1 << 20)] if journal.last_position else []
        assert (Kind.INCIDENT in kinds) == lost
        for _ in range(5):
            await journal.append(Kind.TICK, "", b"")
        presence.leave()
        await presence.stop()
        await journal.close()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM entries WHERE position > 3")


async def test_a_journal_that_lost_only_what_came_since_the_last_look_is_told_too(tmp_path: Path) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    for _ in range(5):
        await journal.append(Kind.TICK, "", b"")
    await life.ends(journal, presence, orderly=False)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM entries WHERE position > 4")
    journal, presence = await life.begins()
    assert Kind.INCIDENT in [entry.kind for entry in await journal.read(4, 1 << 20)]
    await life.ends(journal, presence, orderly=True)


async def test_what_is_appended_after_the_sign_was_closed_writes_to_no_file(tmp_path: Path) -> None:
    life = Life(tmp_path)
    journal, presence = await life.begins()
    await presence.stop()
    with (tmp_path / "other").open("w+b") as other:
        assert other.fileno() >= 0
        await journal.append(Kind.TICK, "", b"")
        assert (tmp_path / "other").stat().st_size == 0
    await journal.close()


@pytest.mark.parametrize("machine", ["same", "another"])
async def test_one_that_was_killed_and_whose_journal_lost_its_end_is_told_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr("collector.roles.away.boot", lambda: "same")
    life = Life(tmp_path)
    journal, presence = await life.begins()
    for _ in range(5):
        await journal.append(Kind.TICK, "", b"")
    presence._sign("running")
    signed = life.clock.now
    await life.ends(journal, presence, orderly=False)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM entries WHERE position > 3")
    life.clock.now += 30 * SECOND
    monkeypatch.setattr("collector.roles.away.boot", lambda: machine)
    journal, presence = await life.begins()
    assert [entry.kind for entry in await journal.read(3, 1 << 20)] == [Kind.INCIDENT, Kind.AWAY]
    assert await away(journal) == [Away(signed, signed + 30 * SECOND, KILLED)]
    await life.ends(journal, presence, orderly=True)


async def test_a_full_journal_that_lost_its_end_starts_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, path = TurnedClock(), tmp_path / "journal.db"
    settings = JournalSettings(path=path, quota_bytes=1 << 20, keep_bytes=0)
    for lost in (False, True):
        journal = await open_journal(settings, clock, 4 << 20)
        presence = Presence(journal, clock, path)
        await presence.start()
        if not lost:
            await journal.append(Kind.TAP, "", b"x" * (1 << 20))
            await journal.append(Kind.TICK, "", b"")
        presence.leave()
        await presence.stop()
        await journal.close()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM entries WHERE position > 1")
    assert "does not know that the journal lost its end" in caplog.text
