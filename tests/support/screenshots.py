"""Takes the pictures of docs/tour.md, of a demo that it starts: python -m tests.support.screenshots docs/tour

`--url` looks at an audit listener that runs already; `--all` also takes each page dark, and at the width of a phone.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import FLAGS, chromium

MOST_BYTES = 150_000
WIDTH, HEIGHT, NARROW = 1440, 800, 390
STORIES_TOLD = "It runs."


class Shot(NamedTuple):
    """A picture: its name, where to begin, and the names of the links to follow from there."""

    name: str
    path: str
    links: tuple[str, ...] = ()
    height: int = HEIGHT
    belongs: str = ""  # then to all of its call, trace or session


SHOTS = (
    Shot("exchanges", "/"),
    Shot("exchange", "/", ("Two invoices are overdue",), 890),
    Shot("together", "/", ("Two invoices are overdue",), 1000, "Trace"),
    Shot("aborted", "/?q=completeness%3Aclient_aborted", ("Dear customer",)),
    Shot("columns", "/?columns=time,service,protocol,operation,finish,tokens,took,record"),
    Shot("usage", "/usage"),
    Shot("usage-stacked", "/usage?stack=group&group_by=model&since=1d"),
    Shot("losses", "/losses?since=15m"),
    Shot("services", "/services"),
    Shot("service", "/services/demo/chat"),
    Shot("service-exchanges", "/?namespace=demo&service=chat"),
    Shot("fold", "/?q=protocol%3Akserve-v2", ("sum",)),
    Shot("access", "/access"),
    Shot("status", "/status"),
    Shot("nothing", "/?service=nobody"),
    Shot("fault", "/?q=colour%3Ared"),
)
LONG = ("exchange", "aborted", "together", "fold")  # pages that are read to their end
IN_TOUR = ("exchanges", "exchange", "aborted", "together", "usage", "losses", "services", "access")


@contextmanager
def demo() -> Iterator[str]:
    """The audit listener's address of a demo whose stories are told."""
    command = [str(Path(sys.executable).with_name("meshscribe")), "demo"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    url = ""
    try:
        for line in running.stdout:
            if found := re.search(r"Look at it: *(\S+)", line):
                url = found[1]
            if STORIES_TOLD in line:
                yield url
                return
        raise SystemExit("The demo ended before it had told its stories.")
    finally:
        running.send_signal(signal.SIGINT)
        running.stdout.close()
        running.wait(60)


def opened(page: Page, url: str, shot: Shot) -> None:
    """Goes there as a reader would."""
    page.goto(f"{url}{shot.path}")
    for name in shot.links:
        row = page.locator("table.list tbody tr", has_text=name).first
        row.locator("a.name").first.click()
    if shot.belongs:
        page.locator("dt", has_text=shot.belongs).locator("xpath=following-sibling::dd[1]/a").click()
    page.wait_for_load_state("networkidle")


def _lost(browser: Browser, url: str) -> None:
    """Waits until the ledger knows of the loss: it is in every picture."""
    page = browser.new_page()
    page.goto(url)
    while "lost" not in page.locator("header .pill").inner_text():
        page.wait_for_timeout(500)
        page.reload()
    page.close()


def take(browser: Browser, url: str, folder: Path, every: bool) -> None:
    """The pictures. Each page is opened in a context of its own, as a reader with these wishes has it."""
    folder.mkdir(parents=True, exist_ok=True)
    _lost(browser, url)
    looks = [("", WIDTH, "light")]
    looks += [("-dark", WIDTH, "dark"), ("-narrow", NARROW, "light")] if every else []
    for suffix, width, scheme in looks:
        context = browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            color_scheme=scheme,  # type: ignore[arg-type]
            timezone_id="Europe/Berlin",
            locale="en-GB",
        )
        page = context.new_page()
        for shot in SHOTS if every else [one for one in SHOTS if one.name in IN_TOUR]:
            page.set_viewport_size({"width": width, "height": shot.height})
            opened(page, url, shot)
            path = folder / f"{shot.name}{suffix}.png"
            page.screenshot(path=path, full_page=every and shot.name in LONG)
            print(f"{path}: {path.stat().st_size:,} bytes")
            if not every and path.stat().st_size > MOST_BYTES:
                raise SystemExit(f"{path} is larger than {MOST_BYTES:,} bytes.")
        context.close()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--url")
    asked.add_argument("--all", action="store_true")
    given = asked.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        if given.url:
            take(browser, given.url, given.folder, given.all)
        else:
            with demo() as url:
                take(browser, url, given.folder, given.all)
        browser.close()


if __name__ == "__main__":
    main()
