"""The login as a browser does it, which holds us to our own policies: cookies, forms, redirects, where a request comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from collector.access.static_tokens import line, new_token
from collector.clock import SystemClock
from collector.settings import Access, Oidc
from tests.access.authlib_provider import running
from tests.audit.rows import Store
from tests.commands.conftest import Server

WAIT_MS = 60_000


@pytest.fixture
def token() -> str:
    return new_token()


@pytest.fixture
def guarded(tmp_path: Path, token: str) -> Iterator[Server]:
    """With a provider and a file of tokens."""
    (tmp_path / "tokens").write_text(line("alice", token) + "\n", encoding="utf-8")
    (tmp_path / "secret").write_text("any", encoding="utf-8")
    with running() as issuer:
        oidc = Oidc(issuer=issuer, audience="web", client_id="web", client_secret_file=tmp_path / "secret")
        store = Store(tmp_path / "events.db")
        server = Server(store, access=Access(oidc=oidc, tokens_file=tmp_path / "tokens"), clock=SystemClock())
        yield server
        server.close()
        store.close()


@pytest.fixture
def page(browser: Browser, guarded: Server) -> Iterator[Page]:
    """In a context of its own: with no cookies. Of our pages it has nothing to complain about."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    complaints: list[str] = []

    def complained(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and message.location["url"].startswith(guarded.url):
            complaints.append(f"{message.location['url']}: {message.text}")

    opened.on("console", complained)
    yield opened
    context.close()
    assert complaints == []


def logged_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("paste a token")).to_be_visible(timeout=WAIT_MS)


def test_a_pasted_token_opens_the_page_that_was_asked_for_until_the_logout(page: Page, guarded: Server, token: str) -> None:
    page.goto(f"{guarded.url}/docs")
    page.get_by_label("paste a token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{guarded.url}/docs")
    expect(page.locator(".opblock").first).to_be_visible(timeout=WAIT_MS)
    [cookie] = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == ("meshscribe-session", True, "Lax", "/")
    page.goto(f"{guarded.url}/login")
    expect(page.get_by_text("You are logged in as alice")).to_be_visible(timeout=WAIT_MS)
    logged_out(page)
    page.goto(f"{guarded.url}/docs")
    page.wait_for_url(f"{guarded.url}/login?next=/docs")


def test_the_provider_logs_somebody_in_and_leads_back(page: Page, guarded: Server) -> None:
    page.goto(f"{guarded.url}/login?next=/docs")
    page.get_by_role("link", name="Log in with localhost").click()
    page.locator("input[name=sub]").fill("alice@example.org")
    page.locator("button[type=submit], input[type=submit], button").first.click()
    page.wait_for_url(f"{guarded.url}/docs")
    expect(page.locator(".opblock").first).to_be_visible(timeout=WAIT_MS)
    page.goto(f"{guarded.url}/login")
    expect(page.get_by_text("You are logged in as alice@example.org")).to_be_visible(timeout=WAIT_MS)
    logged_out(page)
