"""/docs as a browser shows it, with the headers that the API sends."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.audit.rows import NOW, exchange
from tests.commands.conftest import Server

WAIT_MS = 60_000  # a slow machine is no fault of the page


class Opened:
    """The page, what the browser complained about, and what it loaded."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.complaints, self.loaded = page, [], []
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"{request.url}: {request.failure}"))
        page.on("request", lambda request: self.loaded.append(request.url))
        page.goto(f"{url}/docs")
        page.wait_for_selector(".opblock")


@pytest.fixture
def opened(browser: Browser, server: Server) -> Iterator[Opened]:
    page = browser.new_page()
    yield Opened(page, server.url)
    page.close()


def test_every_operation_is_shown_and_nothing_is_complained_about(opened: Opened, server: Server) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    shown = opened.page.locator(".opblock-summary-path").all_inner_texts()
    operations = [path for path, methods in paths.items() for _ in methods]
    assert sorted(path.replace("\u200b", "") for path in shown) == sorted(operations)  # the page puts them together by their tags
    assert opened.page.locator(".info .title").inner_text().startswith("Meshscribe audit API")
    assert opened.complaints == []


def test_nothing_is_loaded_from_elsewhere(opened: Opened, server: Server) -> None:
    assert len(opened.loaded) >= 5
    assert [url for url in opened.loaded if not url.startswith((server.url, "data:"))] == []


def test_an_operation_can_be_opened_and_tried(opened: Opened, server: Server) -> None:
    row = exchange(NOW, request_id="tried-in-a-browser")
    server.store.exchanges(row)
    block = opened.page.locator(".opblock", has=opened.page.locator('[data-path="/v1/calls/{request_id}"]'))
    block.locator(".opblock-summary-control").click()
    expect(block.get_by_text("x-request-id of any of the hops")).to_be_visible(timeout=WAIT_MS)
    block.get_by_role("button", name="Try it out").click()
    block.get_by_placeholder("request_id").fill("tried-in-a-browser")
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text("200", timeout=WAIT_MS)
    expect(block.locator(".live-responses-table")).to_contain_text(row["id"], timeout=WAIT_MS)
    assert opened.complaints == []


def test_schemas_are_folded_until_they_are_asked_for(opened: Opened) -> None:
    assert opened.page.locator("section.models").count() == 1
    assert opened.page.locator("section.models.is-open").count() == 0
