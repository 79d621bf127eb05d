"""The list of exchanges: every filter in the address, next and previous inside the result, and words where there is nothing."""

from __future__ import annotations

import pytest

from collector.views.columns import DEFAULT
from tests.support.outputs import outputs
from tests.views.conftest import Seen, World, chat, filled

pytestmark = pytest.mark.asyncio


async def test_each_exchange_is_a_line_that_leads_to_it_and_keeps_the_filters(world: World) -> None:
    await filled(world, 3)
    page = await world.see("/?service=iris&since=1d")
    leading = [link for link in page.links() if link.startswith("/exchanges/")]
    assert len(set(leading)) == 3
    assert all("service=iris" in link and "since=1d" in link for link in leading)
    assert "answer 2" in page.text


async def test_a_filter_is_shown_as_a_chip_that_takes_it_away(world: World) -> None:
    await filled(world, 1)
    page = await world.see("/?status=200&model=m-7b")
    assert "/?status=200&since=1d" in page.links()
    assert "/?model=m-7b&since=1d" in page.links()


@pytest.mark.slow
async def test_pages_follow_one_another_without_a_line_lost_or_shown_twice(world: World) -> None:
    await filled(world, 120)
    seen: list[str] = []
    path = "/?since=1d"
    while path:
        page = await world.see(path)
        seen += sorted({link.partition("?")[0] for link in page.links() if link.startswith("/exchanges/")})
        path = next((str(found["href"]) for tag, found in page.tags if tag == "a" and found.get("rel") == "next"), "")
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.slow
async def test_next_and_previous_stay_inside_what_was_asked_for(world: World) -> None:
    await world.put(outputs([chat(number, status=503 if number % 2 else 200) for number in range(9)]))
    first = await world.see("/?status=503")
    path = next(link for link in first.links() if link.startswith("/exchanges/"))
    walked = []
    while path:
        page = await world.see(path)
        walked.append(path.partition("?")[0])
        assert "status=503" in path
        path = next((str(found["href"]) for tag, found in page.tags if tag == "a" and found.get("rel") == "next"), "")
    assert len(walked) == len(set(walked)) == 4


async def test_a_list_of_nothing_says_what_to_do(world: World) -> None:
    assert "No exchange yet." in (await world.see("/")).text
    assert "Take a filter away" in (await world.see("/?service=nobody")).text


async def test_a_question_that_is_not_understood_is_told_beside_the_filters_that_stay(world: World) -> None:
    page = await world.see("/?status=teapot", status=400)
    assert "is no status" in page.text
    assert "/?since=1d" in page.links()


async def test_an_unknown_exchange_is_said_to_be_none(world: World) -> None:
    page = await world.see("/exchanges/019e8a1c-5b00-7c11-a2b3-0242ac120002", status=404)
    assert "There is nothing here" in page.text


async def test_a_mistyped_address_leads_on_and_a_program_is_told_as_ever(world: World) -> None:
    person = await world.client.get("/usgae", headers={"accept": "text/html,*/*"})
    assert (person.status_code, person.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "No page has the address /usgae." in Seen(person.text).text
    program = await world.client.get("/usgae")
    assert (program.status_code, program.headers["content-type"]) == (404, "application/problem+json")


async def test_all_time_is_kept_by_every_link(world: World) -> None:
    await filled(world, 1)
    page = await world.see("/?since=all")
    narrowing = [link for link in page.links() if link.startswith("/?") and "service=" in link]
    assert narrowing
    assert all("since=all" in link for link in narrowing)


async def test_a_search_keeps_both_ends_of_the_time_that_was_chosen(world: World) -> None:
    await filled(world, 3)
    page = await world.see("/?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z")
    sent = next(str(found["value"]) for tag, found in page.tags if tag == "option" and "selected" in found)
    assert sent == "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"
    assert not [found for tag, found in page.tags if tag == "input" and found.get("name") in ("since", "until") and found["value"] == ""]
    again = await world.see(f"/?q=status:200&since={sent}")
    export = next(link for link in again.links() if link.startswith("/v1/export"))
    assert {"since=2026-01-01T00%3A00%3A00Z", "until=2026-01-02T00%3A00%3A00Z", "q=status%3A200"} <= set(
        export.partition("?")[2].split("&")
    )
    assert "No exchange matches." in again.text


@pytest.mark.slow
async def test_columns_are_chosen_and_stay_in_every_address(world: World) -> None:
    await filled(world, 60)
    page = await world.see("/?columns=service&columns=protocol&columns=annotation:nobody.example%2Fteam&since=1d")
    assert "There is no column annotation:nobody.example/team." in page.text
    page = await world.see("/?columns=service&columns=protocol&since=1d")
    assert [found for tag, found in page.tags if tag == "th"] == [{"class": ""}] * 2
    assert "openai-chat" in page.text
    leading = [link for link in page.links() if link.startswith(("/exchanges/", "/?"))]
    assert [link for link in leading if "columns=service%2Cprotocol" not in link] == []
    assert all("columns" not in link for link in page.links() if link.startswith("/v1/"))
    opened = await world.see(next(link for link in leading if link.startswith("/exchanges/")))
    assert any(found.get("rel") == "next" for _, found in opened.tags)


async def test_a_line_always_leads_to_its_exchange_whatever_columns_are_chosen(world: World) -> None:
    await filled(world, 1)
    assert any(link.startswith("/exchanges/") for link in (await world.see("/?columns=status")).links())


async def test_the_default_columns_are_not_in_the_address(world: World) -> None:
    await filled(world, 1)
    boxes = "&".join(f"columns={column.name}" for column in DEFAULT)
    assert not [link for link in (await world.see(f"/?{boxes}")).links() if "columns=" in link]
