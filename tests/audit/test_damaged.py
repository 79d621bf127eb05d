"""A record or a body that is not what was stored is named as such, and nothing beside it is missing."""

from __future__ import annotations

import json
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest
from prometheus_client import CollectorRegistry

from collector.audit.app import create_app
from collector.audit.moments import Span
from collector.audit.problems import DAMAGED
from collector.settings import Sink
from collector.store.engine import open_engine
from collector.upkeep.verify.payloads import bodies
from tests.audit.conftest import Api, Parts
from tests.audit.rows import MINUTE, NOW, SECOND, Clock, Store, away, exchange, patient, payload, window


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


def with_body(sent: bytes, time_us: int = NOW) -> dict[str, Any]:
    row = exchange(time_us)
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


def overwrite(path: Path, table: str, value: str) -> None:
    """Stores something else in place of the bytes of the second row, as a flipped bit in a row's head makes SQLite read it."""
    for statement in (
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'data BLOB NOT NULL', 'data BLOB')",
        f"UPDATE {table} SET data = {value} WHERE id = (SELECT id FROM {table} ORDER BY id LIMIT 1 OFFSET 1)",
    ):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(statement)
        connection.close()


@pytest.mark.parametrize("value", ["CAST(data AS TEXT)", "5", "1.5", "NULL"])
async def test_bytes_that_sqlite_reads_as_something_else_are_damaged_and_cost_themselves(sqlite_store: Store, value: str) -> None:
    rows = [with_body(b"hello %d" % number, NOW + number * SECOND) for number in range(3)]
    sqlite_store.exchanges(*rows)
    sqlite_store.payloads(*(payload(row, "request", b"hello %d" % number) for number, row in enumerate(rows)))
    overwrite(sqlite_store.path, "payloads", value)
    engine = open_engine(Sink(url=f"sqlite:///{sqlite_store.path}"))
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        answers = [await client.get(f"/v1/exchanges/{row['id']}/request") for row in rows]
        assert [answer.status_code for answer in answers] == [200, 500, 200]
        assert answers[1].json()["type"] == DAMAGED
        [_, event] = (await client.get(f"/v1/exchanges/{rows[1]['id']}/events")).json()
        assert event["data"]["damaged"] is True
        (damaged,) = (finding for finding in await bodies(engine, Span()) if not finding.ok)
        assert "delete the row, then `meshscribe replay" in damaged.said, "replay does not write over what is there"
        overwrite(sqlite_store.path, "exchanges", value)
        items = (await client.get("/v1/exchanges", params={"order": "asc"})).json()["items"]
        assert [item.get("damaged", False) for item in items] == [False, True, False]
    found = {finding.check: finding.missing for finding in await bodies(engine, Span())}
    assert found == {"bodies": 0, "records": 1}
    await engine.dispose()


DAMAGED_WINDOWS = {"no JSON": b"\x00nothing", "no object": b"[1]", "no UTF-8": b'{"dropped":"\xff"}', "deep": b"[" * 100_000}


@pytest.mark.parametrize("data", DAMAGED_WINDOWS.values(), ids=DAMAGED_WINDOWS)
async def test_a_damaged_window_counts_by_its_columns_and_the_others_are_whole(api: Api, data: bytes) -> None:
    hit = window(NOW + MINUTE, "a", received=5, dropped={"queue_full": 2}, refused={"share": 1}, cured={"missing": {NOW: 1}})
    rows = [window(NOW, "a", missing=1, dropped={"too_old": 3}), {**hit, "data": data}, {**away(NOW, NOW + SECOND), "data": data}]
    api.store.ledger(*rows)
    page = (await api.get("/v1/ledger")).json()
    second, first = page["items"]
    assert (second["damaged"], second["announced"], second["received"], second["lost"]) == (True, 7, 5, 3)
    assert (second["dropped"], second["refused"]) == ({"reasons_damaged": 2, "total": 2}, {"reasons_damaged": 1, "total": 1})
    assert "2 of 7 ends of streams: reasons damaged 2" in second["verdict"]
    assert ("damaged" in first, first["lost"]) == (False, 4), "what a damaged window would cure stays lost"
    (proxy,) = (await api.get("/v1/ledger", group="proxy")).json()["items"]
    for found in (proxy, page["totals"]):
        assert found["dropped"] == {"too_old": 3, "reasons_damaged": 2, "total": 5}
        assert found["lost"] == 7
    assert page["totals"]["times_away"] == 1


@pytest.mark.parametrize("value", ["CAST(data AS TEXT)", "5", "NULL"])
async def test_a_window_that_sqlite_reads_as_something_else_is_damaged(sqlite_store: Store, value: str) -> None:
    sqlite_store.ledger(*(window(NOW + n * MINUTE, "a", received=5, dropped={"queue_full": 2}) for n in range(3)))
    overwrite(sqlite_store.path, "ledger", value)
    engine = open_engine(Sink(url=f"sqlite:///{sqlite_store.path}"))
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        page = (await client.get("/v1/ledger")).json()
    assert [item.get("damaged", False) for item in page["items"]] == [False, True, False]
    assert page["totals"]["dropped"] == {"queue_full": 4, "reasons_damaged": 2, "total": 6}
    await engine.dispose()
