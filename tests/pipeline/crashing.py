"""Processes that end anywhere and go on from what was saved: a correlator with its stages (`fed`), a journal and a store (`cut_off`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages.entry import Entry
from collector.messages.event import Output
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.pipeline.stages import Stages
from collector.settings import Settings
from collector.sinks.sqlite import SqliteSink
from collector.store.migrate import migrate
from tests.pipeline.test_pipeline import append, opened, stored
from tests.support.clocks import TurnedClock
from tests.support.pipelines import NO_TICKS, all_done, running

NO_CRASH: Mapping[int, int] = MappingProxyType({})


def fed(entries: Sequence[Entry], crashes: Mapping[int, int], limits: Limits) -> tuple[list[Output], Correlator]:
    """The outputs, and the correlator behind the last entry. `crashes`: behind an entry the process ends, and the next one goes on from the
    state that was saved so many entries before; what these gave is stored already.
    """
    meaning = ExchangeMeaning.of(Settings(), Catalogue())
    correlator = Correlator(limits)
    stages = Stages(meaning, True, correlator.answers)
    found: list[Output] = []
    states = [correlator.state()] if crashes else []
    for number, entry in enumerate(entries):
        found += stages.outputs(correlator.feed(entry))
        if crashes:
            states.append(correlator.state())
        if number in crashes:
            saved = max(0, number + 1 - crashes[number])
            correlator = Correlator(limits)
            correlator.restore(states[saved])
            stages = Stages(meaning, True, correlator.answers)
            for again in entries[saved : number + 1]:
                stages.recall(correlator.feed(again))
    return found, correlator


def _pipeline(journal: Any, sink: SqliteSink, batch: int, limits: Limits) -> Pipeline:
    bounds = {"batch": batch, "checkpoint_us": 1, "checkpoint_bytes": 2_000}
    return Pipeline(journal, sink, Correlator(limits), ExchangeMeaning(Catalogue()), journal._clock, **bounds, tick_seconds=NO_TICKS)  # type: ignore[arg-type]


async def cut_off(limits: Limits, folder: Path, entries: Sequence[Entry], chance: Random | None) -> list[tuple[Any, ...]]:
    """What is stored of these entries; with `chance`, by processes that end anywhere."""
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    clock, left = TurnedClock(0), list(entries)
    while left:
        journal, sink = await opened(folder, clock), SqliteSink(folder / "events.db")
        one = _pipeline(journal, sink, chance.choice([1, 3, 50]) if chance else 7, limits)
        async with running(journal, one, sink):
            some = left[: chance.randint(1, 12) if chance else len(left)]
            del left[: len(some)]
            await append(journal, clock, some)
            if left and chance:
                for _ in range(chance.randint(0, 40)):
                    await asyncio.sleep(0)
            else:
                await all_done(one, journal)
    return stored(folder)
