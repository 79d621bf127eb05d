"""The sums of usage equal what the usage events of the newest revisions say, to the unit, whatever happened on the way."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.describe.identity import event_id
from collector.describe.usage import usage_event
from collector.errors import PermanentError
from collector.kafka.columns import exchange_columns
from collector.messages.event import EXCHANGE_TYPE, Event, Output, Place
from collector.messages.usage_counts import REASONS, TOKENS
from collector.settings import Sink, Usage
from collector.sinks.open import open_sink
from collector.sinks.protocol import Target
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.schema import usage_days, usage_hours, usage_keys
from collector.store.usage_book import counting
from collector.store.usage_recount import ALL, Recount
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NODE, NOW_US, exchange, identity
from tests.support.postgres import Database
from tests.support.sql import rows

HOUR_US = 3_600_000_000
DIMENSIONS = ("namespace", "service", "model", "consumer", "user", "caller", "protocol")
USAGE = Usage(group_annotations=["team"], keys_per_day=10)


def record(number: int, revision: int, chance: random.Random) -> dict[str, Any]:
    """As describe makes it, as far as usage is concerned: any revision may say something else."""
    made: dict[str, Any] = {
        "id": identity(NOW_US + number * HOUR_US // 3, str(number)),
        "revision": revision,
        "start": "2025-11-22T08:26:40.123456Z",
        "proxy": {"node": NODE, "namespace": "prod"},
        "service": {"name": f"llama-{chance.randrange(2)}", "annotations": {"team": chance.choice("ab"), "other": "x"}},
        "hop": {"role": "predictor", "billable": chance.random() < 0.8, "rule": "predictor-hop"},
        "caller": {"consumer": chance.choice(["c1", "c2"])} if chance.random() < 0.5 else {},
        "request": {"body": {}},
        "response": {"body": {}},
        "inference": {"protocol": "openai-chat", "model_requested": f"m\0-{chance.randrange(8)}"},
        "completeness": ["complete"],
    }
    if chance.random() < 0.7:
        classes = {name: chance.randrange(1000) for name in chance.sample(TOKENS, 3)}
        told = {"value": 1, "provenance": chance.choice(["reported", "estimated"])}
        made |= {"usage": {"prompt_tokens": told}} | ({"usage_classes": classes} if chance.random() < 0.9 else {})
    elif chance.random() < 0.8:
        made["usage_absent"] = chance.choice(REASONS)
    return made


def output(of: dict[str, Any], place: Place) -> Output:
    number, revision = of["id"], of["revision"]
    start = int(number[:8] + number[9:13], 16) * 1000
    extensions: dict[str, str | int | bool] = {"exchange": number, "revision": revision}
    event = Event(
        event_id(number, "exchange", revision), EXCHANGE_TYPE, f"/proxy/{NODE}", None, start, "application/json",
        json.dumps(of).encode(), extensions, exchange_columns(of),
    )  # fmt: skip
    return Output(place, (event,))


def billed(newest: list[dict[str, Any]]) -> Counter[str]:
    """What a billing job adds up out of the usage events."""
    sums = Counter[str]()
    for of in newest:
        event = usage_event(of, "", None, 0)  # type: ignore[arg-type]
        assert event is not None
        data = json.loads(event.data)
        if event.extensions["billable"]:
            sums.update({"calls": 1, "revised": int(data["revision"] > 0), **data.get("usage_classes", {})})
            if "usage_absent" in data:
                sums[f"absent_{data['usage_absent']}"] += 1
    return +sums


class Bed:
    """A store with sinks that come and go."""

    def __init__(self, url: str, seed: int, usage: Usage = USAGE) -> None:
        self.settings, self.chance, self.usage = Sink(url=url), random.Random(seed), usage
        self.sink: Target = self.opened()
        self.there: dict[tuple[str, int], dict[str, Any]] = {}
        self.engine = open_engine(self.settings)

    def opened(self) -> Target:
        return open_sink(self.settings, TurnedClock(NOW_US), self.usage)

    async def write(self, some: list[dict[str, Any]], *, resend: bool = False) -> None:
        outputs = [output(of, Place(n, 0)) for n, of in enumerate(some, 1)]
        if resend:
            await self.sink.resend(JOURNAL, outputs)
        else:
            await self.sink.write(JOURNAL, outputs, Place(len(some), 0))
        self.there |= {(of["id"], of["revision"]): of for of in some if (of["id"], of["revision"]) not in self.there}

    async def fail(self, some: list[dict[str, Any]]) -> None:
        """A transaction that is not committed."""
        poison = exchange(Place(99, 0), NOW_US + 5, node=None)
        with pytest.raises(PermanentError):
            await self.sink.write(JOURNAL, [*(output(of, Place(1, 0)) for of in some), poison], Place(99, 0))

    async def restart(self) -> None:
        await self.sink.close()
        self.sink = self.opened()

    async def recount(self, *, mend: bool = False) -> int:
        recount, before, wrong = Recount(self.engine, counting(self.usage)), ALL, 0
        while (step := await recount.step(before, new_only=False)) is not None:
            before = step.oldest
        for hour in await recount.hours() if mend else []:
            wrong += await recount.mend(hour)
        return wrong

    async def check(self) -> None:
        newest: dict[str, dict[str, Any]] = {}
        for (name, revision), of in self.there.items():
            if name not in newest or revision > newest[name]["revision"]:
                newest[name] = of
        expected = billed(list(newest.values()))
        for table in (usage_hours, usage_days):
            found = await rows(self.settings, select(table))
            sums = Counter({name: sum(getattr(row, name) for row in found) for name in ("calls", "revised", *TOKENS)})
            sums.update({f"absent_{reason}": sum(getattr(row, f"absent_{reason}") for row in found) for reason in REASONS})
            assert +sums == expected
            assert {row.key for row in found} <= {row.id for row in await rows(self.settings, select(usage_keys))}

    async def close(self) -> None:
        await self.sink.close()
        await self.engine.dispose()


async def history(bed: Bed) -> None:
    """Anything, in any order."""
    chance = bed.chance
    told = [record(number, revision, chance) for number in range(12) for revision in range(chance.randrange(1, 4))]
    for _ in range(12):
        some = chance.sample(told, chance.randrange(1, len(told)))
        match chance.randrange(6):
            case 0:
                await bed.fail(some)
            case 1:
                await bed.restart()
            case 2:
                await bed.recount(mend=chance.random() < 0.5)
            case 3:
                await bed.write(some, resend=True)
            case _:
                await bed.write(some + some[: chance.randrange(3)])
    await bed.check()
    assert await bed.recount(mend=True) == 0
    await bed.check()


class Template:
    """An empty store, told in few words where a test fails."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"Template({len(self.content)} bytes)"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    path = tmp_path_factory.mktemp("store") / "events.db"
    migrate(f"sqlite:///{path}")
    return Template(path.read_bytes())


@pytest.mark.slow
@given(seed=st.integers(0, 1 << 32))
def test_sums_are_what_usage_events_say_after_any_history(template: Template, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("store") / "events.db"
    path.write_bytes(template.content)

    async def work() -> None:
        bed = Bed(f"sqlite:///{path}", seed)
        try:
            await history(bed)
        finally:
            await bed.close()

    asyncio.run(work())


@pytest.mark.parametrize("seed", range(4))
async def test_sums_are_the_same_on_a_server(database: Database, seed: int) -> None:
    bed = Bed(database.url, seed)
    try:
        await history(bed)
    finally:
        await bed.close()
