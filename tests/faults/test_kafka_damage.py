"""Whatever is damaged in the raw topic's log on the broker, no record is silently wrong, what lies behind is stored, and it is named.

MESHSCRIBE_SOAK_DAMAGES sets how many the long form tries, MESHSCRIBE_SOAK_FIRST the first seed. One broker with one replica: others would
have what it lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from collector.demo.child import ChildError
from collector.demo.kafka_broker import KafkaBroker
from collector.upkeep.verify.topics import raw_partitions
from tests.faults.kafka_damage import MORE, STORED, WAITING, Damage, Raw
from tests.support.kafka import running_broker

SOAK_DAMAGES = int(os.environ.get("MESHSCRIBE_SOAK_DAMAGES", "300"))
FIRST = int(os.environ.get("MESHSCRIBE_SOAK_FIRST", "0"))
KINDS = ("flip", "zero block", "flip", "cut", "flip", "older")
AROUND = 16  # exchanges in a damaged block of 4 KiB and up to the next place that the broker's index names
SEND_SECONDS = 20.0  # to a broker that may take nothing any more
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Trial:
    """One partition with one damage, before and after."""

    def __init__(self, raw: Raw, kind: str, seed: int) -> None:
        self.raw, self.kind, self.chance, self.traffic = raw, kind, random.Random(seed), bool(seed % 2)
        self.damage = Damage(kind, "not yet", crash=False)

    @classmethod
    async def begun(cls, bootstrap: str, folder: Path, seed: int) -> Trial:
        raw = await Raw.made(bootstrap, folder / "kafka" / "data", folder / "kept")
        position = await raw.send(STORED)
        async with raw.owned() as owner:
            assert await raw.settled(owner, position) == ""
        raw.keep()
        await raw.send(WAITING)
        return cls(raw, KINDS[seed // 2 % len(KINDS)], seed)

    def damaged(self, crash: bool) -> None:
        self.damage = self.raw.damage(self.kind, self.chance, crash)

    async def run(self, log: pytest.LogCaptureFixture) -> str:
        """What came of it. Raises AssertionError."""
        came = await self._on(MORE if self.traffic else 0)
        found = await self.raw.found()
        if not self.traffic and not came and self.raw.acknowledged - found.served.keys() and not self._told(log, found.told):
            came = await self._on(1)  # of an end that the broker cut off, and that nobody had processed, the next batch tells
            found = await self.raw.found()
        assert not found.wrong, f"silently wrong: {found.wrong}"
        assert max(found.served.values(), default=1) == 1, f"twice: {found.served.most_common(3)}"
        lost = self.raw.acknowledged - found.served.keys()
        told = self._told(log, found.told) or bool(came)
        assert told or not lost, f"{len(lost)} are lost, and nobody says so"
        if any("is damaged behind" in record.getMessage() and self.raw.at.topic in record.getMessage() for record in log.records):
            (finding,) = await raw_partitions(self.raw.settings.kafka, lambda *_: None)
            assert "is damaged behind position" in finding.said, f"verify does not name the place: {finding}"
            assert not finding.ok
        if not came and self.damage.kind in ("flip", "zero block") and not self.damage.crash:
            assert len(lost) <= AROUND, f"lost beyond the damage: {sorted(lost)}"
        return "stopped, told" if came else "something lost, told" if lost else "nothing lost, told" if told else "nothing lost"

    async def _on(self, more: int) -> str:
        """Goes on. Returns what an operator is told of a partition that does not."""
        async with self.raw.owned() as owner:
            try:
                position = await asyncio.wait_for(self.raw.send(more), SEND_SECONDS) if more else 0
            except TimeoutError:
                return "its broker takes nothing"  # and proxies get 503 (test_outages.py)
            return await self.raw.settled(owner, position or await self._end())

    async def _end(self) -> int:
        """The last position that the broker has."""
        from collector.clock import SystemClock
        from collector.journal.kafka_reader import PartitionReader

        reader = PartitionReader(self.raw.settings.kafka, self.raw.at, SystemClock())
        try:
            return await reader.last()
        finally:
            await reader.close()

    def _told(self, log: pytest.LogCaptureFixture, told: list[str]) -> bool:
        return bool(told) or any(self.raw.at.topic in record.getMessage() for record in log.records if record.levelno >= logging.ERROR)


async def _begun(broker: KafkaBroker, folder: Path, seeds: range) -> list[Trial]:
    return await asyncio.gather(*(Trial.begun(broker.bootstrap, folder, seed) for seed in seeds))


async def _judged(trial: Trial, seed: int, log: pytest.LogCaptureFixture) -> str:
    try:
        return await trial.run(log)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {trial.damage}, traffic {trial.traffic}: {error!r}") from error


async def _ended(trials: list[Trial], seeds: range, log: pytest.LogCaptureFixture) -> list[str]:
    return await asyncio.gather(*(_judged(trial, seed, log) for trial, seed in zip(trials, seeds, strict=True)))


def damages(folder: Path, rounds: int, each: int, log: pytest.LogCaptureFixture, first: int = 0) -> Counter[tuple[str, bool, str]]:
    """So many brokers' restarts with so many damages each; every second one after a crash."""
    found: Counter[tuple[str, bool, str]] = Counter()
    (folder / "kept").mkdir()
    with running_broker(folder / "kafka") as broker:
        for number in range(rounds):
            seeds = range(first + number * each, first + (number + 1) * each)
            trials = asyncio.run(_begun(broker, folder, seeds))
            broker.kill() if number % 2 else broker.stop()
            for trial in trials:
                trial.damaged(crash=bool(number % 2))
            for topic in _healed(broker, {trial.raw.at.topic: trial.raw for trial in trials}):
                kind = next(trial.kind for trial in trials if trial.raw.at.topic == topic)
                found[kind, bool(number % 2), "its broker does not start"] += 1
            log.clear()
            for trial, came in zip(trials, asyncio.run(_ended(trials, seeds, log)), strict=True):
                found[trial.kind, trial.damage.crash, came] += 1
    return found


