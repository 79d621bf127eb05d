"""A conversation and its time line over the API: from stored bodies, only for who may see them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from collector.access.looker import EVERYTHING, NOBODY, Looker, Reach, Right
from collector.audit.app import create_app
from collector.messages.chunk_times import EXTENSION, pack
from tests.audit.conftest import Api, Parts
from tests.audit.rows import NOW, Clock, Store, exchange, patient, payload
from tests.conversation.kept import record_of
from tests.decode import transcripts as t

ASKED = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Capital of Norway?"}]}
STREAM = t.by_event(t.streamed(t.words("Os", "lo"), asked=ASKED))


def put(store: Store, at: int = NOW, namespace: str = "prod") -> str:
    """Stores the stream; its id."""
    row = exchange(at, namespace, namespace=namespace)
    record = {**record_of(STREAM), "id": row["exchange"], "service": {"namespace": namespace}}
    row["data"] = json.dumps(record).encode()
    store.exchanges(row)
    times = pack([(offset, length, round(seconds * 1e6)) for offset, length, seconds in STREAM.chunks])
    store.payloads(
        payload(row, "request", STREAM.request_body),
        payload(row, "response", STREAM.response_body, extensions=json.dumps({EXTENSION: times}).encode()),
    )
    return str(row["id"])


def seen_by(store: Store, rights: Mapping[Right, Reach]) -> httpx.AsyncClient:
    """The API as somebody with these rights asks it."""
    app: FastAPI = create_app(store.opened(), Parts(), CollectorRegistry(), patient(), Clock())

    async def looked(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        scope.setdefault("state", {})["looker"] = Looker(NOBODY, rights)
        await app(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(looked), base_url="http://audit")


async def test_prompt_and_answer_are_messages(api: Api) -> None:
    told = (await api.get(f"/v1/exchanges/{put(api.store)}/conversation")).json()
    assert [(m["side"], m["role"], m["parts"][0]["text"]) for m in told["messages"]] == [
        ("request", "user", "Capital of Norway?"),
        ("response", "assistant", "Oslo"),
    ]


async def test_the_stream_has_its_times(api: Api) -> None:
    told = (await api.get(f"/v1/exchanges/{put(api.store)}/timeline")).json()
    pieces = [event for event in told["events"] if event["kind"] == "text"]
    assert [event["text"] for event in pieces] == ["Os", "lo"]
    assert pieces[0]["at_ms"] < pieces[1]["at_ms"]
    assert len(told["parts"]) == len(STREAM.chunks)


@pytest.mark.parametrize("route", ["conversation", "timeline"])
async def test_an_exchange_without_bodies_is_told_with_what_is_missing(api: Api, route: str) -> None:
    row = exchange(NOW)
    record = json.loads(row["data"])
    record["request"]["body"] = record["response"]["body"] = {"size": 9}
    row["data"] = json.dumps(record).encode()
    api.store.exchanges(row)
    answer = await api.get(f"/v1/exchanges/{row['id']}/{route}")
    assert answer.status_code == 200
    assert answer.json()["exchange"] == row["id"]
    assert answer.json()["missing"][-1] == "The response's body was not captured."


@pytest.mark.parametrize("route", ["conversation", "timeline"])
async def test_without_texts_the_form_is_shown_and_no_text(store: Store, route: str) -> None:
    identity = put(store)
    async with seen_by(store, {Right.EXCHANGES: EVERYTHING}) as client:
        answer = await client.get(f"/v1/exchanges/{identity}/{route}")
    assert answer.status_code == 200
    assert "Norway" not in answer.text
    assert "Os" not in answer.text


@pytest.mark.parametrize("route", ["conversation", "timeline"])
async def test_what_lies_outside_ones_reach_is_answered_as_if_it_were_not_there(store: Store, route: str) -> None:
    theirs, never = put(store, namespace="theirs"), "019aaaaa-0000-7000-8000-000000000000"
    mine = Reach(namespaces=frozenset({"mine"}))
    async with seen_by(store, {Right.EXCHANGES: mine, Right.TEXTS: mine}) as client:
        hidden = await client.get(f"/v1/exchanges/{theirs}/{route}")
        wrong_revision = await client.get(f"/v1/exchanges/{theirs}/{route}", params={"revision": 7})
        absent = await client.get(f"/v1/exchanges/{never}/{route}")
    assert hidden.status_code == wrong_revision.status_code == absent.status_code == 404
    assert hidden.text.replace(theirs, "ID") == wrong_revision.text.replace(theirs, "ID") == absent.text.replace(never, "ID")
