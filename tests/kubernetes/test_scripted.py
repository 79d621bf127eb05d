"""Behaviours of an API server that cannot be had on demand from a real one; each was met on a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from collector.enrich.version import ServiceVersion
from tests.kubernetes.cluster import ScriptedCluster, write_kubeconfig
from tests.kubernetes.mirror import TIMINGS, Mirror, now_us
from tests.kubernetes.scripted import Handler, begin, send, status


@pytest.fixture
async def server(scripted: ScriptedCluster) -> ScriptedCluster:
    """With one service, and no LLMInferenceServices to keep the figures plain."""
    scripted.server.served["llminferenceservices"] = []
    await scripted.operator.create("models", "llama", {"team": "red"})
    return scripted


@pytest.fixture
def config(scripted: ScriptedCluster, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kubeconfig", "http", scripted.port)


def answer(code: int, text: str = "", **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=code, text=text, headers=headers)

    return handler


def line(*lines: bytes, abort: bool = False) -> Handler:
    """A watch that says these bytes and ends, cleanly or in the middle."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        for each in lines:
            await response.write(each)
        if abort and request.transport is not None:
            request.transport.abort()
        return response

    return handler


def event(kind: str, item: dict[str, object]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        await send(response, kind, item)
        return response

    return handler


FAILURES: dict[str, Handler] = {
    "410 as a status": answer(410, '{"kind":"Status","code":410,"message":"too old resource version"}'),
    "410 as an event": event("ERROR", status(410, "Expired", "too old resource version")),
    "500 as an event": event("ERROR", status(500, "InternalError", "etcdserver: leader changed")),
    "an event without a code": event("ERROR", {"kind": "Status"}),
    "429 with Retry-After": answer(429, "storage is (re)initializing", **{"Retry-After": "0"}),
    "503": answer(503, "apiserver is shutting down"),
    "401": answer(401, "Unauthorized"),
    "403": answer(403, '{"kind":"Status","message":"RBAC: clusterrole not found","code":403}'),
    "404 in plain text": answer(404, "404 page not found\n"),
    "plain text with status 200": line(b"404 page not found\n"),
    "a text where an event should be": line(b'"404 page not found"\n'),
    "an event whose object is a text": line(b'{"type":"ADDED","object":"404 page not found\\n"}\n'),
    "damaged JSON": line(b'{"type":"ADDED","object":{"metadata"\n'),
    "a line cut in the middle": line(b'{"type":"ADDED","obj', abort=True),
    "a connection cut before a line": line(abort=True),
    "an end at once": line(),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_after_any_failure_of_a_watch_the_catalogue_is_right_again(server: ScriptedCluster, config: Path, failure: Handler) -> None:
    server.server.script["watch"].extend([failure] * 3)
    async with Mirror(config) as mirror:
        await mirror.ready()
        await server.operator.annotate("models", "llama", team="blue")
        await mirror.agrees(server.operator.services)
        await mirror.watching()
        assert not server.server.script["watch"]
        assert mirror.watch.status().alive


@pytest.mark.parametrize("name", [n for n in FAILURES if "event" not in n and "line" not in n and "end" not in n])
async def test_after_any_failure_of_a_list_it_is_tried_again(server: ScriptedCluster, config: Path, name: str) -> None:
    server.server.script["list"].extend([FAILURES[name]] * 3)
    async with Mirror(config) as mirror:
        await mirror.agrees(server.operator.services)
        assert mirror.watch.status().reflectors[0].errors >= 3


@pytest.mark.parametrize("as_event", [True, False])
async def test_expired_versions_lead_to_a_new_list_in_either_form(server: ScriptedCluster, config: Path, as_event: bool) -> None:
    server.server.gone_as_event = as_event
    server.server.script["watch"].append(line())
    async with Mirror(config) as mirror:
        await mirror.ready()
        await server.operator.delete("models", "llama")
        server.server.expire()
        await mirror.agrees(server.operator.services)
        assert mirror.watch.status().reflectors[0].gone == 1
        assert [v.deleted for v in mirror.catalogue.versions("models", "llama")] == [False, True]


@pytest.mark.slow
async def test_a_version_of_the_future_is_given_up_for_a_list(server: ScriptedCluster, config: Path) -> None:
    """As after a restore of etcd: watches from a later version end silently, for ever, and versions count from less."""
    await server.operator.annotate("models", "llama", team="blue")
    async with Mirror(config) as mirror:
        await mirror.ready()
        await mirror.watching()
        await server.server.stop()
        changed_us = mirror.catalogue.versions("models", "llama")[-1].since_us
        await mirror.until(lambda: now_us() > changed_us + 2_000_000, "another second")
        server.server.revision = 900
        server.server.events.clear()
        item = server.server.objects["inferenceservices"]["models", "llama"]
        item["metadata"] |= {"resourceVersion": "900", "annotations": {"team": "red"}}
        await server.server.start()
        await mirror.agrees(server.operator.services)
        assert mirror.watch.status().reflectors[0].lists == 2


async def test_watches_that_end_at_once_do_not_make_it_spin(server: ScriptedCluster, config: Path) -> None:
    bookmark = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1001"}}}\n'
    server.server.script["watch"].extend([line(bookmark)] * 20)
    loop = asyncio.get_running_loop()
    async with Mirror(config) as mirror:
        await mirror.ready()
        began = loop.time()
        await mirror.until(lambda: not server.server.script["watch"])
        # A lower bound, so that a slow machine cannot fail it: each end costs half the first wait at least.
        assert loop.time() - began >= 19 * TIMINGS.backoff_first_s / 2


async def test_a_watch_resumes_from_the_last_bookmark(server: ScriptedCluster, config: Path) -> None:
    async with Mirror(config) as mirror:
        await mirror.ready()
        await server.operator.create("models", "other")
        await mirror.agrees(server.operator.services)
        server.server.revision += 500
        seen = mirror.watch.status().reflectors[0].bookmarks
        await mirror.until(lambda: mirror.watch.status().reflectors[0].bookmarks > seen + 1, "a bookmark")
        server.server.compacted = server.server.revision - 1
        await server.server.stop()
        await server.server.start()
        await mirror.until(lambda: server.server.seen[-1][1].find("resourceVersion=1502") > 0, "the resumed watch")
        assert mirror.watch.status().reflectors[0].gone == 0


async def test_a_watch_asks_for_bookmarks_and_a_jittered_end(server: ScriptedCluster, config: Path) -> None:
    async with Mirror(config) as mirror:
        await mirror.watching()
    queries = [query for kind, query in server.server.seen if kind == "watch"]
    ends = {int(part.partition("=")[2]) for q in queries for part in q.split("&") if part.startswith("timeoutSeconds")}
    assert all("allowWatchBookmarks=true" in query for query in queries)
    low, high = TIMINGS.watch_s
    assert all(low <= end <= high for end in ends)


async def test_an_empty_list_may_say_null(scripted: ScriptedCluster, config: Path) -> None:
    async with Mirror(config) as mirror:
        await mirror.ready()
        assert mirror.catalogue.services() == []


@pytest.mark.slow
async def test_a_list_whose_continuation_expires_is_begun_anew(server: ScriptedCluster, config: Path) -> None:
    for number in range(600):
        await server.operator.create("models", f"service-{number}")
    usual = server.server._list

    async def expire_then_list(request: web.Request) -> web.Response:
        page = await usual(request)
        server.server._pages.clear()
        return page

    server.server.script["list"].append(expire_then_list)
    async with Mirror(config) as mirror:
        await mirror.ready()
        await mirror.agrees(server.operator.services)
        assert mirror.watch.status().reflectors[0].gone == 1


async def test_an_object_without_uid_costs_only_itself(server: ScriptedCluster, config: Path) -> None:
    broken = {"metadata": {"name": "broken", "namespace": "models", "resourceVersion": "1001"}}
    server.server.script["watch"].append(event("ADDED", broken))
    async with Mirror(config) as mirror:
        await mirror.ready()
        await server.operator.annotate("models", "llama", team="blue")
        await mirror.agrees(server.operator.services)
        assert mirror.watch.status().reflectors[0].malformed == 1


async def test_a_deletion_carries_the_version_of_the_deletion(server: ScriptedCluster, config: Path) -> None:
    async with Mirror(config) as mirror:
        await mirror.ready()
        await server.operator.delete("models", "llama")
        await mirror.agrees(server.operator.services)
        tombstone = mirror.catalogue.versions("models", "llama")[-1]
        assert (tombstone.deleted, tombstone.order) == (True, server.server.revision)
        assert tombstone.annotations == {}


async def test_the_older_llm_version_is_read_where_only_that_is_served(scripted: ScriptedCluster, config: Path) -> None:
    scripted.server.served["llminferenceservices"] = ["v1alpha1"]
    scripted.server.served["inferenceservices"] = []
    async with Mirror(config) as mirror:
        await mirror.until(lambda: mirror.watch.status().reflectors[1].state == "watching", "the LLM watch")
        assert "inferenceservices.serving.kserve.io is not installed" in mirror.watch.status().detail


@pytest.mark.slow
async def test_storage_that_initializes_after_a_restart_is_waited_for(server: ScriptedCluster, config: Path) -> None:
    async with Mirror(config) as mirror:
        await mirror.ready()
        await server.server.stop()
        server.server.initializing = 2
        await server.server.start()
        await server.operator.annotate("models", "llama", team="blue")
        await mirror.agrees(server.operator.services)
        assert server.server.initializing == 0


async def test_a_watch_that_dies_of_our_own_error_is_said_and_started_again(server: ScriptedCluster, config: Path) -> None:
    fail = ["once"]

    def on_version(_version: ServiceVersion) -> None:
        if fail:
            raise RuntimeError(f"a bug, {fail.pop()}")

    async with Mirror(config, on_version=on_version) as mirror:
        await mirror.until(lambda: mirror.watch.status().reflectors[0].crashes, "its death")
        assert not mirror.watch.status().alive
        assert "the watch died of RuntimeError: a bug, once" in mirror.watch.status().detail
        await mirror.agrees(server.operator.services)
        status_now = mirror.watch.status()
        assert status_now.alive
        assert status_now.reflectors[0].crashes == 1


@pytest.mark.slow
async def test_after_a_success_the_waits_begin_anew(server: ScriptedCluster, config: Path) -> None:
    """A cap of 30 s that was never reset once left a catalogue stale for 18 s."""
    async with Mirror(config) as mirror:
        await mirror.ready()
        for _ in range(3):
            await mirror.watching()
            await server.server.stop()
            errors = mirror.watch.status().reflectors[0].errors
            await mirror.until(lambda before=errors: mirror.watch.status().reflectors[0].errors > before + 3)
            await server.server.start()
            await mirror.watching()
            await mirror.until(lambda: mirror.watch._reflectors[0]._backoff.tries == 0, "the reset")


async def test_a_kubeconfig_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    async with Mirror(tmp_path / "missing") as mirror:
        await mirror.until(lambda: "cannot read the access to Kubernetes" in mirror.watch.status().detail)
        assert str(tmp_path / "missing") in mirror.watch.status().detail
