"""Three questions that somebody has who sees the pages for the first time, answered by links and labels alone in four steps at most."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, expect

from tests.browser.pages import Reader

MOST_STEPS = 4


class Steps:
    """Counts what a person does."""

    def __init__(self, reader: Reader) -> None:
        self.count = 0
        self.page = reader.go("/")

    def do(self, step: Callable[[], object]) -> None:
        self.count += 1
        step()

    def click(self, on: Locator) -> None:
        self.do(on.click)

    def choose(self, field: str, option: str) -> None:
        """Two steps: the choice, and the button behind it."""
        self.do(lambda: self.page.get_by_label(field, exact=True).select_option(label=option))
        self.click(self.page.get_by_role("button", name="Show"))


def test_the_stream_that_was_left_and_what_it_cost(reader: Reader) -> None:
    steps = Steps(reader)
    page = steps.page
    steps.click(reader.filters().get_by_role("link", name=re.compile("client left")))
    steps.click(page.locator("table.list tbody tr").first.get_by_role("link").last)
    expect(page.get_by_text("the client left before the end", exact=True)).to_be_visible()
    cost = page.get_by_role("complementary", name="Facts")
    expect(cost).to_contain_text("None: the call broke off before it was told.")
    expect(cost).to_contain_text("billed here")
    assert steps.count <= MOST_STEPS


def test_what_team_2002_used_by_model(reader: Reader) -> None:
    steps = Steps(reader)
    page = steps.page
    steps.click(page.get_by_role("navigation", name="Views").get_by_role("link", name="Usage"))
    steps.choose("Grouped by", "by example.com/team")
    steps.click(page.get_by_role("link", name="2002"))
    expect(page.get_by_role("columnheader", name="Model")).to_be_visible()
    row = page.locator("table.list tbody tr", has_text="m-7b")
    expect(row).to_be_visible()
    assert re.search(r"\d", row.inner_text())
    assert steps.count <= MOST_STEPS


def test_where_records_were_lost_and_why(reader: Reader) -> None:
    steps = Steps(reader)
    page = steps.page
    steps.click(page.get_by_role("link", name=re.compile("7 lost")))
    expect(page.get_by_role("heading", level=1)).to_contain_text("7 records were lost at llama-predictor-0")
    row = page.locator("table.list tbody tr", has_text="dropped by the tap")
    expect(row).to_contain_text("buffer full 7")
    expect(row).to_contain_text("raise queue_bytes")
    assert steps.count <= MOST_STEPS
