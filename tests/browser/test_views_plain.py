"""The pages without JavaScript, with texts that want to be code, and with a stream and a prompt that are very large."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.audit.rows import Clock
from tests.browser import stories
from tests.browser.pages import Pages, reading
from tests.support.outputs import outputs
from tests.support.witnesses import Told
from tests.views.test_hostile import CORPUS, TEMPLATES

ROWS = "table.list tbody tr"
MANY_EVENTS, LARGE = 50_000, 4 << 20


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Pages]:
    clock = Clock()
    clock.us = stories.NOW
    made = Pages(tmp_path / "events.db", clock)
    yield made
    made.close()


def test_without_javascript_one_lists_searches_pages_reads_and_sums(browser: Browser, empty: Pages) -> None:
    empty.put(outputs([stories.chat(number, f"question {number}", f"answer {number}") for number in range(60)]))
    with reading(browser, empty.url, scripts=False) as reader:
        page = reader.go("/")
        expect(page.locator(ROWS)).to_have_count(50)
        page.get_by_role("link", name="Older").click()
        expect(page.locator(ROWS)).to_have_count(10)
        page.locator(f"{ROWS} a.name").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("question 9")
        expect(page.get_by_role("region", name="Conversation")).to_contain_text("answer 9")
        expect(page.locator("time").first).to_contain_text("UTC")
        page.get_by_role("link", name="All", exact=True).click()
        page.get_by_label("Search").fill("status:5xx")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("No exchange matches.")).to_be_visible()
        page.get_by_role("link", name="Usage").click()
        expect(page.locator(ROWS)).to_contain_text("300")
        assert page.locator("button:visible", has_text=re.compile("Live|Copy|Replay")).count() == 0  # what needs a script is not shown
        reader.is_content()


CANARY = "window.ran = []; window.canary = () => window.ran.push(1); addEventListener('securitypolicyviolation', () => window.ran.push(2))"


def hostile(number: int, text: str) -> Told:
    """A call with this text wherever a caller or a server writes one."""
    tool = {"type": "function", "function": {"name": text, "description": text, "parameters": {"type": "object"}}}
    said = [{"role": text, "content": text}, {"role": "user", "name": text, "content": [{"type": "text", "text": text}, {"type": text}]}]
    called = {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
    choice = {"index": 0, "message": {"role": "assistant", "content": text, "tool_calls": [called]}, "finish_reason": text}
    answer = {"id": text, "object": "chat.completion", "model": text, "choices": [choice], "service_tier": text}
    as_bytes = text.encode().decode("latin-1")  # as headers travel
    return stories.chat(
        number,
        path=f"/v1/chat/completions?{number}={as_bytes}",
        request=json.dumps({"model": text, "messages": said, "tools": [tool]}).encode(),
        response=(json.dumps(answer).encode(),),
        headers=(("user-agent", as_bytes), ("x-text", as_bytes)),
    )


@pytest.mark.parametrize("texts", [pytest.param(TEMPLATES, id="few"), pytest.param(CORPUS, id="all", marks=pytest.mark.soak)])
def test_texts_that_want_to_be_code_run_nothing_and_break_no_policy(browser: Browser, empty: Pages, texts: Sequence[str]) -> None:
    empty.put(outputs([hostile(number, text) for number, text in enumerate(texts)]))
    with reading(browser, empty.url) as reader:
        reader.page.add_init_script(CANARY)
        page = reader.go("/?since=all")
        paths = [str(link.get_attribute("href")) for link in page.locator(f"{ROWS} a.name").all()]
        while (older := page.get_by_role("link", name="Older")).count():
            older.click()
            paths += [str(link.get_attribute("href")) for link in page.locator(f"{ROWS} a.name").all()]
            assert page.evaluate("window.ran") == []
        assert len(paths) >= len(texts)
        columns = "/?since=all&columns=service,user,operation,finish,path,proxy"
        for path in ("/", columns, "/usage?group_by=model&stack=group&since=30d", *paths):
            page = reader.go(path)
            assert page.evaluate("window.ran") == []
            reader.is_content()


def test_a_stream_of_50_000_events_behind_a_prompt_of_4_mib_can_be_read_and_replayed(browser: Browser, empty: Pages) -> None:
    words = [f"w{number} " for number in range(MANY_EVENTS)]
    big = stories.chat(1, asked="word " * (LARGE // 5), response=stories.events(words))
    empty.put(stories.outputs([], [(big, [100 + number // 10 for number in range(MANY_EVENTS)])]))
    with reading(browser, empty.url) as reader:
        page = reader.go("/")
        page.locator(f"{ROWS} a.name").click()
        expect(page.get_by_role("region", name="Conversation")).to_be_visible()
        expect(page.get_by_role("button", name="Replay")).to_be_visible()
        page.get_by_role("button", name="Replay").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("[data-clock]")).to_contain_text(" / ")
        page.mouse.wheel(0, 20_000)
        reader.is_content()
