"""The list of exchanges in a real browser: filters in the address, counts, a span dragged, live, keys."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import stories
from tests.browser.pages import NARROW, WIDE, Pages, Reader, reading

ROWS = "table.list tbody tr"


def test_a_facet_narrows_the_list_and_the_back_button_widens_it(reader: Reader) -> None:
    page = reader.go("/")
    expect(page.locator(ROWS)).to_have_count(18)
    facet = reader.filters().get_by_role("link", name=re.compile("^5xx"))
    expect(facet).to_contain_text("3")
    facet.click()
    expect(page.locator(ROWS)).to_have_count(3)
    assert "status=5xx" in reader.path
    page.get_by_title("Take this filter away").filter(has_text="status").click()
    expect(page.locator(ROWS)).to_have_count(18)
    page.go_back()
    expect(page.locator(ROWS)).to_have_count(3)
    page.go_back()
    expect(page.locator(ROWS)).to_have_count(18)


def test_a_line_of_filters_is_understood_and_stays_in_the_field(reader: Reader) -> None:
    page = reader.go("/")
    page.get_by_label("Search").fill("service:iris status:5xx")
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_have_count(3)
    expect(page.get_by_label("Search")).to_have_value("service:iris status:5xx")
    assert "q=service" in reader.path


def test_a_wrong_line_is_told_beside_the_field_that_keeps_it(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url) as reader:
        page = reader.go("/?q=colour%3Ared")
        field = page.get_by_label("Search")
        expect(field).to_have_value("colour:red")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("alert")).to_contain_text("'colour' is no filter")
        assert len([text for text in reader.complaints if "400" not in text]) == 0  # that the answer is a 400 is no complaint of ours


def test_words_are_not_looked_for_where_no_setting_says_so_and_the_page_tells(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url) as reader:
        page = reader.go("/?q=invoice")
        expect(page.get_by_role("alert")).to_contain_text("search.text")


def test_all_time_stays_chosen_when_a_facet_is_clicked(reader: Reader) -> None:
    page = reader.go("/")
    page.get_by_label("From", exact=True).select_option(label="all time")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(ROWS)).to_have_count(18)
    reader.filters().get_by_role("link", name=re.compile("^5xx")).click()
    expect(page.get_by_label("From", exact=True)).to_have_value("all")


def test_dragging_over_the_histogram_chooses_a_span_of_time(reader: Reader) -> None:
    page = reader.go("/?since=1h")
    room = page.locator("figure.chart svg").bounding_box()
    assert room is not None
    middle = room["y"] + room["height"] / 2
    page.mouse.move(room["x"] + room["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(room["x"] + room["width"] * 0.5, middle, steps=4)
    page.mouse.move(room["x"] + room["width"] * 0.75, middle, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("until="))
    assert "since=20" in reader.path
    expect(page.locator(ROWS)).to_have_count(18)
    expect(page.get_by_title("Take this filter away")).to_have_count(2)


def test_next_and_previous_stay_inside_the_result_and_lead_back_to_it(reader: Reader) -> None:
    page = reader.go("/?status=5xx&since=1h")
    page.locator(f"{ROWS} a.name").first.click()
    walked = 1
    while page.get_by_role("link", name="Older").count():
        page.get_by_role("link", name="Older").click()
        walked += 1
    assert walked == 3
    page.get_by_role("link", name="Newer").click()
    page.get_by_role("link", name="All", exact=True).click()
    expect(page.locator(ROWS)).to_have_count(3)
    assert "status=5xx" in reader.path


def test_keys_move_open_go_back_search_and_tell(reader: Reader) -> None:
    page = reader.go("/?status=5xx")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(f"{ROWS}.here")).to_have_count(1)
    assert page.evaluate("document.querySelector('tr.here') === document.querySelectorAll('tbody tr')[1]")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/exchanges/"))
    first = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: "/exchanges/" in url and url != first)
    page.keyboard.press("k")
    page.wait_for_url(first)
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/\?"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()


def test_what_is_exported_is_what_is_shown(reader: Reader) -> None:
    page = reader.go("/?status=5xx")
    shown = [row.get_attribute("data-id") for row in page.locator(ROWS).all()]
    with page.expect_download() as download:
        page.get_by_role("link", name="Export these").click()
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))  # the last one says that it is whole
    assert sorted(str(found) for found in shown) == sorted(row["id"] for row in rows)


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
@pytest.mark.parametrize("path", ["/", "/usage", "/losses", "/services", "/access", "/status", "/?service=nobody"])
def test_every_view_fits_its_window_and_nothing_is_complained_about(
    browser: Browser, pages: Pages, path: str, width: int, scheme: str
) -> None:
    with reading(browser, pages.url, width, scheme) as reader:  # type: ignore[arg-type]
        page = reader.go(path)
        expect(page.locator("main")).to_be_visible()
        reader.is_content()


def test_on_a_phone_the_filters_wait_behind_a_button(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url, NARROW) as reader:
        page = reader.go("/")
        facet = page.get_by_role("link", name=re.compile("^5xx"))
        expect(facet).to_be_hidden()
        page.get_by_text("Filters", exact=True).click()
        facet.click()
        expect(page.locator(ROWS)).to_have_count(3)
        reader.is_content()


def test_live_counts_what_comes_and_the_list_stays_as_it_is(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url) as reader:
        page = reader.go("/?service=iris")
        before = page.locator(ROWS).all_inner_texts()
        with page.expect_response(re.compile("/v1/tail")):
            page.get_by_role("button", name="Live").click()
        pages.put(stories.outputs([stories.chat(number) for number in (100, 101)]))
        waiting = page.locator("#fresh a")
        expect(waiting).to_have_text("2 new")
        assert page.locator(ROWS).all_inner_texts() == before
        page.get_by_role("button", name="Live: pause").click()
        waiting.click()
        expect(page.locator(ROWS)).to_have_count(len(before) + 2)
        reader.is_content()
