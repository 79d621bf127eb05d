"""What belongs together is one page: each proxy in time, and each thing that was said once."""

from __future__ import annotations

import json

import pytest

from collector.access.looker import Looker, Person, Reach, Right
from collector.messages.record import Record
from collector.views import together
from collector.views.brief import filled
from tests.support import chains
from tests.support.outputs import outputs
from tests.support.witnesses import Told
from tests.views.conftest import World, chat

ID = "7d2f9c3e-0000-4000-8000-0000000000aa"
PAGE = f"/together?request_id={ID}"
TOOL = {"id": "call_1", "type": "function", "function": {"name": "days_between", "arguments": '{"from":"2026-10-14"}'}}


def asked(number: int, said: str, *messages: dict[str, object]) -> Told:
    return chat(number, said=said, request_id=ID, request=json.dumps({"model": "m", "messages": messages}).encode())


def three_turns() -> list[Told]:
    """A question, the tool's result to what the model called, and another question."""
    first: dict[str, object] = {"role": "user", "content": "Which invoice is overdue?"}
    called: dict[str, object] = {"role": "assistant", "content": None, "tool_calls": [TOOL]}
    result: dict[str, object] = {"role": "tool", "tool_call_id": "call_1", "content": "46 days"}
    answer: dict[str, object] = {"role": "assistant", "content": "Invoice 1041 is."}
    more: dict[str, object] = {"role": "user", "content": "And who owes it?"}
    return [
        asked(1, "Let me look.", first),
        asked(2, "Invoice 1041 is.", first, called, result),
        asked(3, "Ada does.", first, called, result, answer, more),
    ]


async def test_each_thing_is_said_once_however_often_requests_repeat_it(world: World) -> None:
    await world.put(outputs(three_turns()))
    text = (await world.see(PAGE)).text
    for once in ("Which invoice is overdue?", "Let me look.", "46 days", "And who owes it?", "Ada does.", "Invoice 1041 is."):
        assert text.count(once) == 1, once
    assert text.index("Which invoice") < text.index("46 days") < text.index("Invoice 1041") < text.index("And who owes it?")


def said(role: str, content: str) -> dict[str, object]:
    return {"role": role, "content": content}


async def test_examples_that_the_first_request_brings_are_shown_though_a_model_seems_to_have_said_them(world: World) -> None:
    few = (said("system", "Be brief."), said("user", "Is 3 odd?"), said("assistant", "Yes, odd."), said("user", "Is 4 odd?"))
    await world.put(outputs([asked(1, "No.", *few)]))
    text = (await world.see(PAGE)).text
    assert all(text.count(once) == 1 for once in ("Be brief.", "Is 3 odd?", "Yes, odd.", "Is 4 odd?"))


@pytest.mark.slow
async def test_what_a_request_changed_of_what_was_said_is_shown_with_all_behind_it(world: World) -> None:
    first, forged = said("user", "May I?"), said("assistant", "You may.")
    await world.put(outputs([asked(1, "You may not.", first), asked(2, "Done.", first, forged, said("user", "Then do it."))]))
    text = (await world.see(PAGE)).text
    assert [text.count(once) for once in ("May I?", "You may not.", "You may.", "Then do it.")] == [1, 1, 1, 1]


async def test_conversations_that_alternate_are_each_told_once(world: World) -> None:
    one, two = said("user", "Of cats?"), said("user", "Of dogs?")
    more = [(said("assistant", "Cats purr."), said("user", "Why?")), (said("assistant", "Dogs bark."), said("user", "When?"))]
    calls = [
        asked(1, "Cats purr.", one),
        asked(2, "Dogs bark.", two),
        asked(3, "Who knows.", one, *more[0]),
        asked(4, "At night.", two, *more[1]),
    ]
    await world.put(outputs(calls))
    text = (await world.see(PAGE)).text
    assert all(text.count(once) == 1 for once in ("Of cats?", "Of dogs?", "Cats purr.", "Dogs bark.", "Why?", "When?"))


