"""Errors: one shape, all faults at once, nothing of the inside, and never a 500 for what a caller sends."""

from __future__ import annotations

import logging
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.audit.parameters import ExchangeQuery, LedgerQuery
from tests.audit.conftest import Api
from tests.audit.rows import NOW, exchange, patient, window
from tests.support.effort import examples

NAMES = sorted({*ExchangeQuery.model_fields, *LedgerQuery.model_fields, "revision", "nonsense"})
VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["5xx", "503,none", "!complete", "1h", "now", "asc", "stored", "all", "proxy", "*", "0", "1", "-1", "9" * 30]),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", fullmatch=True),
    st.from_regex(r"[0-9]{1,9}[smhdw]", fullmatch=True),
    st.from_regex(r"[a-z]{1,4}:[0-9]{1,25}:[0-9]{1,12}", fullmatch=True),
)
PATHS = [
    "/v1/exchanges",
    "/v1/ledger",
    "/v1/exchanges/{}",
    "/v1/exchanges/{}/request",
    "/v1/exchanges/{}/response",
    "/v1/exchanges/{}/events",
]


@pytest.mark.slow
@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_parameter_makes_a_fault(api_for_fuzzing: object, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PATHS)).format(
        quote(data.draw(st.text(min_size=1, max_size=20).filter(lambda t: t not in (".", ".."))), safe="")
    )
    names = data.draw(st.lists(st.sampled_from(NAMES), max_size=4))
    parameters = [(name, data.draw(VALUES)) for name in names]
    status, content_type = api_for_fuzzing(path, parameters)  # type: ignore[operator]
    assert status in (200, 400, 404)
    assert (content_type == "application/problem+json") == (status != 200)


@pytest.fixture
def api_for_fuzzing(store, tmp_path):  # type: ignore[no-untyped-def]
    """The application in a loop of its own, for a test that is not a coroutine."""
    import asyncio

    import httpx
    from prometheus_client import CollectorRegistry

    from collector.audit.app import create_app
    from tests.audit.conftest import Parts
    from tests.audit.rows import Clock

    store.exchanges(exchange(NOW), exchange(NOW, revision=1, position=5))
    store.ledger(window(NOW, received=3, dropped={"queue_full": 1}))
    engine = store.opened()
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock())
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit")

        def get(path: str, parameters: list[tuple[str, str]]) -> tuple[int, str]:
            answer = runner.run(client.get(path, params=parameters))
            return answer.status_code, answer.headers["content-type"]

        yield get
        runner.run(client.aclose())
        runner.run(engine.dispose())


async def test_every_fault_is_named_at_once(api: Api) -> None:
    answer = await api.get("/v1/exchanges", status="6xx", since="yesterday", completeness="whole", limit=0, namespce="prod", path="")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {error["parameter"] for error in problem["errors"]} == {"status", "since", "completeness", "limit", "namespce", "path"}
    assert problem["title"] == "Bad Request"
    assert problem["status"] == 400
    assert problem["type"].startswith("urn:meshscribe:")


@pytest.mark.parametrize("path", ["/v1/exchanges", "/v1/ledger", "/v1/exchanges/x", "/v1/exchanges/x/request", "/v1/exchanges/x/events"])
async def test_an_unknown_parameter_never_widens_a_query(api: Api, path: str) -> None:
    answer = await api.get(path, namespce="prod")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"parameter": "namespce", "detail": "no such parameter here; /docs lists what there is"}]


async def test_a_repeated_parameter_is_refused(api: Api) -> None:
    answer = await api.client.get("/v1/exchanges?status=500&status=200")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"parameter": "status", "detail": "given 2 times"}]


async def test_a_time_without_offset_is_refused_with_what_is_expected(api: Api) -> None:
    for since in ("2025-11-22T10:00:00", "2025-11-22", "20251122T100000Z", "15", "1y", "2025-02-30T00:00:00Z", "٣m"):
        answer = await api.get("/v1/exchanges", since=since)
        assert "RFC 3339" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/exchanges/", "/v2/exchanges"])
async def test_an_unknown_path_is_a_problem(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_a_problem_and_says_what_is_allowed(api: Api, method: str) -> None:
    answer = await api.client.request(method, "/v1/exchanges")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert answer.headers["allow"] == "GET"


async def test_a_fault_tells_an_id_and_nothing_of_the_inside(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> str:
        raise ValueError("malformed: secret-inside")

    monkeypatch.setattr("collector.audit.events.when", broken)
    api.store.exchanges(row := exchange(NOW))
    answer = await api.get(f"/v1/exchanges/{row['id']}/events")
    problem = answer.json()
    assert answer.status_code == 500
    assert "secret-inside" not in answer.text
    assert "malformed" not in answer.text
    assert problem["instance"] in caplog.text
    assert "Traceback" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_store_that_is_not_there_is_503_and_not_a_fault(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.store.drop()
    caplog.set_level(logging.ERROR)
    for path in ("/v1/exchanges", "/v1/ledger"):
        answer = await api.get(path)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "no such table" not in answer.text
        assert answer.json()["instance"] in caplog.text
