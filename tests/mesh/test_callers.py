"""Through the real Envoy, with mTLS: the tap alone tells who called, from the connection and never from a header."""

from __future__ import annotations

import copy
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.demo.envoy_filters import router, tap_config, typed
from tests.mesh.harness import QUICK_TAP, Mesh, Proxy, new_id, proxy_with
from tests.mesh.rawh2 import RawH2
from tests.mesh.rawhttp import Raw, request
from tests.support.certificates import Authority
from tests.support.waits import until

ONE, TWO = "spiffe://cluster.local/ns/clients/sa/one", "spiffe://cluster.local/ns/clients/sa/two"
FORGED = ("x-forwarded-client-cert", "By=spiffe://cluster.local/ns/demo/sa/default;Hash=00;URI=spiffe://cluster.local/ns/forged/sa/admin")
FORGED_LINE = ": ".join(FORGED) + "\r\n"
MODES = ["APPEND_FORWARD", "SANITIZE", "SANITIZE_SET", "FORWARD_ONLY", "ALWAYS_FORWARD_ONLY"]
QUICK = tap_config(**QUICK_TAP)
PLUGINS: dict[str, Any] = {
    **dict.fromkeys([*MODES, "plain", "logged", "tunnel"], QUICK),
    "silent": tap_config(**QUICK_TAP, caller_principal=False),
    "logged tunnel": tap_config(**QUICK_TAP, caller_principal=False),
    "level none": tap_config(**QUICK_TAP, rules=[{"name": "few", "level": "none"}]),
}
INNER = {"tunnel": "main_internal", "logged tunnel": "logged_internal"}  # the first is Istio's name for it
LOGGED = {"logged", "logged tunnel"}
STATE = "io.istio.peer_principal"


