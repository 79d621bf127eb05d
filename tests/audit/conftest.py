"""The audit API over a real SQLite file, spoken to as ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, Counter

from collector.audit.app import create_app
from collector.audit.pages import PORTIONS, Portions
from collector.health import Component
from tests.audit.postgres_store import PostgresStore
from tests.audit.rows import Clock, Store, patient


class Parts:
    """The health of a process whose parts the test breaks."""

    def __init__(self) -> None:
        self.all = [Component("journal", True, "3 entries wait"), Component("sink", True)]

    def components(self) -> list[Component]:
        return self.all


class Api:
    """The application with what a test turns: store, clock, health, registry."""

    def __init__(self, store: Store, client: httpx.AsyncClient, clock: Clock, parts: Parts, registry: CollectorRegistry) -> None:
        self.store, self.client, self.clock, self.parts, self.registry = store, client, clock, parts, registry

    async def get(self, path: str, /, **parameters: str | int) -> httpx.Response:
        return await self.client.get(path, params=parameters)

    async def exchanges(self, **parameters: str | int) -> dict[str, Any]:
        answer = await self.get("/v1/exchanges", **parameters)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def ids(self, **parameters: str | int) -> list[str]:
        return [item["id"] for item in (await self.exchanges(**parameters))["items"]]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Every test of the API runs on both stores."""
    if request.param == "sqlite":
        made = Store(request.getfixturevalue("tmp_path") / "events.db")
    else:
        made = PostgresStore(request.getfixturevalue("database"))
    yield made
    made.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """For what is SQLite's alone."""
    made = Store(tmp_path / "events.db")
    yield made
    made.close()


@asynccontextmanager
async def serving(store: Store, portions: Portions = PORTIONS) -> AsyncIterator[Api]:
    """The API over a store, which reads so much of it at a time."""
    engine = store.opened()
    clock, parts, registry = Clock(), Parts(), CollectorRegistry()
    Counter("meshscribe_batches", "For the test.", registry=registry).inc(3)
    app = create_app(engine, parts, registry, patient(page_limit=500), clock, portions=portions)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
            yield Api(store, client, clock, parts, registry)
    finally:
        await engine.dispose()


@pytest_asyncio.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    async with serving(store) as made:
        yield made
