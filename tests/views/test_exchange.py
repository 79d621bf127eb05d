"""One exchange as people read it: what was said, what it cost, where it passed, and how whole the record is."""

from __future__ import annotations

import pytest

from collector.messages.tap_pb2 import NONE
from tests.support import chains
from tests.support.outputs import outputs
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
    assert "billed: predictor-hop" in page.text
    assert "not billed" in page.text


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
