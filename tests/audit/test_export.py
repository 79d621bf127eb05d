"""GET /v1/export: all that the filters show, fixed to what the store held, whole or in parts."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from hashlib import sha256
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from collector.access.looker import Looker, Reach, Right
from collector.access.proof import NotProvenError
from collector.audit import long_answers
from collector.audit.app import create_app
from collector.audit.export_forms import cell
from collector.audit.pages import Portions
from collector.errors import RetryableError
from collector.settings import Audit
from tests.audit.conftest import Api, Parts, serving
from tests.audit.lookers import ADA, looker
from tests.audit.reading import Reading
from tests.audit.rows import NOW, SECOND, Clock, Store, exchange, patient, payload


def whole(content: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The items and what the last line tells, which must be true."""
    lines = content.splitlines(keepends=True)
    told = json.loads(lines[-1])["meshscribe_export"]
    before = b"".join(lines[:-1])
    assert (told["rows"], told["bytes"], told["sha256"]) == (len(lines) - 1, len(before), sha256(before).hexdigest())
    return [json.loads(line) for line in lines[:-1]], told


async def exported(api: Api, **parameters: str | int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    answer = await api.get("/v1/export", **parameters)
    assert answer.status_code == 200, answer.text
    return whole(answer.content)


async def test_it_is_what_the_list_shows_byte_for_byte_and_says_that_it_is_whole(store: Store) -> None:
    rows = [exchange(NOW - n * SECOND, namespace="dev" if n % 3 else "prod") for n in range(20)]
    store.exchanges(*reversed(rows))
    async with serving(store, Portions(export_rows=3)) as api:
        answer = await api.get("/v1/export", namespace="dev", order="desc")
    wanted = [row["data"] for row in rows if row["namespace"] == "dev"]
    assert answer.content.splitlines()[:-1] == wanted
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "next" not in whole(answer.content)[1]


async def test_parts_joined_are_the_whole_whatever_is_stored_meanwhile(api: Api) -> None:
    api.store.exchanges(*(exchange(NOW + n, position=10 + n) for n in range(9)))
    wanted, _ = await exported(api)
    found, told = await exported(api, limit=2)
    api.store.exchanges(
        exchange(NOW + 3, "late", position=50),
        exchange(NOW + 4, revision=1, position=51),
        exchange(NOW + 2, "elsewhere", journal="another", position=1),
    )
    while "next" in told:
        more, told = await exported(api, limit=2, cursor=told["next"])
        found += more
    assert found == wanted
    assert len((await exported(api))[0]) == len(wanted) + 2
    assert [item["revision"] for item in found] == [0] * 9


async def test_the_cursor_of_an_answer_gives_it_once_more(api: Api) -> None:
    api.store.exchanges(*(exchange(NOW + n, position=n) for n in range(5)))
    answer = await api.get("/v1/export", since="1h")
    api.store.exchanges(exchange(NOW, revision=1, position=9), exchange(NOW, "new", position=10))
    api.clock.us += 7200 * SECOND
    again = await api.get("/v1/export", since="1h", cursor=answer.headers["meshscribe-cursor"])
    assert again.content == answer.content


async def test_a_revision_that_was_there_stands_for_its_exchange(api: Api) -> None:
    api.store.exchanges(exchange(NOW, position=1), exchange(NOW, revision=1, position=2))
    _, told = await exported(api, limit=1)
    cursor = (await api.get("/v1/export")).headers["meshscribe-cursor"]
    api.store.exchanges(exchange(NOW, revision=2, position=3))
    assert [item["revision"] for item in (await exported(api, cursor=cursor))[0]] == [1]
    assert [item["revision"] for item in (await exported(api))[0]] == [2]
    assert [item["revision"] for item in (await exported(api, revisions="all"))[0]] == [0, 1, 2]
    assert told["rows"] == 1


@pytest.mark.parametrize("parameters", [{"cursor": "x"}, {"after": "now"}, {"order": "stored"}, {"format": "xml"}, {"limit": 0}])
async def test_what_it_does_not_take_is_refused(api: Api, parameters: dict[str, str]) -> None:
    assert (await api.get("/v1/export", **parameters)).status_code == 400


async def test_a_cursor_of_another_query_is_refused(api: Api) -> None:
    cursor = (await api.get("/v1/export", namespace="dev")).headers["meshscribe-cursor"]
    assert (await api.get("/v1/export", namespace="prod", cursor=cursor)).status_code == 400


async def test_bodies_come_with_their_exchange_and_each_revision_has_that_of_the_one_before(api: Api) -> None:
    first, second, third = (exchange(NOW, revision=n, position=n) for n in (0, 1, 2))
    api.store.exchanges(first, second, third, exchange(NOW + SECOND, position=9))
    damaged = payload(third, "response", b"no", compression="zstd", data=b"broken")
    api.store.payloads(payload(first, "request", b"asked"), payload(second, "request", b"+asked again", size=99), damaged)
    found, _ = await exported(api, bodies="true", revisions="all")
    asked = [item["bodies"].get("request", {}).get("data_base64") for item in found]
    assert [base64.b64decode(text or "") for text in asked] == [b"asked", b"+asked again", b"+asked again", b""]
    assert found[1]["bodies"]["request"]["size"] == 99
    assert found[2]["bodies"]["response"]["damaged"] is True
    table = await api.get("/v1/export", bodies="true", format="csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert base64.b64decode(rows[0]["request_body"].removeprefix("base64:")) == b"+asked again"
    assert rows[0]["response_body"] == "damaged"


async def test_large_bodies_are_read_few_at_a_time(store: Store) -> None:
    rows = [exchange(NOW + n) for n in range(9)]
    store.exchanges(*rows)
    store.payloads(*(payload(row, "request", b"x" * 400) for row in rows))
    async with serving(store, Portions(export_body_bytes=1000)) as api:
        found, _ = await exported(api, bodies="true")
    assert [item["bodies"]["request"]["size"] for item in found] == [400] * 9


async def test_csv_has_named_columns_and_no_cell_that_a_spreadsheet_runs(api: Api) -> None:
    hostile = '=HYPERLINK("http://x","y"),\r\n@z'
    api.store.exchanges(exchange(NOW, path=hostile, model="-2+3", request_id="'quoted"))
    answer = await api.get("/v1/export", format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines()[-1].startswith("#meshscribe_export {")
    row = next(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert row["path"] == "'" + hostile
    assert (row["model_requested"], row["request_id"], row["status"]) == ("'-2+3", "''quoted", "200")
    assert not [text for text in row.values() if text[:1] in ("=", "+", "-", "@", "\t", "\r")]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", " =1", "'a", "＝1"])
def test_whoever_takes_the_quote_away_has_the_text(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize("text", ["plain", "/v1/chat", "a=b", ""])
def test_other_texts_are_as_they_are(text: str) -> None:
    assert cell(text) == text


async def test_a_slow_reader_holds_no_turn_and_no_more_than_its_seat(sqlite_store: Store) -> None:
    sqlite_store.exchanges(*(exchange(NOW + n, position=n) for n in range(9)))
    engine = sqlite_store.opened()
    settings = Audit(queries=1, client_queries=1, client_exports=1)
    app = create_app(engine, Parts(), CollectorRegistry(), settings, Clock(), portions=Portions(export_rows=1))
    slow = Reading(app, "/v1/export", "")
    assert (await slow.piece())["status"] == 200
    assert json.loads((await slow.piece())["body"])["revision"] == 0
    transport = httpx.ASGITransport(app, client=("10.0.0.1", 2))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as client:
        assert (await client.get("/v1/exchanges")).status_code == 200
        refused = await client.get("/v1/export")
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"exports";q=1;qu="concurrent-requests"'
        assert refused.headers["ratelimit"] == '"exports";r=0;t=5'
        assert "audit.client_exports" in refused.json()["detail"]
        await slow.leave()
        assert whole((await client.get("/v1/export")).content)[1]["rows"] == 9
    await engine.dispose()


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (None, long_answers.GONE),
        (NotProvenError("expired"), long_answers.GONE),
        (RetryableError("nobody answers"), long_answers.UNKNOWN),
        (Looker(ADA, {Right.EXCHANGES: Reach(namespaces=frozenset({"dev"}))}), long_answers.CHANGED),
    ],
)
@pytest.mark.parametrize("kind", ["ndjson", "csv"])
async def test_an_export_ends_with_a_word_when_its_reader_is_not_let_in_any_more(
    sqlite_store: Store, later: Looker | Exception | None, why: str, kind: str
) -> None:
    sqlite_store.exchanges(*(exchange(NOW + n, position=10 + n) for n in range(20)))
    who, clock, asked = looker(Right.EXCHANGES, Right.TEXTS), Clock(), 0

    async def again() -> Looker | None:
        nonlocal asked
        asked += 1
        if asked < 3:
            return who
        if isinstance(later, Exception):
            raise later
        return later

    engine = sqlite_store.opened()
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), clock, portions=Portions(export_rows=3))

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def later_on(message: Any) -> None:
            clock.us += 11 * SECOND
            await send(message)

        await app({**scope, "state": {"looker": who, "ask_again": again}}, receive, later_on)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://audit") as client:
        answer = await client.get("/v1/export", params={"format": kind})
        lines = answer.content.splitlines(keepends=True)
        told = json.loads(re.sub(rb"^#meshscribe_export ", b"", lines[-1]))
        told = told.get("meshscribe_export", told)
        before = b"".join(lines[:-1])
        assert (told["ended"], told["rows"], told["bytes"]) == (why, 9, len(before))
        assert "sha256" not in told
        asked = 0
        clock.us = NOW
        rest = await client.get("/v1/export", params={"format": kind, "limit": 2, "cursor": told["next"]})
    assert (
        rest.content.splitlines(keepends=True)[-3:-1]
        == [line for line in (await _whole(sqlite_store, kind)).splitlines(keepends=True) if line not in lines][:2]
    )
    await engine.dispose()


async def _whole(store: Store, kind: str) -> bytes:
    engine = store.opened()
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        content = (await client.get("/v1/export", params={"format": kind})).content
    await engine.dispose()
    return content


async def test_a_refused_export_leaves_its_seat(api: Api) -> None:
    for _ in range(5):
        assert (await api.get("/v1/export", cursor="x")).status_code == 400
    assert (await api.get("/v1/export")).status_code == 200
