"""What a search in texts costs the sink for each exchange of a KiB, and how long a search takes: `python -m tests.bench texts`."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from collector.audit.app import create_app
from collector.messages.event import Output, Place
from collector.settings import Audit, Search, Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchange

BATCH = 1000
SEARCHES = ("w7", "w300", "w4000", "w7 w300", "w1 w2 w3", '"w1 w2"', "rare", "nothing")


class Well:
    """Nothing is wrong."""

    def components(self) -> list[object]:
        return []


def _text(pick: random.Random, size: int) -> str:
    """Words as often as in a language: a few make most of it."""
    return " ".join(f"w{int(pick.paretovariate(0.6)) % 20_000}" for _ in range(size // 5))


def chats(count: int, first: int) -> list[Output]:
    """Exchanges of about a KiB."""
    pick = random.Random(first)
    made = []
    for number in range(first, first + count):
        body = {"model": "m", "messages": [{"role": "user", "content": _text(pick, 600) + (" rare" if number % 20_000 == 7 else "")}]}
        inference = {"protocol": "openai-chat", "operation": "chat", "choices": [{"index": 0, "text": _text(pick, 400)}]}
        asked = {"method": "POST", "path": "/v1/chat/completions", "body": {"content_type": "application/json", "captured": 700}}
        record = json.dumps({"request": asked, "response": {"status": 200, "body": {}}, "inference": inference}).encode()
        given = {"salt": str(number), "request": json.dumps(body).encode(), "data": record}
        made.append(exchange(Place(number + 1, 0), NOW_US + number * 2_000, **given))
    return made


async def written(url: str, search: Search, batches: Sequence[list[Output]]) -> float:
    """µs of each exchange."""
    sink = open_sink(Sink(url=url), TurnedClock(NOW_US), search=search)
    spent = time.perf_counter()
    for batch in batches:
        await sink.write(JOURNAL, batch, batch[-1].place)
    spent = time.perf_counter() - spent
    await sink.close()
    return spent / sum(map(len, batches)) * 1e6


async def searched(url: str) -> dict[str, float]:
    """How many ms each search takes."""
    from prometheus_client import CollectorRegistry

    engine = open_engine(Sink(url=url))
    app = create_app(engine, Well(), CollectorRegistry(), Audit(), TurnedClock(NOW_US * 2), search=Search(text=True))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        figures: dict[str, float] = {}
        for asked in SEARCHES:
            times, found = [], 0
            for _ in range(5):
                began = time.perf_counter()
                answer = await client.get("/v1/exchanges", params={"text": asked})
                times.append(time.perf_counter() - began)
                found = len(answer.json()["items"])
            figures[f"{asked}: first page ({found} found), ms"] = sorted(times)[2] * 1000
    await engine.dispose()
    return figures


def run(count: int = 100_000) -> dict[str, float]:
    """µs of an exchange without and with the index, its bytes in a file of so many, and ms of searches there."""
    return asyncio.run(_run(count))


async def _run(count: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        few = [chats(BATCH, at) for at in range(0, 10_000, BATCH)]
        for name, on in (("off", False), ("on", True), ("off again", False), ("on again", True)):
            url = f"sqlite:///{folder}/{name}.db"
            await asyncio.to_thread(migrate, url)
            figures[f"{name}: an exchange, µs"] = await written(url, Search(text=on), few)
        url = f"sqlite:///{folder}/many.db"
        await asyncio.to_thread(migrate, url)
        for at in range(0, count, BATCH):
            await written(url, Search(text=True), [chats(BATCH, at)])
        figures["bytes an exchange"] = Path(folder, "many.db").stat().st_size / count
        return {**figures, **await searched(url)}
