"""Versions of services among the roles: from one process's API server to everybody's catalogue, through the topic."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.kube import Kubernetes
from tests.support.cluster import Cluster, Member
from tests.support.kafka import read_all
from tests.support.proxies import Proxies
from tests.support.waits import until

Made = Callable[..., Cluster]
SECONDS = 120.0
# What the proxies of tests.support.proxies say that they serve.
SPEC = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[Kubernetes]:
    with ExitStack() as stack:
        server = Kubernetes(tmp_path)
        stack.callback(server.close)
        yield server


def watching(kubernetes: Kubernetes) -> dict[str, str]:
    return {
        "MESHSCRIBE_SERVICES__SOURCE": "kubeconfig",
        "MESHSCRIBE_SERVICES__KUBECONFIG": str(kubernetes.kubeconfig),
        "MESHSCRIBE_SERVICES__ANNOTATIONS": '["team"]',
        "MESHSCRIBE_SERVICES__REFRESH_SECONDS": "0.2",
    }


def detail(member: Member) -> str:
    return str(member.components().get("services", {}).get("detail", ""))


def annotations(audit: Member) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{audit.url}/v1/services", timeout=30) as answer:
        return [item["annotations"] for item in json.load(answer)["items"]]


def started(*members: Member) -> None:
    for member in members:
        member.launch()
    assert until(lambda: all(member.ready for member in members), bool, SECONDS), [member.process.tail() for member in members]


def test_with_the_api_server_down_at_the_start_records_carry_what_another_process_saw(make_cluster: Made, kubernetes: Kubernetes) -> None:
    cluster = make_cluster(partitions=2)
    kubernetes.create("demo", "iris", {"team": "vision", "secret": "s"}, SPEC)
    first = cluster.member("first", "process", **watching(kubernetes))
    store = cluster.member("store", "store", MESHSCRIBE_SINK__URL=cluster.sqlite(), MESHSCRIBE_SERVICES__REFRESH_SECONDS="0.2")
    started(first, store)
    assert until(lambda: detail(first), lambda told: told == "1 known", SECONDS) == "1 known"
    # It is in the SQL store by way of the topic: so it is in the topic.
    assert until(lambda: detail(store), lambda told: told == "1 known", SECONDS) == "1 known"
    first.process.kill()
    kubernetes.stop()
    second = cluster.member("second", "process", **watching(kubernetes))
    receive = cluster.member("receive", "receive")
    started(second, receive)
    assert "1 known; not listed yet" in detail(second)
    proxies = Proxies(receive.ingest_port, receive.grpc_port, count=2, rate=20)
    proxies.start()
    assert until(lambda: len(proxies.acknowledged), lambda count: count >= 20, SECONDS) >= 20
    proxies.end()
    wanted = set(proxies.acknowledged)
    assert wanted <= until(cluster.events, lambda events: wanted <= events.requests.keys(), SECONDS).requests.keys()
    records = asyncio.run(read_all(cluster.settings.bootstrap_servers, cluster.settings.exchanges_topic))
    carried = [json.loads(record.value)["service"] for record in records]
    assert {one["annotations"]["team"] for one in carried} == {"vision"}
    assert {one["matched_by"] for one in carried} == {"node_labels"}
    audit = cluster.member("audit", "audit", MESHSCRIBE_SINK__URL=cluster.sqlite(), MESHSCRIBE_SERVICES__ANNOTATIONS='["team"]')
    started(audit)
    assert until(lambda: annotations(audit), bool, SECONDS) == [{"team": "vision"}]
    kubernetes.start()
