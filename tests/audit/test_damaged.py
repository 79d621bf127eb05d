"""A record or a body that is not what was stored is named as such, and nothing beside it is missing."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from zlib import crc32

import pytest

from collector.audit.problems import DAMAGED
from tests.audit.conftest import Api
from tests.audit.rows import NOW, exchange, payload


def sealed(time_us: int, **changes: Any) -> dict[str, Any]:
    """A row as the sink writes it."""
    row = exchange(time_us, **changes)
    return {**row, "crc": crc32(row["data"])}


DAMAGES = {
    "a byte that still reads as JSON": lambda data: data.replace(b"200", b"201"),
    "no JSON": lambda data: data.replace(b"{", b"\x00", 1),
    "cut": lambda data: data[:50],
    "no UTF-8": lambda data: data.replace(b"llama", b"ll\xffma"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_record_is_a_placeholder_and_the_rest_of_the_page_is_there(api: Api, damage: Any) -> None:
    rows = [sealed(NOW + number) for number in range(3)]
    rows[1]["data"] = damage(rows[1]["data"])
    api.store.exchanges(*rows)
    for order in ("asc", "stored"):
        items = (await api.exchanges(order=order))["items"]
        assert [item["id"] for item in items] == [row["id"] for row in rows]
        assert [item.get("damaged", False) for item in items] == [False, True, False]
    record = (await api.get(f"/v1/exchanges/{rows[1]['id']}")).json()
    assert record == items[1]
    assert record["why"].startswith("the record does not fit its checksum")
    assert (record["request"]["path"], record["response"]["status"]) == (rows[1]["path"], 200)
    events = (await api.get(f"/v1/exchanges/{rows[1]['id']}/events")).json()
    assert events[0]["data"]["damaged"] is True
    [call] = (await api.get(f"/v1/calls/{rows[1]['request_id']}")).json()["items"]
    assert call["root"] == rows[1]["id"]


async def test_a_record_without_a_checksum_that_is_no_json_is_a_placeholder_too(api: Api) -> None:
    api.store.exchanges(row := exchange(NOW, data=b"\x00nothing"))
    [item] = (await api.exchanges())["items"]
    assert (item["id"], item["damaged"]) == (row["id"], True)


def with_body(sent: bytes) -> dict[str, Any]:
    row = exchange(NOW)
    record = json.loads(row["data"])
    record["request"]["body"] = {"captured": len(sent), "sha256": sha256(sent).hexdigest()}
    data = json.dumps(record).encode()
    return {**row, "data": data, "crc": crc32(data)}


async def test_a_body_is_compared_with_its_record_and_says_so(api: Api) -> None:
    row = with_body(b"hello")
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"hello"))
    answer = await api.get(f"/v1/exchanges/{row['id']}/request")
    assert (answer.content, answer.headers["meshscribe-verified"]) == (b"hello", "true")


@pytest.mark.parametrize(
    "stored", [{"compression": None, "data": b"hallo"}, {"data": b"no zstd"}, {"compression": "lz4"}], ids=["another", "broken", "unknown"]
)
async def test_a_body_that_is_not_what_its_record_tells_is_an_error_that_says_damaged(api: Api, stored: dict[str, Any]) -> None:
    row = with_body(b"hello")
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"hello", **stored))
    answer = await api.get(f"/v1/exchanges/{row['id']}/request")
    assert (answer.status_code, answer.json()["type"]) == (500, DAMAGED)
    [_, event] = (await api.get(f"/v1/exchanges/{row['id']}/events")).json()
    assert event["data"]["damaged"] is True


async def test_bytes_that_were_cut_on_their_way_are_served_as_not_compared(api: Api) -> None:
    row = with_body(b"hello" * 100)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"hello", extensions=b'{"exchange":"x","truncated":true}'))
    answer = await api.get(f"/v1/exchanges/{row['id']}/request")
    assert (answer.content, answer.headers["meshscribe-verified"]) == (b"hello", "false")
