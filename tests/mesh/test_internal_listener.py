"""Requests that come to a proxy from inside of it, as in an ambient mesh's waypoint: HBONE ends at one listener, which hands the inner
connections to another. All of them have the same downstream address, that of the proxy's own client.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from collector.demo.audit import Audit
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm, typed
from collector.demo.parts import CollectorProcess, ModelServer
from collector.demo.ports import Ports
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, SETTINGS, Mesh, new_id
from tests.mesh.rawhttp import request

INNER = "main_internal"  # Istio's name for it
CLIENT = "envoy://internal_client_address/"


class Waypoint(Mesh):
    """One Envoy whose tapped listener is reached through another only."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = stack.enter_context(Ports())
        self.model = ModelServer(ports.take(), folder)
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, SETTINGS)
        inbound = Inbound(ports.take(), self.model.port, tap_config(**QUICK_TAP))
        self._listeners = {"tapped": inbound}
        ingest, grpc = self.collector.ingest_port, self.collector.grpc_port
        sidecar = Sidecar(ports.take(), [inbound], ingest, grpc, tap_wasm(), log_flush_seconds=LOG_FLUSH_SECONDS)
        self.envoy = Envoy(behind_another(bootstrap(sidecar)), folder)
        for part in (self.model, self.collector, self.envoy):
            stack.callback(part.process.stop)
            part.start()
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))


def behind_another(config: dict[str, Any]) -> dict[str, Any]:
    """The listener becomes an internal one; its port belongs to a listener that passes connections on to it."""
    [inner] = config["static_resources"]["listeners"]
    proxy = typed(
        "envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="entrance", cluster=INNER
    )
    entrance = {"name": "entrance", "address": inner.pop("address"), "filter_chains": [{"filters": [proxy]}]}
    inner.update(name=INNER, internal_listener={})
    address = {"envoy_internal_address": {"server_listener_name": INNER}}
    endpoints = {"cluster_name": INNER, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    config["static_resources"]["listeners"].append(entrance)
    config["static_resources"]["clusters"].append({"name": INNER, "type": "STATIC", "load_assignment": endpoints})
    extension = typed("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
    return {**config, "bootstrap_extensions": [extension]}


@pytest.fixture(scope="module")
def waypoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypoint]:
    with ExitStack() as stack:
        yield Waypoint(tmp_path_factory.mktemp("waypoint"), stack)


def test_both_witnesses_tell_the_same_address_and_join(waypoint: Waypoint) -> None:
    request_id = new_id()
    with waypoint.raw() as connection:
        connection.send(request(request_id, path="/status?code=200"))
        assert connection.answer().status == 200
    record = waypoint.exchange(request_id, "complete")
    assert record["caller"]["address"] == CLIENT


def test_requests_at_the_same_time_that_share_id_and_address_are_told_apart(waypoint: Waypoint) -> None:
    request_id, count = new_id(), 20

    def ask(number: int) -> None:
        with waypoint.raw() as connection:
            connection.send(request(request_id, path=f"/status?code=200&number={number}"))
            assert connection.answer().status == 200

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(ask, range(count)))
    records = waypoint.exchanges(request_id, count, [{"complete"}])
    assert len({record["request"]["path"] for record in records}) == count, json.dumps(records)
