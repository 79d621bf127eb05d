"""GET /v1/exchanges: what it finds, in which order, and as which bytes."""

from __future__ import annotations

import pytest

from collector.audit.pages import Portions
from collector.messages.completeness import Completeness
from tests.audit.conftest import Api, serving
from tests.audit.rows import MINUTE, NOW, SECOND, Store, exchange, name, record


async def test_records_come_newest_first_and_byte_for_byte_as_stored(api: Api) -> None:
    rows = [exchange(NOW - n * SECOND) for n in range(3)]
    api.store.exchanges(*reversed(rows))
    answer = await api.get("/v1/exchanges")
    assert answer.content == b'{"items":[' + b",".join(row["data"] for row in rows) + b"]}"
    assert answer.headers["content-type"] == "application/json"


async def test_oldest_first_on_request(api: Api) -> None:
    rows = [exchange(NOW - n * SECOND) for n in range(3)]
    api.store.exchanges(*rows)
    assert await api.ids(order="asc") == [row["id"] for row in reversed(rows)]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"namespace": "dev"}, "other"),
        ({"service": "bert"}, "other"),
        ({"namespace": "prod", "service": "bert"}, ""),
        ({"path": "/v2/models/bert/infer?x=1"}, "other"),
        ({"path": "/v2/models/bert/infer"}, ""),
        ({"path": "/v2/*"}, "other"),
        ({"path": "/V2/*"}, ""),
        ({"path": "/v_/*"}, ""),
        ({"path": "*"}, "usual other"),
        ({"method": "PUT"}, "other"),
        ({"method": "put,patch"}, "other"),
        ({"status": "503"}, "other"),
        ({"status": "5xx"}, "other"),
        ({"status": "404,5xx"}, "other"),
        ({"status": "2XX,503"}, "usual other"),
        ({"status": "4xx,none"}, ""),
        ({"request_id": "abc"}, "other"),
        ({"completeness": "client_aborted"}, "other"),
        ({"completeness": "client_aborted,tap_missing"}, "other"),
        ({"completeness": "client_aborted,complete"}, ""),
        ({"completeness": "!complete"}, "other"),
        ({"completeness": "!client_aborted"}, "usual"),
        ({"completeness": "tap_missing,!complete"}, "other"),
        ({"node": "router~1"}, "other"),
        ({"model": "bert"}, "other"),
        ({"caller": "spiffe://x"}, "other"),
    ],
)
async def test_each_filter_finds_what_it_names_and_no_more(api: Api, filters: dict[str, str], found: str) -> None:
    usual = exchange(NOW - SECOND)
    other = exchange(
        NOW,
        namespace="dev",
        service="bert",
        path="/v2/models/bert/infer?x=1",
        method="PUT",
        status=503,
        request_id="abc",
        completeness=int(Completeness.CLIENT_ABORTED | Completeness.TAP_MISSING),
        node="router~1",
        model="bert",
        caller="spiffe://x",
    )
    api.store.exchanges(usual, other)
    names = {usual["id"]: "usual", other["id"]: "other"}
    assert [names[i] for i in await api.ids(order="asc", **filters)] == found.split()


async def test_an_exchange_without_status_is_found_as_none(api: Api) -> None:
    gone, fine = exchange(NOW, status=None), exchange(NOW - SECOND)
    api.store.exchanges(gone, fine)
    assert await api.ids(status="none") == [gone["id"]]


async def test_time_is_exact_to_the_microsecond_inside_one_millisecond(api: Api) -> None:
    start = NOW // 1000 * 1000
    rows = [exchange(start + us) for us in (0, 1, 500, 998, 999)]
    api.store.exchanges(*rows)
    since, until = "2025-11-22T08:26:40.123001Z", "2025-11-22T08:26:40.123999Z"
    found = await api.ids(since=since, until=until)
    assert sorted(found) == sorted(row["id"] for row in rows[1:4])


async def test_relative_times_count_back_from_the_clock(api: Api) -> None:
    rows = [exchange(NOW - minutes * MINUTE) for minutes in (0, 10, 20, 30)]
    api.store.exchanges(*rows)
    assert await api.ids(since="20m", until="5m") == [rows[1]["id"], rows[2]["id"]]
    assert await api.ids(since="1h") == [row["id"] for row in rows]


async def test_an_offset_of_time_zone_is_honoured(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    assert await api.ids(since="2025-11-22T10:26:40+02:00") == [row["id"]]
    assert await api.ids(since="2025-11-22T10:26:41+02:00") == []


async def test_superseded_revisions_are_left_out_unless_asked_for(api: Api) -> None:
    first = exchange(NOW)
    second = exchange(NOW, revision=1, position=first["position"] + 9)
    api.store.exchanges(first, second)
    assert [(await api.exchanges())["items"][0]["revision"]] == [1]
    assert len(await api.ids()) == 1
    assert len(await api.ids(revisions="all")) == 2


async def test_a_page_ends_early_when_its_records_are_large(store: Store) -> None:
    rows = [exchange(NOW - n * SECOND) for n in range(20)]
    store.exchanges(*rows)
    async with serving(store, Portions(page_bytes=2000)) as api:
        page = await api.exchanges(limit=20)
        assert 0 < len(page["items"]) < 20
        rest = await api.ids(limit=20, cursor=page["next"])
    assert rest[0] == rows[len(page["items"])]["id"]


async def test_the_setting_bounds_the_page(api: Api) -> None:
    answer = await api.get("/v1/exchanges", limit=501)
    assert answer.status_code == 400
    assert "audit.page_limit" in answer.json()["errors"][0]["detail"]
    assert (await api.get("/v1/exchanges", limit=500)).status_code == 200


async def test_one_exchange_is_its_newest_revision_by_any_id(api: Api) -> None:
    first, second = exchange(NOW), exchange(NOW, revision=1, position=1 << 41)
    api.store.exchanges(first, second, exchange(NOW, "other"))
    for identity in (first["id"], second["id"], first["id"].upper()):
        assert (await api.get(f"/v1/exchanges/{identity}")).content == second["data"]
    assert (await api.get(f"/v1/exchanges/{second['id']}", revision=0)).content == first["data"]


async def test_an_exchange_whose_first_revision_is_gone_is_still_found_by_its_id(api: Api) -> None:
    second = exchange(NOW, revision=1)
    api.store.exchanges(second)
    assert (await api.get(f"/v1/exchanges/{second['exchange']}")).content == second["data"]


async def test_what_is_not_there_is_a_404_that_says_what(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    asked: list[tuple[str, dict[str, int], str]] = [
        (name(1), {}, "stored"),
        ("nonsense", {}, "form"),
        (row["id"], {"revision": 3}, "no revision 3; stored: 0"),
    ]
    for identity, parameters, told in asked:
        answer = await api.get(f"/v1/exchanges/{identity}", **parameters)
        assert answer.status_code == 404
        assert told in answer.json()["detail"]


def test_the_test_records_are_told_apart_from_any_serialiser() -> None:
    assert b" :  " in record("i", 0, exchange(NOW))
