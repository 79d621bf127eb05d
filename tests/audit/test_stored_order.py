"""order=stored: what `meshscribe tail` follows."""

from __future__ import annotations

import pytest

from tests.audit.conftest import Api
from tests.audit.rows import JOURNAL, NOW, SECOND, exchange


async def test_what_is_stored_late_is_not_missed_although_it_began_earlier(api: Api) -> None:
    api.store.exchanges(exchange(NOW, position=10))
    after = (await api.exchanges(order="stored", after="now"))["after"]
    late = exchange(NOW - 900 * SECOND, position=11)
    api.store.exchanges(late)
    page = await api.exchanges(order="stored", after=after)
    assert [item["id"] for item in page["items"]] == [late["id"]]
    assert page["after"] == f"{JOURNAL}:11:0"


async def test_now_is_the_end_of_what_is_stored(api: Api) -> None:
    api.store.exchanges(exchange(NOW, position=10, ordinal=3))
    page = await api.exchanges(order="stored", after="now")
    assert page == {"items": [], "after": f"{JOURNAL}:10:3"}


async def test_an_empty_store_has_a_beginning_to_go_on_from(api: Api) -> None:
    after = (await api.exchanges(order="stored", after="now"))["after"]
    row = exchange(NOW)
    api.store.exchanges(row)
    assert await api.ids(order="stored", after=after) == [row["id"]]


async def test_several_outputs_of_one_position_are_told_apart(api: Api) -> None:
    rows = [exchange(NOW - n, position=5, ordinal=n) for n in range(4)]
    api.store.exchanges(*rows)
    assert await api.ids(order="stored", after=f"{JOURNAL}:5:1") == [rows[2]["id"], rows[3]["id"]]


async def test_a_journal_that_appears_later_is_followed_from_its_beginning(api: Api) -> None:
    api.store.exchanges(exchange(NOW, position=10))
    after = (await api.exchanges(order="stored", after="now"))["after"]
    row = exchange(NOW - SECOND, journal="meshscribe.raw/3:1 é", position=0)
    api.store.exchanges(row)
    page = await api.exchanges(order="stored", after=after)
    assert [item["id"] for item in page["items"]] == [row["id"]]
    assert (await api.exchanges(order="stored", after=page["after"]))["items"] == []


async def test_the_place_moves_past_what_the_filters_leave_out(api: Api) -> None:
    api.store.exchanges(exchange(NOW, position=10, namespace="dev"))
    page = await api.exchanges(order="stored", namespace="prod")
    assert page == {"items": [], "after": f"{JOURNAL}:10:0"}


async def test_a_revision_comes_as_what_was_stored_last(api: Api) -> None:
    api.store.exchanges(exchange(NOW, position=1))
    api.store.exchanges(exchange(NOW, revision=1, position=2))
    page = await api.exchanges(order="stored", after=f"{JOURNAL}:1:0")
    assert [item["revision"] for item in page["items"]] == [1]


@pytest.mark.parametrize("after", ["x", "x:1", "x:1:2:", "x:-1:0", f"{JOURNAL}:{1 << 63}:0", f"{JOURNAL}:1:{1 << 31}", "a\x00:1:1"])
async def test_what_is_no_place_is_refused(api: Api, after: str) -> None:
    api.store.exchanges(exchange(NOW))
    assert (await api.get("/v1/exchanges", order="stored", after=after)).status_code == 400


async def test_after_goes_with_stored_order_only(api: Api) -> None:
    answer = await api.get("/v1/exchanges", after="now")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"parameter": "after", "detail": "goes with order=stored only"}]