def _healed(broker: KafkaBroker, raws: dict[str, Raw]) -> list[str]:
    """Starts the broker. Topics whose damage keeps it from starting, which its own log says, are healed, as an operator has to."""
    stopped: list[str] = []
    while True:
        try:
            broker.start()
            return stopped
        except ChildError as error:
            blamed = re.findall(r"an error in one of the threads during logs loading.*/([^/\s]+)-0/\d", str(error))
            if not blamed or blamed[-1] not in raws or blamed[-1] in stopped:
                raise
            stopped.append(blamed[-1])
            raws[blamed[-1]].heal()


def test_no_damage_of_the_raw_topic_is_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = damages(tmp_path, 2, 6, caplog)
    assert found.total() >= 12
    assert sum(times for (_, _, came), times in found.items() if came.startswith("something lost")) > 0, found


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_no_damage_of_the_raw_topic_is_silent_in_the_long_form(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = damages(tmp_path, -(-SOAK_DAMAGES // 10), 10, caplog, first=FIRST)
    for (kind, crash, came), times in sorted(found.items()):
        print(f"{kind:10} {'crash' if crash else 'order':6} {came:22} {times}")


async def _half_kept(kafka: KafkaBroker, folder: Path) -> tuple[Raw, int]:
    """A topic, and its last position; there is a copy of its first half."""
    (folder / "kept").mkdir()
    raw = await Raw.made(kafka.bootstrap, kafka._folder / "data", folder / "kept")
    await raw.send(STORED // 2)
    raw.keep()
    return raw, await raw.send(STORED // 2)


def _lose_the_end(kafka: KafkaBroker, raw: Raw) -> None:
    kafka.stop()
    raw.damage("older", random.Random(1), crash=False)
    kafka.start()


async def test_a_log_that_lost_its_end_and_was_written_on_is_noticed(kafka: KafkaBroker, tmp_path: Path) -> None:
    """The end is behind what was stored again, so only the entry there tells that what came since would be taken for stored."""
    raw, position = await _half_kept(kafka, tmp_path)
    async with raw.owned() as owner:
        assert await raw.settled(owner, position) == ""
    _lose_the_end(kafka, raw)
    position = await raw.send(STORED)
    async with raw.owned() as owner:
        told = await raw.settled(owner, position)
    assert "is not the entry that was processed" in told
    assert not (await raw.found()).wrong


async def test_a_log_that_loses_its_end_and_is_written_on_is_noticed_by_who_is_reading_it(kafka: KafkaBroker, tmp_path: Path) -> None:
    """Receivers write on before the owner is back: what it asks for next is there, and is another entry."""
    raw, position = await _half_kept(kafka, tmp_path)
    async with raw.owned() as owner:
        assert await raw.settled(owner, position) == ""
        _lose_the_end(kafka, raw)
        position = await raw.send(2 * STORED)
        async with asyncio.timeout(60):
            while "is gone or another entry now" not in next(iter(owner.components())).detail:
                await asyncio.sleep(0.05)
    async with raw.owned() as owner:
        told = await raw.settled(owner, position)
    assert "is not the entry that was processed" in told
    assert not (await raw.found()).wrong
