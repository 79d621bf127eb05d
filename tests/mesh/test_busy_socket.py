"""A WebSocket that stays busy is told while it is open, through the real Envoy and filter, also if the collector is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.sync.client import ClientConnection, connect

from collector.demo.audit import Audit
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, SETTINGS, new_id
from tests.support.socket_server import SocketServer
from tests.support.waits import until

TOLD_SECONDS = 1.0


class Lab(NamedTuple):
    server: SocketServer
    collector: CollectorProcess
    audit: Audit
    port: int

    def connect(self, request_id: str) -> ClientConnection:
        headers = {"x-request-id": request_id}
        return connect(f"ws://127.0.0.1:{self.port}/v1/responses", additional_headers=headers, compression=None, proxy=None)

    def records(self, request_id: str) -> list[dict[str, Any]]:
        """All revisions, the first one first."""
        found = self.audit.exchanges(request_id=request_id, revisions="all")
        return sorted(found, key=lambda record: record["revision"])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        server, ports = SocketServer(stack), stack.enter_context(Ports())
        settings = {**SETTINGS, "MESHSCRIBE_CORRELATE__TOLD_SECONDS": str(TOLD_SECONDS)}
        collector = CollectorProcess(ports.take(), ports.take(), ports.take(), tmp_path, settings)
        stack.callback(collector.process.stop)
        collector.start()
        inbound = Inbound(ports.take(), server.plain, tap_config(**QUICK_TAP))
        sidecar = Sidecar(
            ports.take(), [inbound], collector.ingest_port, collector.grpc_port, tap_wasm(), log_flush_seconds=LOG_FLUSH_SECONDS
        )
        envoy = Envoy(bootstrap(sidecar), tmp_path, concurrency=1)
        envoy.start()
        stack.callback(envoy.stop)
        yield Lab(server, collector, stack.enter_context(closing(Audit(collector.url))), inbound.port)


def ask(connection: ClientConnection) -> None:
    """Asks for an answer and reads it to its end."""
    connection.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": "hi"}))
    while json.loads(connection.recv())["type"] != "response.completed":
        pass


def total(record: dict[str, Any]) -> int:
    number: int = record.get("usage", {}).get("total_tokens", {}).get("value", 0)
    return number


def test_its_usage_is_told_while_it_is_open_and_never_falls(lab: Lab) -> None:
    request_id = new_id()

    def newest_while_it_goes_on() -> dict[str, Any]:
        ask(connection)
        return (lab.records(request_id) or [{}])[-1]

    with lab.connect(request_id) as connection:
        first = until(newest_while_it_goes_on, total)
        assert first["completeness"][-1] == "unfinished"
        lab.collector.process.kill()
        ask(connection)
        lab.collector.start()
        more = until(newest_while_it_goes_on, lambda record: record.get("revision", 0) > first["revision"])
        assert total(more) > total(first) > 0
        assert "href" not in lab.audit.record(more["id"])["response"]["body"]

    records = until(lambda: lab.records(request_id), lambda found: "unfinished" not in found[-1]["completeness"])
    assert [record["revision"] for record in records] == list(range(len(records)))
    assert [total(record) for record in records] == sorted(map(total, records))
    assert len({record["id"] for record in records}) == 1
    last = lab.audit.record(records[-1]["id"])
    assert [(each["id"], each["usage"]["total_tokens"]["value"]) for each in last["inference"]["answers"]] == lab.server.due[request_id]
    assert total(records[-1]) == sum(tokens for _, tokens in lab.server.due[request_id])
    assert len(lab.audit.body(last["id"], "response")) == last["response"]["body"]["captured"]
