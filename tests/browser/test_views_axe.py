"""axe-core finds nothing serious on any view, dark or light, wide or narrow."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.pages import NARROW, WIDE, Pages, reading

GRAVE = ("serious", "critical")
VIEWS = (
    "/",
    "/?q=colour%3Ared",
    "/?service=nobody",
    "exchange",
    "aborted",
    "together",
    "/?columns=time,service,user,protocol,finish,took",
    "/usage",
    "/usage?stack=group&group_by=model",
    "/losses?since=1h",
    "/services",
    "/access",
    "/status",
    "/nothing",
)


def found(browser: Browser, pages: Pages, view: str, width: int, scheme: str) -> list[tuple[str, str]]:
    """What axe complains about: (rule, element)."""
    with reading(browser, pages.url, width, scheme, free=True) as reader:  # type: ignore[arg-type]
        page = reader.go(view if view.startswith("/") else "/?since=1h")
        if not view.startswith("/"):
            text = "client left" if view == "aborted" else "the mesh keeps a record"
            page.locator("table.list tbody tr", has_text=text).locator("a.name").click()
            if view == "together":
                page.get_by_role("region", name="Who asked").get_by_role("link").first.click()
            page.wait_for_load_state()
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        results = Axe().run(page)
    return [(one["id"], node["html"]) for one in results.response["violations"] if one["impact"] in GRAVE for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_no_serious_finding(browser: Browser, pages: Pages, view: str, scheme: str) -> None:
    assert found(browser, pages, view, WIDE, scheme) == []


@pytest.mark.parametrize("view", ["/", "exchange", "together", "/usage", "/losses?since=1h"])
def test_nor_has_it_on_a_phone(browser: Browser, pages: Pages, view: str) -> None:
    assert found(browser, pages, view, NARROW, "light") == []
