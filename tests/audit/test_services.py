"""GET /v1/services and the versions of one, over a real catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest_asyncio
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine

from collector.audit.app import create_app
from collector.audit.services import Known
from collector.enrich.directory import Directory
from collector.enrich.version import LLM_INFERENCE_SERVICE, ServiceVersion
from collector.messages.usage_counts import SUMS
from collector.settings import Services
from collector.store.schema import usage_hours, usage_keys
from tests.audit.conftest import Parts
from tests.audit.rows import NOW, SECOND, Clock, Store, _insert, patient


def version(namespace: str, name: str, number: int = 1, **changes: object) -> ServiceVersion:
    plain = {"kind": "InferenceService", "uid": f"u-{namespace}-{name}", "generation": number, "annotations": {"team": f"t{number}"}}
    since = {"resource_version": str(100 + number), "since_us": NOW + number * SECOND}
    return ServiceVersion(namespace, name, **{**plain, **since, **changes})  # type: ignore[arg-type]


class Watched(Directory):
    """A directory whose watch says what the test wants."""

    said: dict[str, object] | None = None

    def watch(self) -> dict[str, object] | None:
        return self.said


@asynccontextmanager
async def asked(store: Store, known: Known | None) -> AsyncIterator[httpx.AsyncClient]:
    engine = store.opened()
    app = create_app(engine, Parts(), CollectorRegistry(), patient(page_limit=500), Clock(), known)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        yield client
    await engine.dispose()


class Serving:
    """The API and the catalogue behind it."""

    def __init__(self, client: httpx.AsyncClient, directory: Watched) -> None:
        self.client, self.directory = client, directory

    def apply(self, *versions: ServiceVersion) -> None:
        for one in versions:
            assert self.directory.catalogue.apply(one)

    async def detail(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        return str(answer.json()["detail"])


@pytest_asyncio.fixture
async def serving(sqlite_store: Store) -> AsyncIterator[Serving]:
    directory = Watched(Services(), None, Clock())
    async with asked(sqlite_store, directory) as client:
        yield Serving(client, directory)


async def test_the_newest_version_of_each_service_is_listed(serving: Serving) -> None:
    serving.apply(version("b", "x"), version("a", "y"), version("a", "y", 2), version("a", "gone"))
    serving.apply(version("a", "gone").tombstone("109", NOW + 9 * SECOND))
    answer = (await serving.client.get("/v1/services")).json()
    assert [(i["namespace"], i["name"], i["generation"], i["versions"]) for i in answer["items"]] == [("a", "y", 2, 2), ("b", "x", 1, 1)]
    assert answer["items"][0]["annotations"] == {"team": "t2"}
    assert answer["items"][0]["since"] == "2025-11-22T08:26:42.123456Z"
    assert "next" not in answer
    assert "watch" not in answer


async def test_a_namespace_is_a_filter(serving: Serving) -> None:
    serving.apply(version("a", "x"), version("b", "x"))
    answer = (await serving.client.get("/v1/services", params={"namespace": "b"})).json()
    assert [item["namespace"] for item in answer["items"]] == ["b"]
    assert (await serving.client.get("/v1/services", params={"namespace": "none"})).json()["items"] == []


async def test_pages_hold_every_service_once(serving: Serving) -> None:
    serving.apply(*(version(f"n{n % 3}", f"s{n:02}") for n in range(23)), version("n0", "s00", kind=LLM_INFERENCE_SERVICE, uid="llm"))
    found, parameters = [], {"limit": "5"}
    while True:
        page = (await serving.client.get("/v1/services", params=parameters)).json()
        assert len(page["items"]) <= 5
        found += [(item["namespace"], item["name"], item["kind"]) for item in page["items"]]
        if "next" not in page:
            break
        parameters["cursor"] = page["next"]
    assert found == sorted(found)
    assert len(set(found)) == 24


async def test_a_cursor_of_another_query_is_refused(serving: Serving) -> None:
    serving.apply(version("a", "x"), version("a", "y"))
    page = (await serving.client.get("/v1/services", params={"limit": 1})).json()
    assert (await serving.client.get("/v1/services", params={"namespace": "a", "cursor": page["next"]})).status_code == 400
    assert (await serving.client.get("/v1/services", params={"limit": 501})).status_code == 400
    assert (await serving.client.get("/v1/services", params={"name": "x"})).status_code == 400


async def test_calls_of_late_come_with_each_service_with_those_that_tell_no_usage_by_reason(store: Store) -> None:
    hour = NOW // (3600 * SECOND)
    keys = [("a", "x", "m"), ("a", "x", "n"), ("b", "y", "m"), ("a", "y", "m"), ("c", "z", None)]
    named = ("namespace", "service", "model")
    rows = [{"id": number, "folded": 0, **dict(zip(named, key, strict=True))} for number, key in enumerate(keys, 1)]
    counted = [
        (hour, 1, {"calls": 5, "absent_not_asked": 2}), (hour - 24, 2, {"calls": 3, "absent_not_asked": 1, "absent_unknown_protocol": 2}),
        (hour - 25, 1, {"calls": 100, "absent_withheld": 9}), (hour - 1, 3, {"calls": 4}), (hour, 5, {"calls": 7}),
    ]  # fmt: skip
    sums = [{"hour": at, "key": key, **dict.fromkeys(SUMS, 0), **told} for at, key, told in counted]
    store.transact(lambda connection: _insert(connection, usage_keys, rows))
    store.transact(lambda connection: _insert(connection, usage_hours, sums))
    directory = Watched(Services(), None, Clock())
    for one in (version("a", "x"), version("b", "y"), version("a", "y")):
        assert directory.catalogue.apply(one)
    async with asked(store, directory) as client:
        items = (await client.get("/v1/services")).json()["items"]
        versions = (await client.get("/v1/services/a/x/versions")).json()["items"]
    since = "2025-11-21T08:00:00.000000Z"
    assert {(item["namespace"], item["name"]): item["calls"] for item in items} == {
        ("a", "x"): {"since": since, "billed": 8, "without_usage": {"not_asked": 3, "unknown_protocol": 2}},
        ("a", "y"): {"since": since, "billed": 0},
        ("b", "y"): {"since": since, "billed": 4},
    }
    assert "calls" not in versions[0]


async def test_while_the_store_is_away_services_are_listed_all_the_same(tmp_path: Path) -> None:
    directory = Watched(Services(), None, Clock())
    assert directory.catalogue.apply(version("a", "x"))
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'no folder' / 'none.db'}")
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock(), directory)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        answer = await client.get("/v1/services")
    await engine.dispose()
    assert answer.status_code == 200
    assert [(item["name"], "calls" in item) for item in answer.json()["items"]] == [("x", False)]


async def test_how_old_it_is_comes_with_it(serving: Serving) -> None:
    serving.directory.said = {"alive": True, "synced": True, "age_s": 3.5, "watches": []}
    assert (await serving.client.get("/v1/services")).json()["watch"]["age_s"] == 3.5


async def test_the_versions_of_a_service_come_oldest_first_its_end_among_them(serving: Serving) -> None:
    serving.apply(version("a", "x", 2), version("a", "x", 1), version("a", "x").tombstone("109", NOW + 9 * SECOND))
    items = (await serving.client.get("/v1/services/a/x/versions")).json()["items"]
    assert [(item["resource_version"], item.get("deleted")) for item in items] == [("101", None), ("102", None), ("109", True)]
    assert [item.get("annotations") for item in items] == [{"team": "t1"}, {"team": "t2"}, None]


async def test_an_unknown_service_is_a_404_that_helps(serving: Serving) -> None:
    serving.directory.said = {"alive": True, "synced": True}
    assert "Namespaces with services: none" in await serving.detail("/v1/services/a/llama/versions")
    serving.apply(version("a", "llama"), version("a", "iris"), version("b", "qwen"))
    assert "There are: llama." in await serving.detail("/v1/services/a/lama/versions")
    assert "There are: iris, llama." in await serving.detail("/v1/services/a/zzzzz/versions")
    assert "One of that name is in b." in await serving.detail("/v1/services/a/qwen/versions")
    assert "Namespaces with services: a, b." in await serving.detail("/v1/services/c/foo/versions")


async def test_a_404_says_if_it_is_too_early_to_tell(serving: Serving) -> None:
    assert "Nothing is watched" in await serving.detail("/v1/services/a/x/versions")
    serving.directory.said = {"alive": True, "synced": False, "detail": "not allowed to read inferenceservices"}
    told = await serving.detail("/v1/services/a/x/versions")
    assert "not been listed yet (not allowed to read inferenceservices)" in told


async def test_a_process_without_a_catalogue_says_so(sqlite_store: Store) -> None:
    async with asked(sqlite_store, None) as client:
        for path in ("/v1/services", "/v1/services/a/x/versions"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "keeps no catalogue" in answer.json()["detail"]
