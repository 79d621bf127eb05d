"""The command line against the real audit API under uvicorn, over a real SQLite file."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner, Result

from collector.access.open import open_access
from collector.access.roles import Authority
from collector.audit.app import create_app
from collector.cli import app
from collector.clock import Clock as ClockProtocol
from collector.settings import Access, Audit, Settings
from tests.audit.conftest import Parts
from tests.audit.rows import Clock, Store


class Server:
    """The audit API on a free port, in a thread."""

    def __init__(self, store: Store, port: int = 0, access: Access | None = None, clock: ClockProtocol | None = None) -> None:
        self.store = store
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(port, access, clock or Clock())))
        self._thread.start()
        until = time.monotonic() + 20
        while self._server is None or not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < until
            time.sleep(0.01)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]

    async def _run(self, port: int, access: Access | None, clock: ClockProtocol) -> None:
        async with AsyncExitStack() as stack:
            engine = create_async_engine(self.store.url)
            stack.push_async_callback(engine.dispose)
            opened = await open_access(Settings(access=access), clock, stack, Authority([], None).looker) if access is not None else None
            api = create_app(engine, Parts(), CollectorRegistry(), Audit(), clock, None, opened)
            self._server = uvicorn.Server(uvicorn.Config(api, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
            serving = asyncio.create_task(self._server.serve())
            while not self._server.should_exit:
                await asyncio.sleep(0.01)
            await api.tails.stop()
            await serving

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(20)


class Cli:
    """`meshscribe` in this process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env={"MESHSCRIBE_URL": self.url, "COLUMNS": "200"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "events.db")
    yield made
    made.close()


@pytest.fixture
def server(store: Store) -> Iterator[Server]:
    running = Server(store)
    yield running
    running.close()


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.url)
