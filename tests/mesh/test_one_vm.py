"""Through the real Envoy: plugin configurations that share a VM, as they do where nothing in `vm_config` tells them apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from collector.demo.envoy_filters import tap_config
from tests.mesh.harness import QUICK_TAP, Mesh, Proxy, new_id, proxy_with
from tests.mesh.rawhttp import Raw, request

VERSION = re.compile(r'("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": )"\w+"')
PLUGINS: dict[str, Any] = {
    "all": tap_config(**QUICK_TAP),
    "metadata": tap_config(**QUICK_TAP, rules=[{"name": "few", "path": {"prefix": "/"}, "level": "metadata"}]),
    "broken": "{",
}


def in_one_vm(config: dict[str, Any]) -> dict[str, Any]:
    text, replaced = VERSION.subn(r'\1"1"', json.dumps(config))
    assert replaced == len(PLUGINS)
    return dict(json.loads(text))


@pytest.fixture(scope="module")
def proxy(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxy_with(mesh, tmp_path_factory.mktemp("one_vm"), PLUGINS, in_one_vm) as made:
        assert made.envoy.stats("v8.active") == {"wasm.envoy.wasm.runtime.v8.active": 3}, "as many as one configuration takes"
        yield made


def ask(port: int) -> str:
    """Sends a request to this port; its id."""
    request_id = new_id()
    with Raw(port) as connection:
        connection.send(request(request_id, "POST", "/echo", "", b"unharmed"))
        assert connection.answer().body == b"unharmed"
    return request_id


def test_each_stream_is_told_by_its_own_configuration(mesh: Mesh, proxy: Proxy) -> None:
    whole, few = {"rule": "default", "level": "request_response"}, {"rule": "few", "level": "metadata"}
    told = {"all": ("complete", whole), "metadata": ("complete", few), "broken": ("tap_missing", None)}
    asked = [(name, ask(proxy.ports[name])) for name in ("all", "metadata", "broken", "metadata", "all")]
    for name, request_id in asked:
        flag, policy = told[name]
        assert mesh.exchange(request_id, flag).get("policy") == policy, name