class Callers:
    """An Envoy whose listeners speak TLS (but `plain`) and log nothing (but `logged`), and certificates to call it with."""

    def __init__(self, mesh: Mesh, folder: Path) -> None:
        self._mesh, self._authority = mesh, Authority(folder)
        self.proxy: Proxy

    def tls(self, *names: str) -> ssl.SSLContext:
        """Calls with a certificate for these names; with none, without one."""
        return self._authority.client(self._authority.issue("client", *names) if names else None)

    def change(self, config: dict[str, Any]) -> dict[str, Any]:
        server = self._authority.issue("server", "server.demo")
        socket = self._authority.transport_socket("Downstream", server, require_client_certificate=False)
        listeners = dict(zip(PLUGINS, config["static_resources"]["listeners"], strict=True))
        for name, listener in listeners.items():
            [chain] = listener["filter_chains"]
            manager = chain["filters"][0]["typed_config"]
            manager["forward_client_cert_details"] = name if name in MODES else "ALWAYS_FORWARD_ONLY"
            if name not in LOGGED:
                manager["access_log"] = []
            for log in manager["access_log"]:
                log["typed_config"]["common_config"]["filter_state_objects_to_log"] = [STATE]
            if name != "plain":
                chain["transport_socket"] = socket
        for name, inner in INNER.items():
            tunnel(config, listeners[name], inner)
        extension = typed("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
        return {**config, "bootstrap_extensions": [extension]}

    def ask(self, listener: str, *names: str) -> str:
        """Sends a request with a forged header, by a connection with such a certificate; returns its id."""
        request_id = new_id()
        with Raw(self.proxy.ports[listener], None if listener == "plain" else self.tls(*names)) as connection:
            connection.send(request(request_id, "POST", "/echo", FORGED_LINE, b"who am I"))
            assert connection.answer().status == 200
        return request_id


def tunnel(config: dict[str, Any], inner: dict[str, Any], name: str) -> None:
    """As at Istio's waypoints: mTLS ends at one listener, which hands the caller's principal on with the connection to another."""
    entrance = copy.deepcopy(inner)
    inner["name"] = name
    inner["internal_listener"] = {}
    inner["filter_chains"][0].pop("transport_socket")
    inner.pop("address")
    manager = entrance["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"] = []
    principal = {
        "object_key": STATE,
        "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_PEER_URI_SAN%"}},
        "shared_with_upstream": "ONCE",
        "factory_key": "envoy.string",
    }
    state = typed(
        "envoy.filters.http.set_filter_state", "envoy.extensions.filters.http.set_filter_state.v3.Config", on_request_headers=[principal]
    )
    manager["http_filters"] = [state, router()]
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"] = {"cluster": name}
    raw = typed("raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
    passing = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport"
    address = {"envoy_internal_address": {"server_listener_name": name}}
    cluster = {
        "name": name,
        "type": "STATIC",
        "transport_socket": typed("internal_upstream", passing, transport_socket=raw),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }
    config["static_resources"]["listeners"].append(entrance)
    config["static_resources"]["clusters"].append(cluster)


@pytest.fixture(scope="module")
def callers(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder = tmp_path_factory.mktemp("callers")
    made = Callers(mesh, folder)
    with proxy_with(mesh, folder, PLUGINS, made.change) as made.proxy:
        yield made


@pytest.fixture(scope="module")
def streams(callers: Callers) -> dict[str, str]:
    """Ids of streams on two connections of HTTP/2, and who called."""
    port, found = callers.proxy.ports["APPEND_FORWARD"], {}
    connections = {identity: RawH2(port, callers.tls(identity)) for identity in (ONE, TWO)}
    for identity in (ONE, TWO, ONE):
        request_id = new_id()
        found[request_id] = identity
        connections[identity].finish(connections[identity].begin(request_id, more=[FORGED]))
    for connection in connections.values():
        connection.close()
    return found


@pytest.fixture(scope="module")
def asked(callers: Callers, streams: dict[str, str]) -> dict[str, str]:
    """Ids of the requests of all cases, sent at once: each waits for its log entry as long as the collector does."""
    return {case: callers.ask(listener, *names) for case, (listener, names, *_) in CASES.items()}


# Listener, names in the certificate (none: no certificate), and what the tap tells.
CASES: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    **{f"{mode}: the certificate's first URI": (mode, ("client.demo", ONE, TWO), ONE) for mode in MODES},
    **{f"{mode}: no certificate": (mode, (), None) for mode in MODES},
    **{f"{mode}: no URI in it": (mode, ("client.demo",), None) for mode in MODES},
    "plaintext": ("plain", (), None),
    "an identity around the connection": ("tunnel", (ONE,), ONE),
    "switched off": ("silent", (ONE,), None),
    "only the end is told": ("level none", (ONE,), ONE),
    "both witnesses": ("logged", ("client.demo", TWO, ONE), TWO),
    "the log alone, of an identity around the connection": ("logged tunnel", ("client.demo", ONE), ONE),
}
BY_LOG = {case: ("complete",) for case, (listener, *_) in CASES.items() if listener in LOGGED}
FLAGS: dict[str, tuple[str, ...]] = {"only the end is told": ("access_log_missing", "not_tapped"), **BY_LOG}


@pytest.mark.parametrize("case", CASES)
def test_the_connection_tells_who_called_and_no_header_does(mesh: Mesh, asked: dict[str, str], case: str) -> None:
    record = mesh.exchange(asked[case], *FLAGS.get(case, ("access_log_missing",)))
    principal, witness = CASES[case][2], "access_log" if case in BY_LOG else "tap"
    told = {name: value for name, value in record["caller"].items() if name.startswith("principal")}
    assert told == ({"principal": principal, "principal_by": witness} if principal else {})
    assert "problems" not in record


def test_streams_of_http2_tell_their_connections_caller(mesh: Mesh, streams: dict[str, str]) -> None:
    for request_id, identity in streams.items():
        assert mesh.exchange(request_id, "access_log_missing")["caller"]["principal"] == identity


def test_a_collector_that_is_killed_meanwhile_knows_it_still(mesh: Mesh, callers: Callers) -> None:
    request_id = new_id()
    asked = request(request_id, "POST", "/echo", body=b"a long question")
    posted = counter(callers.proxy, "batches_posted")
    before = posted()
    with Raw(callers.proxy.ports["SANITIZE"], callers.tls(ONE)) as connection:
        connection.send(asked[:-4])
        assert until(posted, lambda now: now > before) > before
        mesh.collector.process.kill()
        mesh.collector.start()
        connection.send(asked[-4:])
        assert connection.answer().body == b"a long question"
    record = mesh.exchange(request_id, "access_log_missing")
    assert (record["caller"]["principal"], record["request"]["complete"]) == (ONE, True)


def counter(proxy: Proxy, name: str) -> Callable[[], int]:
    return lambda: sum(proxy.envoy.stats(f"meshscribe_tap_{name}").values())
