"""The mesh that these tests share: one Envoy with a listener for each way of tapping, a model server, a collector."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from collector.demo.audit import Audit, Record
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import deny, tap_config, tap_wasm
from collector.demo.parts import CollectorProcess, ModelServer
from collector.demo.ports import Ports
from tests.mesh import grpc_upstream
from tests.mesh.rawhttp import Raw, request
from tests.support.waits import until

# Short times, so that the tests wait little; linger long enough that a busy machine does not close an exchange too soon.
SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "4",
    "MESHSCRIBE_CORRELATE__IDLE_SECONDS": "30",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
}
LOG_FLUSH_SECONDS = 0.05
QUICK_TAP = {"batch_age_ms": 50}
BODY_LIMITS = {"request_body_bytes": 1000, "response_body_bytes": 2000, "tail_bytes": 300}

RULES = [
    {"name": "health", "path": {"prefix": "/status"}, "level": "none"},
    {"name": "sizes", "path": {"prefix": "/bytes"}, "level": "metadata"},
    {"name": "prompts", "path": {"exact": "/echo"}, "method": "POST", "level": "request"},
    {"name": "never", "path": {"suffix": "sampled"}, "level": "request_response", "sample": 0},
]
REDACTION = {"redact_headers": ["x-customer"], "redact_header_words": ["passphrase"]}
BROKEN: Mapping[str, Any] = {
    "not_json": "{",
    "no_cluster": {"collector": {}},
    "unknown_field": {**tap_config(), "sampel": 1},
    "wrong_type": tap_config(request_body_bytes="many"),
    "no_such_cluster": tap_config(collector={"cluster": "outbound|8080||nowhere"}, **QUICK_TAP),
}


def listeners(ports: Ports, model: int, grpc: int) -> dict[str, Inbound]:
    """Every listener, by name. Listeners whose upstreams differ have service ports of their own."""
    take = ports.take
    quick, addressed = tap_config(**QUICK_TAP), tap_config(**QUICK_TAP, caller_address=True)
    return {
        "tapped": Inbound(take(), model, quick, filters=(deny("/denied"),)),
        "untapped": Inbound(take(), model, access_log=False),
        "log_only": Inbound(take(), model),
        "tap_only": Inbound(take(), model, quick, access_log=False),
        "addressed": Inbound(take(), model, addressed),
        "addressed_tap_only": Inbound(take(), model, addressed, access_log=False),
        "trailers": Inbound(take(), model, quick, service_port=8081, trailers=True),
        "grpc": Inbound(take(), grpc, quick, service_port=9000, http2=True),
        "down": Inbound(take(), take(), quick, service_port=8082),
        "limited": Inbound(take(), model, tap_config(**QUICK_TAP, **BODY_LIMITS)),
        "ruled": Inbound(take(), model, tap_config(**QUICK_TAP, rules=RULES)),
        "redacting": Inbound(take(), model, tap_config(**QUICK_TAP, **REDACTION)),
        **{f"broken_{name}": Inbound(take(), model, config) for name, config in BROKEN.items()},
    }


class Proxy(NamedTuple):
    """An Envoy and, by name, the ports of its listeners."""

    envoy: Envoy
    ports: dict[str, int]


class Mesh:
    """Started by `open`, ended by the stack that it was given."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = stack.enter_context(Ports())
        self.model = ModelServer(ports.take(), folder)
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, SETTINGS)
        grpc_port = ports.take()
        self._listeners = listeners(ports, self.model.port, grpc_port)
        sidecar = Sidecar(
            ports.take(),
            list(self._listeners.values()),
            self.collector.ingest_port,
            self.collector.grpc_port,
            tap_wasm(),
            log_flush_seconds=LOG_FLUSH_SECONDS,
        )
        self.envoy = Envoy(bootstrap(sidecar), folder)
        for part in (self.model, self.collector, self.envoy):
            stack.callback(part.process.stop)
            part.start()
        upstream = grpc_upstream.serve(grpc_port)
        stack.callback(lambda: upstream.stop(None).wait())
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))

    def port(self, listener: str) -> int:
        return self._listeners[listener].port

    def raw(self, listener: str = "tapped") -> Raw:
        """A new connection to the listener."""
        return Raw(self.port(listener))

    def exchange(self, request_id: str, *flags: str, listener: str = "tapped") -> Record:
        """The one exchange with this request id, once it has these completeness flags."""
        return self.exchanges(request_id, 1, [set(flags)], listener)[0]

    def exchanges(self, request_id: str, count: int, flags: Sequence[set[str]], listener: str = "tapped") -> list[Record]:
        """The `count` exchanges with this request id, once each has one of the sets of flags. Oldest first."""
        # Ids order by the millisecond; two proxies of one call may begin in the same one.
        by_start = itemgetter("start")
        return self._await(count, flags, listener, lambda: sorted(self.audit.exchanges(request_id=request_id, order="asc"), key=by_start))

    def from_client(self, connection: Raw, *flags: str, listener: str = "tapped") -> Record:
        """The one exchange of this connection: for requests whose id does not name them."""
        since = connection.opened.isoformat()  # a port is used again soon

        def ours() -> list[Record]:
            began_since = self.audit.exchanges(since=since, order="asc")
            return [record for record in began_since if record.get("caller", {}).get("address") == connection.address]

        return self._await(1, [set(flags)], listener, ours)[0]

    def _await(self, count: int, flags: Sequence[set[str]], listener: str, find: Callable[[], list[Record]]) -> list[Record]:
        def good(records: list[Record]) -> bool:
            return len(records) >= count and all(set(record["completeness"]) in flags for record in records)

        for part in (self.collector, self.envoy, self.model):
            part.process.check()
        until(find, good)
        self.settle(listener)
        records = find()
        assert len(records) == count, f"{len(records)} exchanges instead of {count}: {[brief(record) for record in records]}"
        for record in records:
            assert set(record["completeness"]) in flags, brief(record)
        return [self.audit.record(record["id"]) for record in records]

    def settle(self, listener: str) -> None:
        """Wait until an exchange that begins now is recorded: what the proxy told before is recorded too."""
        request_id = new_id()
        with self.raw("tapped" if listener == "down" or listener == "grpc" else listener) as connection:
            connection.send(request(request_id, path="/status?code=204"))
            assert connection.answer().status == 204
        found = until(lambda: list(self.audit.exchanges(request_id=request_id)), bool)
        assert found, "an exchange with the listener was not recorded"

    def bodies(self, record: Record) -> tuple[bytes, bytes]:
        """What is stored of the request's and the response's body."""
        return self.audit.body(record["id"], "request"), self.audit.body(record["id"], "response")


def brief(record: Record) -> str:
    """What of a record says what went wrong, for a failing test."""
    said = {name: record.get(name) for name in ("completeness", "policy", "request", "response", "problems")}
    return json.dumps(said)[:3000]


def new_id() -> str:
    return str(uuid.uuid4())


@contextmanager
def proxy_with(
    mesh: Mesh, folder: Path, plugins: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config
) -> Iterator[Proxy]:
    """An Envoy of its own before the mesh's model server and collector, with a tapped listener for each plugin configuration."""
    with Ports() as ports:
        inbounds = {name: Inbound(ports.take(), mesh.model.port, plugin) for name, plugin in plugins.items()}
        ingest, grpc = mesh.collector.ingest_port, mesh.collector.grpc_port
        sidecar = Sidecar(ports.take(), list(inbounds.values()), ingest, grpc, tap_wasm(), log_flush_seconds=LOG_FLUSH_SECONDS)
        envoy = Envoy(change(bootstrap(sidecar)), folder, concurrency=1)
        envoy.start()
        try:
            yield Proxy(envoy, {name: inbound.port for name, inbound in inbounds.items()})
        finally:
            envoy.stop()