async def test_a_page_of_very_long_texts_ends_before_it_is_too_large_for_a_browser(world: World) -> None:
    await world.put(outputs([asked(number, "ok", said("user", f"{number} " + "word " * 60_000)) for number in range(1, 9)]))
    page = await world.see(PAGE)
    assert "6 more are in the table above" in page.text
    assert len(page.text) < 500_000


async def test_a_call_through_several_proxies_is_drawn_with_who_is_billed_and_read_once(world: World) -> None:
    await world.put(chains.outputs(chains.chain()))
    list_page = await world.see("/?since=30d")
    one = next(link for link in list_page.links() if link.startswith("/exchanges/"))
    leads = next(link for link in (await world.see(one)).links() if link.startswith("/together?request_id="))
    page = await world.see(leads)
    assert "billed here" in page.text
    assert "not billed: the gateway passes it on" in page.text
    rows = [found for tag, found in page.tags if tag == "tr" and "data-id" in found]
    assert [found.get("class") for found in rows] == [None, *["inner"] * (len(rows) - 1)]
    assert len([found for tag, found in page.tags if tag == "div" and found.get("class") == "turn"]) == 1


async def test_what_one_may_not_see_does_not_belong_to_it(world: World) -> None:
    await world.put(outputs(three_turns()))
    world.looker = Looker(Person("eve", "token"), dict.fromkeys(Right, Reach(namespaces=frozenset(("elsewhere",)))))
    hidden = (await world.see(PAGE, 404)).text
    nothing = (await world.see("/together?request_id=none", 404)).text
    assert hidden == nothing


async def test_without_a_name_it_says_what_to_ask_for(world: World) -> None:
    assert "/together?session=…" in (await world.see("/together", 404)).text
    assert "/together?session=…" in (await world.see("/together?session=", 404)).text


async def test_texts_are_for_whom_may_read_them(world: World) -> None:
    await world.put(outputs(three_turns()))
    world.looker = Looker(Person("vic", "token"), {Right.EXCHANGES: Reach(everything=True)})
    text = (await world.see(PAGE)).text
    assert "Which invoice is overdue?" not in text
    assert "Ada does." not in text
    assert "1 call 3 exchanges" in text


async def test_a_page_of_a_long_session_leads_to_the_next(world: World) -> None:
    await world.put(outputs([chat(number, f"question {number}", f"answer {number}", request_id=ID) for number in range(together.MOST + 5)]))
    page = await world.see(PAGE)
    later = next(str(found["href"]) for tag, found in page.tags if tag == "a" and found.get("rel") == "next")
    assert f"{together.MOST - together.TURNS} more are in the table above" in page.text
    assert len([found for tag, found in (await world.see(later)).tags if tag == "tr" and "data-id" in found]) == 5


def passed(name: str, at: str, ms: float, call: str = "", **hop: object) -> Record:
    made = filled({"id": name, "start": f"2026-11-30T10:00:{at}Z", "duration_ms": ms, "hop": hop})
    if call:
        made["request"]["id"] = call
    return made


def test_proxies_of_a_call_stay_together_though_another_call_began_in_between() -> None:
    found = together.lines([passed("a", "00.0", 4000, "one"), passed("b", "01.0", 500, "two"), passed("c", "02.0", 1000, "one")])
    assert [(line.row.id, line.inner) for line in found] == [("a", False), ("c", True), ("b", False)]
    assert [(line.x, line.width) for line in found] == [(0.0, 100.0), (50.0, 25.0), (25.0, 12.5)]


def test_without_a_billed_exchange_the_outermost_is_read() -> None:
    records = [
        passed("a", "00", 4, "one"),
        passed("b", "01", 3, "one"),
        passed("c", "02", 3, "two"),
        passed("d", "03", 3, "two", billable=True),
    ]
    assert [one["id"] for one in together.turns_of(records)] == ["a", "d"]


@pytest.mark.parametrize("damaged", [{}, {"caller": {"principal": "x"}}, {"damaged": True, "start": "2026-11-30T10:00:00Z"}])
def test_a_record_that_lacks_parts_is_shown_all_the_same(damaged: dict[str, object]) -> None:
    records = [filled({"start": "", **damaged}, "a")]
    assert together.facts(records)
    assert [line.x for line in together.lines(records)] == [0.0]
    assert together.lead(records)
