"""One exchange in a real browser: what was said, the stream replayed, where it passed, what it belongs to, copies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.audit.rows import Clock
from tests.browser import stories
from tests.browser.pages import NARROW, Look, Pages, Reader, reading
from tests.support import chains
from tests.support.witnesses import T0

ROWS = "table.list tbody tr"
STALLS = "the mesh keeps a record"


@pytest.fixture
def calm(browser: Browser, pages: Pages, look: Look) -> Iterator[Reader]:
    """With a clock that stands still until a test turns it."""
    with reading(browser, pages.url, *look) as opened:
        opened.page.clock.install(time=0)
        opened.page.clock.pause_at(1)
        yield opened
        opened.is_content()


def opened(reader: Reader, said: str) -> Page:
    """The exchange whose answer begins so, from the list."""
    page = reader.go("/?since=1h")
    page.locator(ROWS, has_text=said).locator("a.name").click()
    page.wait_for_url(re.compile("/exchanges/"))
    return page


def test_a_conversation_is_told_by_role_with_its_tool_beside_its_result(reader: Reader) -> None:
    page = opened(reader, "Invoice 2026-1041 is.")
    said = page.get_by_role("region", name="Conversation")
    assert said.locator(".say > header b").all_inner_texts() == ["System", "User", "Model", "Model"]
    tool = said.locator("details", has_text="calls days_between")
    expect(tool.locator("pre")).to_contain_text("46 days")
    tool.locator("summary").click()
    expect(tool.locator("pre")).to_be_hidden()


def test_headers_and_raw_bytes_are_a_click_away_and_never_first(reader: Reader) -> None:
    page = opened(reader, "answer 3")
    expect(page.get_by_role("rowheader", name=":method")).to_be_hidden()
    page.get_by_text("Request: POST").click()
    expect(page.get_by_role("rowheader", name=":method")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Response body").click()
    assert b"answer 3" in Path(download.value.path()).read_bytes()


def test_a_stream_is_drawn_with_its_first_token_and_its_stall(reader: Reader) -> None:
    page = opened(reader, STALLS)
    strip = page.get_by_role("img", name=re.compile("The stream in time"))
    expect(strip).to_have_accessible_name(re.compile("the first after 200 ms, a stall of 2.0 s, it ended after 2.3 s"))
    assert page.locator(".strip .stall").count() == 1
    expect(page.locator(".facts")).to_contain_text("200 ms")


def test_replay_types_the_answer_at_its_pace_and_can_be_paused(calm: Reader) -> None:
    page = opened(calm, STALLS)
    answer = page.locator("[data-answer]").last
    page.get_by_role("button", name="Replay").click()
    page.clock.run_for(1200)  # within the stall
    expect(answer).to_have_text("the mesh keeps")
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(5000)
    expect(answer).to_have_text("the mesh keeps")
    page.get_by_role("button", name="Replay").click()
    page.clock.run_for(5000)
    expect(answer).to_have_text(STALLS)
    expect(page.get_by_role("button", name="Replay")).to_be_visible()


def test_arrow_keys_step_from_event_to_event(reader: Reader) -> None:
    page = opened(reader, STALLS)
    answer = page.locator("[data-answer]").last
    page.get_by_role("button", name="Replay").focus()
    for word in ("the", "the mesh", "the mesh keeps"):
        page.keyboard.press("ArrowRight")
        expect(answer).to_have_text(word)
    page.keyboard.press("ArrowLeft")
    expect(answer).to_have_text("the mesh")


def test_who_wants_no_motion_sees_the_end_at_once(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url) as reader:
        reader.page.emulate_media(reduced_motion="reduce")
        page = opened(reader, STALLS)
        page.get_by_role("button", name="Replay").click()
        at, _, end = page.locator("[data-clock]").inner_text().partition(" / ")
        assert f"{at} s" == end
        assert page.locator("[data-answer]").last.inner_text() == STALLS
        reader.is_content()


def test_one_whose_reader_left_says_so_and_keeps_what_passed(reader: Reader) -> None:
    page = opened(reader, "client left")
    expect(page.get_by_text("the client left before the end", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Conversation")).to_contain_text(stories.LEFT_SAYS)
    expect(page.get_by_text("The client left before the end. What passed until then is here.")).to_be_visible()
    assert page.locator(".strip .left").count() == 1


def test_its_call_leads_to_all_that_belongs_to_it(reader: Reader) -> None:
    page = opened(reader, "answer 3")
    page.get_by_role("region", name="Who asked").get_by_role("link").first.click()
    expect(page.locator(ROWS)).to_have_count(1)
    assert reader.path.startswith("/together?request_id=")
    expect(page.get_by_role("region", name="Conversation")).to_contain_text("answer 3")
    page.get_by_role("link", name="As a list").click()
    expect(page.locator(ROWS)).to_have_count(1)


def test_who_has_seen_it_is_told_to_the_next(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url) as reader:
        page = opened(reader, "answer 4")
        page.reload()
        seen = page.locator("section", has=page.get_by_role("heading", name="Who has seen this"))
        expect(seen).to_contain_text("in a list")
        expect(seen).to_contain_text("the record")
        reader.is_content()


def test_it_is_copied_as_curl_as_a_command_and_as_a_link(reader: Reader) -> None:
    page = opened(reader, "answer 5")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    identity = reader.path.removeprefix("/exchanges/").partition("?")[0]
    copied = {}
    wanted = {
        "as curl": f"curl -s '{reader.url}/v1/exchanges/{identity}'",
        "as CLI": f"meshscribe show {identity} --url {reader.url}",
        "link": f"{reader.url}/exchanges/{identity}",
    }
    if reader.is_narrow:  # nobody types commands there
        wanted = {"link": wanted["link"]}
    for name in wanted:
        page.get_by_role("button", name=f"Copy {name}").click()
        expect(page.get_by_role("button", name="Copied").first).to_be_visible()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    assert copied == wanted


def test_on_a_phone_it_is_read_from_top_to_bottom(browser: Browser, pages: Pages) -> None:
    with reading(browser, pages.url, NARROW) as reader:
        page = opened(reader, STALLS)
        said = page.get_by_role("region", name="Conversation").bounding_box()
        facts = page.get_by_role("complementary", name="Facts").bounding_box()
        assert said is not None
        assert facts is not None
        assert facts["y"] > said["y"] + said["height"] - 1
        reader.is_content()


def test_a_call_through_the_mesh_is_a_waterfall_that_says_who_is_billed(browser: Browser, tmp_path: Path) -> None:
    clock = Clock()
    clock.us = T0 + 60_000_000
    pages = Pages(tmp_path / "events.db", clock)
    pages.put(chains.outputs(chains.chain()))
    with reading(browser, pages.url) as reader:
        page = reader.go("/")
        page.locator(ROWS, has_text="at the gateway").locator("a.name").click()
        hops = page.locator("section", has=page.get_by_role("heading", name="Through the mesh"))
        assert hops.locator(".hop").count() >= 3
        expect(hops).to_contain_text("billed here")
        expect(hops).to_contain_text("not billed: the gateway passes it on")
        hops.get_by_role("link", name="predictor").click()
        expect(page.get_by_role("complementary", name="Facts")).to_contain_text("Billing")
        reader.is_content()
    pages.close()
