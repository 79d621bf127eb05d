"""A real Chromium, and the audit API to look at with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.audit.rows import Clock, Store
from tests.browser import stories
from tests.browser.pages import NARROW, WIDE, Look, Pages, Reader, reading
from tests.commands.conftest import Server

NAMES = ("chromium", "chromium-browser", "google-chrome")
# As root in a container there is neither a sandbox nor a large /dev/shm.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def chromium() -> str:
    """Its path. Installed where it is missing and this may be done: a page that nobody opened proves nothing."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "-qq", *command], check=True, timeout=280, capture_output=True, env=environment)
        found = shutil.which("chromium")
    if found is None:
        pytest.fail("No Chromium: install it (Debian: apt-get install chromium), or run this as root so that it can be installed.")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed behind each module: while it is there no other event loop can run in this thread."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    store = Store(tmp_path / "events.db")
    running = Server(store)
    yield running
    running.close()
    store.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """The pages over a store with every story in it; tests of a module share it and only read."""
    clock = Clock()
    clock.us = stories.NOW
    made = Pages(tmp_path_factory.mktemp("pages") / "events.db", clock)
    made.put(stories.all_of_them())
    made.put_windows(*stories.losses())
    yield made
    made.close()


LOOKS = [
    pytest.param((WIDE, "light"), id="wide-light"),
    pytest.param((NARROW, "dark"), id="narrow-dark"),
    pytest.param((WIDE, "dark"), id="wide-dark", marks=pytest.mark.soak),
    pytest.param((NARROW, "light"), id="narrow-light", marks=pytest.mark.soak),
]


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> Look:
    """How wide the window is, and what scheme the system has."""
    found: Look = request.param
    return found


@pytest.fixture
def reader(browser: Browser, pages: Pages, look: Look) -> Iterator[Reader]:
    """At two widths, light and dark. Nothing may be complained about, asked of another host, or run over the side."""
    with reading(browser, pages.url, *look) as opened:
        yield opened
        opened.is_content()
