"""The demo's Envoy has the shape that istiod gives a sidecar's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collector.demo.envoy_config import Inbound, Sidecar, Workload, bootstrap
from collector.demo.envoy_filters import TapMissingError, deny, tap_config, tap_wasm

WASM = Path("/tap.wasm")


def listener(config: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = config["static_resources"]["listeners"][number]
    return found


def manager(config: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = listener(config, number)["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def sidecar(*inbounds: Inbound, **more: Any) -> dict[str, Any]:
    return bootstrap(Sidecar(1, inbounds, 2, 3, WASM, **more))


def test_the_filters_stand_in_istios_order() -> None:
    config = sidecar(Inbound(10, 11, tap=tap_config(), filters=(deny("/x"),)))
    names = [http_filter["name"].rpartition(".")[2] for http_filter in manager(config)["http_filters"]]
    assert names == ["rbac", "tap", "grpc_stats", "fault", "cors", "router"]


def test_names_are_istios() -> None:
    config = sidecar(Inbound(10, 11))
    assert manager(config)["stat_prefix"] == "inbound_127.0.0.1_10;"
    assert manager(config)["route_config"]["name"] == "inbound|8080||"
    assert manager(config)["route_config"]["virtual_hosts"][0]["name"] == "inbound|http|8080"
    assert [cluster["name"] for cluster in config["static_resources"]["clusters"]] == [
        "inbound|8080||",
        "outbound|8080||meshscribe.meshscribe.svc.cluster.local",
        "outbound|4315||meshscribe.meshscribe.svc.cluster.local",
    ]
    assert config["node"]["id"] == "sidecar~127.0.0.1~iris-predictor-0.demo~demo.svc.cluster.local"


def test_the_node_tells_whose_pod_it_is() -> None:
    workload = Workload(namespace="models", pod="llama-0", workload="llama", labels={"component": "predictor"})
    metadata = sidecar(Inbound(10, 11), workload=workload)["node"]["metadata"]
    assert (metadata["NAMESPACE"], metadata["NAME"], metadata["WORKLOAD_NAME"]) == ("models", "llama-0", "llama")
    assert metadata["LABELS"] == {"component": "predictor", "meshscribe.io/tap": "true"}


def test_listeners_are_tapped_and_logged_each_as_it_says() -> None:
    config = sidecar(Inbound(10, 11, tap=tap_config()), Inbound(12, 11, access_log=False))
    tapped, bare = ({f["name"] for f in manager(config, n)["http_filters"]} for n in (0, 1))
    assert len(tapped - bare) == 1
    assert [len(manager(config, n)["access_log"]) for n in (0, 1)] == [1, 0]
    assert sum(c["name"] == "inbound|8080||" for c in config["static_resources"]["clusters"]) == 1


def test_the_taps_configuration_reaches_the_filter_as_a_string_and_open() -> None:
    config = sidecar(Inbound(10, 11, tap=tap_config(tick_ms=7)))
    wasm = manager(config)["http_filters"][0]["typed_config"]["config"]
    assert wasm["failure_policy"] == "FAIL_OPEN"
    assert json.loads(wasm["configuration"]["value"])["tick_ms"] == 7


def test_plugins_that_differ_get_vms_of_their_own() -> None:
    config = sidecar(Inbound(10, 11, tap=tap_config(tick_ms=7)), Inbound(12, 11, tap=tap_config(tick_ms=8)))
    vms = [manager(config, n)["http_filters"][0]["typed_config"]["config"]["vm_config"] for n in (0, 1)]
    assert vms[0] != vms[1]


def test_a_tap_without_its_file_is_refused() -> None:
    with pytest.raises(ValueError, match="wasm_file"):
        bootstrap(Sidecar(1, [Inbound(10, 11, tap=tap_config())], 2, 3))


def test_tap_wasm_is_where_the_variable_says(tmp_path: Path) -> None:
    file = tmp_path / "other.wasm"
    with pytest.raises(TapMissingError, match=r"other\.wasm"):
        tap_wasm({"MESHSCRIBE_TAP_WASM": str(file)})
    file.touch()
    assert tap_wasm({"MESHSCRIBE_TAP_WASM": str(file)}) == file
