"""The audit API behind its login, spoken to as ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine

from collector.access.open import Opened, open_access
from collector.access.roles import Authority
from collector.audit.app import create_app
from collector.settings import Access, Audit, Settings
from tests.access.signing import ScriptedProvider
from tests.audit.conftest import Parts
from tests.support.clocks import TurnedClock

PAGE = "/docs"  # stands behind the login as all do, and asks no store


class Door:
    """What a test knocks at."""

    def __init__(self, client: httpx.AsyncClient, opened: Opened, clock: TurnedClock) -> None:
        self.client, self.opened, self.clock = client, opened, clock

    async def knock(self, token: str | None = None, path: str = PAGE, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        return await self.client.get(path, headers=sent)


Doors = Callable[..., Awaitable[Door]]


@pytest.fixture
async def door() -> AsyncIterator[Doors]:
    """Makes a door with these settings."""
    async with AsyncExitStack() as stack:

        async def made(access: Access, base: str = "http://127.0.0.1:8081") -> Door:
            engine, clock = create_async_engine("sqlite+aiosqlite://"), TurnedClock()
            stack.push_async_callback(engine.dispose)
            opened = await open_access(Settings(access=access), clock, stack, Authority([], None).looker)
            app = create_app(engine, Parts(), CollectorRegistry(), Audit(), clock, None, opened)
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)
            await stack.enter_async_context(client)
            return Door(client, opened, clock)

        yield made


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    made = ScriptedProvider()
    await made.start()
    yield made
    await made.stop()
