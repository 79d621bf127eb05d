"""Through the real Envoy: once per batch the filter tells whose proxy it is in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.demo.envoy_filters import INGEST_CLUSTER, tap_config
from collector.messages import tap_pb2
from tests.mesh.harness import QUICK_TAP, Mesh, new_id, proxy_with
from tests.mesh.rawhttp import Raw, request
from tests.support.posted import Posted, taking
from tests.support.waits import until


@pytest.fixture
def sink() -> Iterator[Posted]:
    with taking() as server:
        yield server


def test_every_batch_names_the_pods_service_account(mesh: Mesh, sink: Posted, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        config["node"]["metadata"]["SERVICE_ACCOUNT"] = "llama-serving"
        [cluster] = [cluster for cluster in config["static_resources"]["clusters"] if cluster["name"] == INGEST_CLUSTER]
        [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = sink.server_port
        return config

    with proxy_with(mesh, tmp_path, {"tapped": tap_config(**QUICK_TAP)}, change) as proxy:
        for count in (1, 2):
            with Raw(proxy.ports["tapped"]) as connection:
                connection.send(request(new_id(), path="/status?code=204"))
                assert connection.answer().status == 204
            until(lambda: len(sink.taken), lambda found, count=count: found >= count)  # type: ignore[misc]
    assert len(sink.taken) >= 2
    for _, body in sink.taken:
        node = tap_pb2.Batch.FromString(body).node
        assert (node.namespace, node.name, node.service_account) == ("demo", "iris-predictor-0", "llama-serving")
