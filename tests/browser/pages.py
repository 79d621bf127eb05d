"""A store filled by the real pipeline, the pages on it under uvicorn, and what a browser complains about."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import uvicorn
from playwright.sync_api import Browser, Locator, Page
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, insert
from sqlalchemy.ext.asyncio import create_async_engine

from collector.access.look_writer import LookWriter
from collector.audit.app import create_app
from collector.clock import Clock, SystemClock
from collector.messages.event import Output, Place
from collector.settings import Audit, Sink, Usage
from collector.sinks.open import open_sink
from collector.store.schema import ledger, metadata
from collector.views.app import mount
from tests.audit.conftest import Parts

WAIT_MS = 60_000  # a slow machine is no fault of the page
WIDE, NARROW = 1440, 390
Look = tuple[int, Literal["light", "dark"]]


class Pages:
    """The audit listener with its pages, on a free port, in a thread. What is put into the store is seen at once."""

    def __init__(self, path: Path, clock: Clock, annotations: Sequence[str] = ("example.com/team",)) -> None:
        self.path, self._clock, self._annotations = path, clock, annotations
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        self._written = 0
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        until = time.monotonic() + 60
        while self._server is None or not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < until
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    async def _run(self) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{self.path}")
        registry = CollectorRegistry()
        looks = LookWriter(engine, SystemClock(), registry, 5.0)
        looks.start()
        app = create_app(engine, Parts(), registry, Audit(), self._clock, looks=looks)
        mount(app, self._clock, Audit().page_limit, self._annotations)
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(self._server.serve())
        while not self._server.should_exit:
            await asyncio.sleep(0.01)
        app.tails.end()
        await serving
        await looks.stop()
        await engine.dispose()

    def put(self, made: Sequence[Output]) -> None:
        """Stores these outputs, as the sink does. In a thread of its own: here runs the browser's event loop."""
        self._written += 1
        journal = f"journal-{self._written}"

        async def write() -> None:
            sink = open_sink(Sink(url=f"sqlite:///{self.path}"), self._clock, Usage(group_annotations=list(self._annotations)))
            await sink.write(journal, made, Place(1 << 40, 0))
            await sink.close()

        writing = threading.Thread(target=lambda: asyncio.run(write()))
        writing.start()
        writing.join()

    def put_windows(self, *rows: dict[str, object]) -> None:
        """Stores windows of the ledger."""
        engine = create_engine(f"sqlite:///{self.path}")
        with engine.begin() as connection:
            connection.execute(insert(ledger), list(rows))
        engine.dispose()

    def close(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(20)


class Reader:
    """A page of a browser, and everything that it complained about or asked others for."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.elsewhere.append(request.url) if not request.url.startswith((url, "data:")) else None)

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.url}{path}")
        return self.page

    @property
    def is_narrow(self) -> bool:
        """A phone."""
        size = self.page.viewport_size
        return size is not None and size["width"] <= NARROW

    def filters(self) -> Locator:
        """The facets; on a phone they wait behind a button."""
        found = self.page.get_by_role("complementary", name="Filters")
        if self.is_narrow and not found.get_by_role("link").first.is_visible():
            found.get_by_text("Filters", exact=True).click()
        return found

    @property
    def path(self) -> str:
        """Where the page is, without the host."""
        return self.page.url.removeprefix(self.url)

    def is_content(self) -> None:
        """Raises AssertionError: something was complained about, asked of another host, or runs over the page's side."""
        assert self.complaints == []
        assert self.elsewhere == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@contextmanager
def reading(
    browser: Browser, url: str, width: int = WIDE, scheme: Literal["light", "dark"] = "light", scripts: bool = True, free: bool = False
) -> Iterator[Reader]:
    """A browser at these pages. `free`: our own policy does not bind what a test puts in."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        java_script_enabled=scripts,
        bypass_csp=free,
        timezone_id="Europe/Berlin",
        locale="en-GB",
        accept_downloads=True,
    )
    context.set_default_timeout(WAIT_MS)
    yield Reader(context.new_page(), url)
    context.close()
