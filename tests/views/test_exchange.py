"""One exchange as people read it: what was said, what it cost, where it passed, and how whole the record is."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from collector.access.looker import Looker, Person, Reach, Right
from collector.messages.tap_pb2 import NONE
from collector.views.exchange import _steps
from tests.support import chains
from tests.support.outputs import outputs
from tests.support.witnesses import T0
from tests.views.conftest import World, chat

pytestmark = pytest.mark.asyncio


async def opened(world: World, listed: str = "/") -> str:
    """The address of the newest exchange."""
    return next(link for link in (await world.see(listed)).links() if link.startswith("/exchanges/"))


async def test_the_answer_the_tokens_and_the_billing_are_in_words(world: World) -> None:
    await world.put(outputs([chat(1, "Where is it?", "It is here.")]))
    page = await world.see(await opened(world))
    assert "It is here." in page.text
    assert "3 → 2" in page.text
    assert "told by the server" in page.text
    assert "Its witnesses told all of it." in page.text


async def test_a_call_through_several_proxies_is_drawn_with_who_is_billed(world: World) -> None:
    await world.put(chains.outputs(chains.chain()))
    page = await world.see(await opened(world, "/?since=30d"))
    for role in ("gateway", "transformer", "predictor"):
        assert role in page.text
    assert "billed here" in page.text
    assert "not billed: the gateway passes it on" in page.text


async def test_without_bodies_it_says_why_there_is_nothing_to_read(world: World) -> None:
    await world.put(outputs([chat(1, level=NONE)]))
    page = await world.see(await opened(world))
    assert "There are no bodies" in page.text or "Nothing was said" in page.text


async def test_it_can_be_copied_as_curl_as_a_command_and_as_a_link(world: World) -> None:
    await world.put(outputs([chat(1)]))
    page = await world.see(await opened(world))
    copies = [found["data-copy"] or "" for _, found in page.tags if "data-copy" in found]
    assert [text.split()[0] for text in copies[:2]] == ["curl", "meshscribe"]
    assert copies[2].startswith("http://audit/exchanges/")


@pytest.mark.slow
async def test_one_whose_rights_end_somewhere_reads_on_inside_of_them(world: World) -> None:
    await world.put(outputs([chat(1), chat(2)]))
    world.looker = Looker(Person("ada", "token"), dict.fromkeys(Right, Reach(namespaces=frozenset(("demo",)))))
    first = await opened(world, "/?since=30d")
    page = await world.see(first)
    older = next(str(found["href"]) for tag, found in page.tags if tag == "a" and found.get("rel") == "next")
    assert older.partition("?")[0] != first.partition("?")[0]
    last = await world.see(older)
    assert not [found for tag, found in last.tags if tag == "a" and found.get("rel") == "next"]


async def test_next_and_previous_stay_inside_the_span_of_time(world: World) -> None:
    world.clock.us = T0 + 10_000_000
    await world.put(outputs([chat(number) for number in (1, 7, 8)]))
    path = await opened(world, "/?since=5s")
    page = await world.see(path)
    older = next(str(found["href"]) for tag, found in page.tags if tag == "a" and found.get("rel") == "next")
    last = await world.see(older)
    assert not [found for tag, found in last.tags if tag == "a" and found.get("rel") == "next"]


async def test_its_call_its_trace_and_its_session_are_a_click_away(world: World) -> None:
    await world.put(outputs([chat(1)]))
    page = await world.see(await opened(world))
    call = next(link for link in page.links() if "request_id=" in link)
    assert call.startswith("/together?")
    assert len([link for link in (await world.see(call)).links() if link.startswith("/exchanges/")]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("column", "value"), [("status", "text"), ("duration_us", "x"), ("time_us", "x"), ("time_us", -1)])
async def test_a_damaged_row_of_its_call_takes_no_other_page_away(world: World, column: str, value: object) -> None:
    await world.put(outputs([chat(1), chat(2)]))
    with closing(sqlite3.connect(world.path)) as store, store:
        damaged, sound = [row[0] for row in store.execute("SELECT id FROM exchanges ORDER BY id")]
        store.execute(
            f"UPDATE exchanges SET data = ?, {column} = ?, request_id = (SELECT request_id FROM exchanges WHERE id = ?) WHERE id = ?",
            (b"{", value, sound, damaged),
        )
    await world.see(f"/exchanges/{sound}")
    assert "damaged" in (await world.see(f"/exchanges/{damaged}")).text


@pytest.mark.slow
async def test_of_a_very_long_text_a_page_shows_the_beginning_and_says_how_much_more_there_is(world: World) -> None:
    await world.put(outputs([chat(1, "word " * 60_000)]))
    page = await world.see(await opened(world))
    assert "… and 100,000 more characters: all of it is in the body that is stored." in page.text
    assert len(page.text) < 300_000


async def test_the_times_of_a_stream_are_told_as_steps() -> None:
    assert _steps([200.4, 230.0, 230.2, 2260.0]) == [200, 30, 0, 2030]
