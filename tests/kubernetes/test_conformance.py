"""The watch against an API server: the scripted one in CI, a real one with MESHSCRIBE_KUBERNETES=real. Same tests, same code."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.clock import SystemClock
from collector.enrich.attach import attach
from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import VersionKeeper
from collector.enrich.match import ProxyFacts, match
from collector.enrich.store import MemoryVersionStore
from tests.kubernetes.cluster import Cluster, write_kubeconfig
from tests.kubernetes.link import Link
from tests.kubernetes.mirror import Mirror, now_us

CLOCK = SystemClock()
SECOND_US = 1_000_000


async def test_the_catalogue_follows_creates_changes_and_deletions(cluster: Cluster, kubeconfig: Path) -> None:
    operator = cluster.operator
    await operator.create("models", "before", {"team": "red"})
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await operator.create("models", "llama", {"team": "red"})
        await operator.annotate("models", "llama", team="blue", tier="gold")
        await operator.annotate("models", "llama", tier=None)
        await operator.delete("models", "before")
        await mirror.agrees(operator.services)
        await mirror.until(lambda: mirror.catalogue.versions("models", "before")[-1].deleted, "the tombstone")
        assert [dict(v.annotations) for v in mirror.catalogue.versions("models", "llama")] == [
            {"team": "red"},
            {"team": "blue", "tier": "gold"},
            {"team": "blue"},
        ]


async def test_a_version_carries_the_servers_identity(cluster: Cluster, kubeconfig: Path) -> None:
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await cluster.operator.create("models", "llama")
        made = await cluster.operator.annotate("models", "llama", team="red")
        await mirror.agrees(cluster.operator.services)
        version = mirror.catalogue.as_of("models", "llama", now_us())
        assert version is not None
        assert (version.uid, version.resource_version) == (made["metadata"]["uid"], made["metadata"]["resourceVersion"])
        assert (version.kind, version.generation) == ("InferenceService", 1)


async def test_a_change_of_the_status_alone_makes_no_version(cluster: Cluster, kubeconfig: Path) -> None:
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await cluster.operator.create("models", "llama")
        for url in ("a", "b", "c"):
            await cluster.operator.patch("models", "llama", {"status": {"url": f"http://{url}"}}, "status")
        await cluster.operator.annotate("models", "llama", team="red")
        await mirror.agrees(cluster.operator.services)
        assert len(mirror.catalogue.versions("models", "llama")) == 2


async def test_a_first_seen_service_counts_from_its_last_change(cluster: Cluster, kubeconfig: Path) -> None:
    made = await cluster.operator.create("models", "llama", {"team": "red"})
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await mirror.until(lambda: mirror.catalogue.knows("models", "llama"))
        since_us = mirror.catalogue.versions("models", "llama")[0].since_us
        assert since_us < now_us()
        assert made["metadata"]["creationTimestamp"][:19] <= _iso(since_us)


async def test_llm_services_are_watched_in_the_version_that_is_served(cluster: Cluster, kubeconfig: Path) -> None:
    spec = {"model": {"uri": "hf://meta/llama", "name": "llama-3"}}
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await cluster.operator.create("models", "llm", {"team": "red"}, spec, plural="llminferenceservices")
        await mirror.until(lambda: mirror.catalogue.knows("models", "llm"))
        version = mirror.catalogue.versions("models", "llm")[0]
        assert (version.kind, version.model) == (
            "LLMInferenceService",
            {"name": "llama-3", "storage_uri": "hf://meta/llama"},
        )


async def test_only_the_listed_namespaces_are_watched(cluster: Cluster, kubeconfig: Path) -> None:
    await cluster.operator.create("models", "seen")
    await cluster.operator.create("other", "unseen")
    async with Mirror(kubeconfig, namespaces=["models"]) as mirror:
        await mirror.ready()
        await cluster.operator.create("other", "unseen-too")
        await cluster.operator.create("models", "seen-too")
        await mirror.until(lambda: mirror.catalogue.knows("models", "seen-too"))
        assert {v.namespace for v in mirror.applied} == {"models"}


async def test_a_stream_keeps_the_annotations_of_its_start(cluster: Cluster, kubeconfig: Path) -> None:
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await cluster.operator.create("models", "llama", {"team": "red"})
        await mirror.agrees(cluster.operator.services)
        began_us = now_us()
        await mirror.until(lambda: now_us() > began_us + SECOND_US // 4)
        await cluster.operator.annotate("models", "llama", team="blue")
        await mirror.agrees(cluster.operator.services)
        assert mirror.annotations("models", "llama", began_us) == {"team": "red"}
        assert mirror.annotations("models", "llama", began_us + 60 * SECOND_US) == {"team": "blue"}


async def test_a_service_recreated_during_a_stream_is_another_uid(cluster: Cluster, kubeconfig: Path) -> None:
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        first = await cluster.operator.create("models", "llama", {"team": "red"})
        await mirror.agrees(cluster.operator.services)
        began_us = now_us()
        await mirror.until(lambda: now_us() > began_us + SECOND_US // 4)
        await cluster.operator.delete("models", "llama")
        second = await cluster.operator.create("models", "llama", {"team": "blue"})
        await mirror.agrees(cluster.operator.services)
        met = mirror.catalogue.as_of("models", "llama", began_us)
        now = mirror.catalogue.as_of("models", "llama", now_us())
        assert met is not None
        assert now is not None
        assert (met.uid, now.uid) == (first["metadata"]["uid"], second["metadata"]["uid"])
        assert (met.annotations["team"], now.annotations["team"]) == ("red", "blue")


async def test_a_restart_of_the_api_server_loses_nothing(cluster: Cluster, kubeconfig: Path) -> None:
    await cluster.operator.create("models", "llama", {"team": "red"})
    await cluster.operator.create("models", "gone")
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        for number in range(3):
            await cluster.stop()
            await mirror.until(lambda: mirror.watch.status().detail, "a word about the failure")
            await cluster.start()
            await cluster.operator.annotate("models", "llama", restart=str(number))
            await mirror.agrees(cluster.operator.services)
        await cluster.operator.delete("models", "gone")
        await mirror.agrees(cluster.operator.services)
        assert mirror.watch.status().alive
        assert mirror.catalogue.versions("models", "gone")[-1].deleted


async def test_cut_connections_are_resumed_where_they_were(cluster: Cluster, link: Link, kubeconfig: Path) -> None:
    await cluster.operator.create("models", "llama")
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        for number in range(10):
            await mirror.watching()
            await cluster.operator.annotate("models", "llama", before=str(number))
            await link.cut()
            await cluster.operator.annotate("models", "llama", after=str(number))
        await mirror.agrees(cluster.operator.services)
        assert len(mirror.catalogue.versions("models", "llama")) == 21
        assert mirror.watch.status().reflectors[0].lists == 1


@pytest.mark.slow
async def test_a_half_open_connection_is_noticed(cluster: Cluster, link: Link, kubeconfig: Path) -> None:
    await cluster.operator.create("models", "llama")
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await mirror.watching()
        link.freeze()
        await cluster.operator.annotate("models", "llama", team="blue")
        await mirror.until(lambda: mirror.watch.status().reflectors[0].errors, "the limit of silence")
        link.thaw()
        await mirror.agrees(cluster.operator.services)


async def test_what_was_deleted_while_versions_expired_gets_a_tombstone(cluster: Cluster, link: Link, kubeconfig: Path) -> None:
    for name in ("kept", "gone", "again"):
        await cluster.operator.create("models", name, {"life": "1"})
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await mirror.watching()
        await link.down()
        await cluster.operator.delete("models", "gone")
        await cluster.operator.delete("models", "again")
        await cluster.operator.create("models", "again", {"life": "2"})
        await cluster.operator.annotate("models", "kept", life="2")
        await cluster.expire()
        await link.up()
        await mirror.agrees(cluster.operator.services)
        assert mirror.watch.status().reflectors[0].gone >= 1
        assert mirror.catalogue.versions("models", "gone")[-1].deleted
        assert sum(v.deleted for v in mirror.catalogue.versions("models", "again")) == 1
        assert mirror.annotations("models", "again") == {"life": "2"}


async def test_a_crd_that_comes_later_is_found(cluster: Cluster, kubeconfig: Path) -> None:
    await cluster.remove_crd("llminferenceservices")
    try:
        async with Mirror(kubeconfig) as mirror:
            await mirror.ready()
            await cluster.operator.create("models", "llama")
            await mirror.agrees(cluster.operator.services)
            await mirror.until(lambda: mirror.watch.status().reflectors[1].state == "missing", "a word about it")
            assert "llminferenceservices.serving.kserve.io is not installed" in mirror.watch.status().detail
            await cluster.install_crd("llminferenceservices")
            await cluster.operator.create("models", "llm", plural="llminferenceservices")
            await mirror.until(lambda: mirror.catalogue.knows("models", "llm"), "the new kind")
            assert not mirror.watch.status().detail
    finally:
        if not await _serves(cluster, "llminferenceservices"):
            await cluster.install_crd("llminferenceservices")


async def test_a_crd_removed_and_installed_again(cluster: Cluster, kubeconfig: Path) -> None:
    await cluster.operator.create("models", "llama", {"life": "1"})
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await cluster.remove_crd("inferenceservices")
        await cluster.install_crd("inferenceservices")
        await cluster.operator.create("models", "llama", {"life": "2"})
        await mirror.agrees(cluster.operator.services)
        assert [dict(v.annotations).get("life") for v in mirror.catalogue.versions("models", "llama")] == ["1", None, "2"]


async def test_missing_rights_are_said_in_plain_words(cluster: Cluster, kubeconfig_of: Callable[[str], Path]) -> None:
    async with Mirror(kubeconfig_of("nobody")) as mirror:
        await mirror.until(lambda: mirror.watch.status().reflectors[0].state == "forbidden", "forbidden")
        status = mirror.watch.status()
        assert status.alive
        assert not status.synced
        assert "grant the collector's ServiceAccount get, list and watch on inferenceservices" in status.detail
        assert 'User "nobody" cannot list resource' in status.detail


async def test_rotated_credentials_are_read_again(cluster: Cluster, link: Link, kubeconfig_of: Callable[[str], Path]) -> None:
    await cluster.operator.create("models", "llama")
    path = kubeconfig_of("expired")
    async with Mirror(path) as mirror:
        await mirror.until(lambda: "status 401" in mirror.watch.status().detail, "a word about the token")
        write_kubeconfig(path, cluster.scheme, link.port, "admin")
        await mirror.agrees(cluster.operator.services)


async def test_an_api_server_down_at_the_start_is_answered_for_by_the_store(cluster: Cluster, link: Link, kubeconfig: Path) -> None:
    store = MemoryVersionStore()
    keeper = VersionKeeper(Catalogue(), store, CLOCK)
    await cluster.operator.create("models", "llama", {"team": "red"})
    await cluster.operator.create("models", "gone", {"team": "red"})
    async with Mirror(kubeconfig, on_version=keeper.take) as mirror:
        await mirror.ready()
        await mirror.agrees(cluster.operator.services)
    await keeper.flush()

    await link.down()
    catalogue = Catalogue()
    assert await VersionKeeper(catalogue, store, CLOCK).load() == 2
    async with Mirror(kubeconfig, known=await store.load()) as mirror:
        await mirror.until(lambda: "failed" in mirror.watch.status().detail, "a word about the failure")
        assert mirror.annotations("models", "llama") == {"team": "red"}
        assert not mirror.watch.status().synced
        await cluster.operator.delete("models", "gone")
        await link.up()
        await mirror.agrees(cluster.operator.services)
        # What the store knew is no new version; what went meanwhile is a tombstone.
        assert [(v.name, v.deleted) for v in mirror.applied] == [("gone", True)]


@pytest.mark.slow
async def test_5000_services_are_listed_in_pages(cluster: Cluster, kubeconfig: Path) -> None:
    await _create_many(cluster, 5000)
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await mirror.agrees(cluster.operator.services)
        assert len(mirror.catalogue.services()) == 5000
        await cluster.operator.annotate("models", "service-4999", team="blue")
        await mirror.agrees(cluster.operator.services)


@pytest.mark.slow
async def test_200_changes_a_second_through_cuts_end_in_the_servers_state(cluster: Cluster, link: Link, kubeconfig: Path) -> None:
    chance = random.Random(6)
    await _create_many(cluster, 100)
    names = [f"service-{number}" for number in range(100)]
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        pace, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for number in range(1000):
            name = chance.choice(names)
            await cluster.operator.annotate("models", name, number=str(number))
            if number % 125 == 60:
                await link.cut()
            await asyncio.sleep(max(0.0, began + number / 200 - pace.time()))
        await mirror.agrees(cluster.operator.services)
        numbers = [v.annotations["number"] for v in mirror.applied if "number" in v.annotations]
        assert len(numbers) == len(set(numbers)) == 1000


async def test_annotate_then_request_without_a_call_to_the_api_server(
    cluster: Cluster, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Mirror(kubeconfig) as mirror:
        await mirror.ready()
        await cluster.operator.create("models", "llama", {"team": "red"})
        await cluster.operator.annotate("models", "llama", team="blue")
        await mirror.until(lambda: mirror.annotations("models", "llama") == {"team": "blue"}, "the annotation")
        facts = ProxyFacts("sidecar", "models", {"serving.kserve.io/inferenceservice": "llama", "component": "predictor"})
        await mirror.watching()
        calls, reads = mirror.watch.status().requests, await cluster.reads()
        for _ in range(10_000):
            found = match(facts, mirror.catalogue.knows)
            service = attach(found, mirror.catalogue.as_of(found.namespace, found.name, now_us(), found.kind))
        made = mirror.watch.status().requests - calls
        assert service["annotations"] == {"team": "blue"}
        assert made == 0
        assert await cluster.reads() == reads
        with capsys.disabled():
            print(
                f"\n  kubectl annotate llama team=blue ──watch──▶ catalogue (version {service['resource_version']})"
                f"\n  10000 requests ─────────────────as_of──▶ records with team={service['annotations']['team']},"
                f" {made} calls to the API server"
            )


async def test_the_watch_ends_cleanly_whatever_it_is_doing(cluster: Cluster, link: Link, kubeconfig: Path) -> None:
    for trouble in (None, link.freeze, link.thaw):
        async with Mirror(kubeconfig) as mirror:
            if trouble is not None:
                trouble()
            await mirror.until(lambda: mirror.watch.status().requests, "a request")
        status = mirror.watch.status()
        assert not status.alive
        assert status.detail.startswith("the watch of services does not run")
    assert not [task for task in asyncio.all_tasks() if "collector" in str(task.get_coro())]


async def _serves(cluster: Cluster, plural: str) -> bool:
    try:
        await cluster.operator.call("GET", f"/apis/serving.kserve.io/v1alpha2/{plural}")
    except AssertionError:
        return False
    return True


async def _create_many(cluster: Cluster, count: int) -> None:
    async def create(number: int) -> None:
        await cluster.operator.create("models", f"service-{number}", {"team": "red"})

    for first in range(0, count, 100):
        await asyncio.gather(*(create(number) for number in range(first, min(first + 100, count))))


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S")
