"""Through the real Envoy: plugin configurations that share a VM, as they do where nothing in `vm_config` tells them apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.ports import Ports
from collector.demo.tap_config import tap_config, tap_wasm
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, Mesh, new_id
from tests.mesh.rawhttp import Raw, request

VERSION = re.compile(r'("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": )"\w+"')
PLUGINS: dict[str, Any] = {
    "all": tap_config(**QUICK_TAP),
    "metadata": tap_config(**QUICK_TAP, rules=[{"name": "few", "path": {"prefix": "/"}, "level": "metadata"}]),
    "broken": "{",
}


@pytest.fixture(scope="module")
def ports(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """{configuration: its listener's port}, of an Envoy that runs them all in one VM."""
    with Ports() as free:
        listeners = {name: Inbound(free.take(), mesh.model.port, config) for name, config in PLUGINS.items()}
        sidecar = Sidecar(
            free.take(),
            list(listeners.values()),
            mesh.collector.ingest_port,
            mesh.collector.grpc_port,
            tap_wasm(),
            log_flush_seconds=LOG_FLUSH_SECONDS,
        )
        config, replaced = VERSION.subn(r'\1"1"', json.dumps(bootstrap(sidecar)))
        assert replaced == len(PLUGINS)
        envoy = Envoy(json.loads(config), tmp_path_factory.mktemp("one_vm"), concurrency=1)
        envoy.start()
        try:
            assert envoy.stats("v8.active") == {"wasm.envoy.wasm.runtime.v8.active": 3}, "as many as one configuration takes"
            yield {name: inbound.port for name, inbound in listeners.items()}
        finally:
            envoy.stop()


def told(mesh: Mesh, port: int, flag: str) -> dict[str, Any]:
    """What is stored of a request that is sent to this port."""
    request_id = new_id()
    with Raw(port) as connection:
        connection.send(request(request_id, "POST", "/echo", "", b"unharmed"))
        assert connection.answer().body == b"unharmed"
    return mesh.exchange(request_id, flag)


def test_each_stream_is_told_by_its_own_configuration(mesh: Mesh, ports: dict[str, int]) -> None:
    whole, few = {"rule": "default", "level": "request_response"}, {"rule": "few", "level": "metadata"}
    for name, flag, policy in [
        ("all", "complete", whole),
        ("metadata", "complete", few),
        ("broken", "tap_missing", None),
        ("metadata", "complete", few),
        ("all", "complete", whole),
    ]:
        assert told(mesh, ports[name], flag).get("policy") == policy, name
