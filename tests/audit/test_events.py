"""GET /v1/exchanges/{id}/events, read back by the CloudEvents SDK."""

from __future__ import annotations

import json

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from collector.audit.moments import when
from collector.messages.event import EXCHANGE_TYPE
from tests.audit.conftest import Api
from tests.audit.rows import NOW, exchange, payload


async def read(api: Api, identity: str) -> list[CloudEvent]:
    answer = await api.get(f"/v1/exchanges/{identity}/events")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    return [JSONFormat().read(CloudEvent, json.dumps(event)) for event in answer.json()]


async def test_the_batch_holds_every_revision_and_its_payloads(api: Api) -> None:
    first, second = exchange(NOW), exchange(NOW, revision=1, position=9)
    api.store.exchanges(first, second)
    api.store.payloads(payload(first, "request", b"{}"), payload(second, "request", b"\x00"), payload(second, "response", b"y"))
    events = await read(api, second["id"])
    assert [(e.get_type().rsplit(".", 2)[-2:], e.get_extension("revision")) for e in events] == [
        (["exchange", "v1"], 0),
        (["inference", "request"], 0),
        (["exchange", "v1"], 1),
        (["inference", "request"], 1),
        (["inference", "response"], 1),
    ]
    assert len({e.get_id() for e in events}) == 5
    assert {e.get_extension("exchange") for e in events} == {first["id"]}


async def test_attributes_and_data_are_those_of_the_row(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b'{"a":  1}'))
    own, request = await read(api, row["id"])
    assert own.get_data() == json.loads(row["data"])
    assert (own.get_id(), own.get_source(), own.get_subject(), own.get_time()) == (row["id"], row["source"], row["subject"], when(NOW))
    assert request.get_data() == b'{"a":  1}'
    assert request.get_extension("component") == "predictor"


async def test_what_is_not_known_is_no_attribute(api: Api) -> None:
    row = exchange(NOW, subject=None)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"x", content_type=None))
    own, request = await read(api, row["id"])
    assert own.get_subject() is None
    assert request.get_datacontenttype() is None


async def test_a_proxys_impossible_clock_still_gives_an_event(api: Api) -> None:
    row = exchange(1 << 62, position=1)
    api.store.exchanges(row)
    (own,) = await read(api, row["id"])
    assert own.get_time() is not None


async def test_what_is_no_inference_has_no_usage_event(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    assert [event.get_type() for event in await read(api, row["id"])] == [EXCHANGE_TYPE]


async def test_an_unknown_exchange_is_a_404(api: Api) -> None:
    assert (await api.get("/v1/exchanges/x/events")).status_code == 404
