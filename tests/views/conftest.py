"""The pages over a real SQLite file, filled by the real pipeline, spoken to as ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.types import Receive, Scope, Send

from collector.access.looker import Looker
from collector.audit.app import create_app
from collector.messages.event import Output, Place
from collector.settings import Audit
from collector.sinks.sqlite import SqliteSink
from collector.store.schema import metadata
from collector.views.app import mount
from tests.audit.conftest import Parts
from tests.audit.rows import Clock, patient
from tests.support.outputs import ANSWER, CHAT, outputs
from tests.support.witnesses import T0, Told

MINUTE = 60_000_000


class Seen(HTMLParser):
    """What a reader finds on a page: its text, its links, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def links(self) -> dict[str, str]:
        """The text of each link and where it leads, by the order on the page."""
        return {str(attributes.get("href")): tag for tag, attributes in self.tags if tag == "a"}


class World:
    """A store, and the pages on it."""

    def __init__(self, path: Path, client: httpx.AsyncClient, clock: Clock) -> None:
        self.path, self.client, self.clock = path, client, clock
        self.looker: Looker | None = None  # None: nobody is asked who he is
        self._written = 0

    async def put(self, made: Sequence[Output]) -> None:
        """Stores these outputs, as the sink does."""
        sink = SqliteSink(self.path)
        self._written += 1
        journal = f"journal-{self._written}"
        await sink.write(journal, made, Place(1 << 40, 0))
        await sink.close()

    async def see(self, path: str, status: int = 200) -> Seen:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text[:2000]
        return Seen(answer.text)


def chat(number: int, prompt: str = "What do you keep?", said: str = "Everything.", **more: object) -> Told:
    """A chat with these words, `number` seconds after the first."""
    import json

    request = json.loads(CHAT)
    request["messages"][0]["content"] = prompt
    answer = json.loads(ANSWER)
    answer["choices"][0]["message"]["content"] = said
    return Told(
        number,
        **{  # type: ignore[arg-type]
            "request_id": f"7d2f9c3e-0000-4000-8000-{number:012x}",
            "start_us": T0 + number * 1_000_000,
            "downstream": f"10.0.0.9:{1024 + number}",
            "path": "/v1/chat/completions",
            "request": json.dumps(request).encode(),
            "response": (json.dumps(answer).encode(),),
            **more,
        },
    )


async def filled(world: World, count: int) -> None:
    """So many chats, a second apart, the newest just now."""
    await world.put(outputs([chat(number, f"question {number}", f"answer {number}") for number in range(count)]))


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.us = T0 + 60 * MINUTE
    return made


@pytest_asyncio.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    path = tmp_path / "events.db"
    made = create_engine(f"sqlite:///{path}")
    metadata.create_all(made)
    made.dispose()
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), clock)
    mount(app, clock, Audit().page_limit)

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if world.looker is not None:
            scope.setdefault("state", {})["looker"] = world.looker
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://audit") as client:
        world = World(path, client, clock)
        yield world
    await engine.dispose()
