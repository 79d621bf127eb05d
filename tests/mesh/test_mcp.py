"""The official MCP client and server through the real Envoy: the record says what the client called, and what it got."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import httpx2
import pytest

from collector.demo.audit import Record
from collector.demo.child import Child
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.ports import Ports
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, Mesh, new_id

if TYPE_CHECKING:  # each tester finds all tests, and few need what takes long to load
    from mcp import Client

ROOT = Path(__file__).parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FEW = [{"name": "few", "path": {"prefix": "/"}, "level": "metadata"}]
ERAS = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}


class Lab(NamedTuple):
    mesh: Mesh
    ports: dict[str, int]


class Called(NamedTuple):
    """A request that the client sent, by the id that it was given. `method`: JSON-RPC's, else HTTP's."""

    request_id: str
    method: str


@pytest.fixture(scope="module")
def lab(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("mcp")
    with Ports() as ports:
        upstream = ports.take()
        server = Child(
            "the MCP server",
            [sys.executable, "-m", "tests.mesh.mcp_server", str(upstream)],
            folder / "server.log",
            {"PYTHONPATH": str(ROOT)},
        )
        plugins = {"tapped": tap_config(**QUICK_TAP), "few": tap_config(**QUICK_TAP, rules=FEW)}
        inbounds = {name: Inbound(ports.take(), upstream, plugin) for name, plugin in plugins.items()}
        ingest, grpc = mesh.collector.ingest_port, mesh.collector.grpc_port
        sidecar = Sidecar(ports.take(), list(inbounds.values()), ingest, grpc, tap_wasm(), log_flush_seconds=LOG_FLUSH_SECONDS)
        envoy = Envoy(bootstrap(sidecar), folder, concurrency=1)
        try:
            server.start(lambda: answers(upstream), 60.0)
            envoy.start()
            yield Lab(mesh, {name: inbound.port for name, inbound in inbounds.items()})
        finally:
            envoy.stop()
            server.stop()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 404
    except httpx.TransportError:
        return False


@asynccontextmanager
async def connected(lab: Lab, mode: str, listener: str = "tapped") -> AsyncIterator[tuple[Client, list[Called]]]:
    """A client, and the requests that it sends."""
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    sent: list[Called] = []

    async def name(request: httpx2.Request) -> None:
        asked = json.loads(request.content) if request.content else {}
        called = Called(new_id(), asked.get("method", request.method))
        request.headers["x-request-id"] = called.request_id
        sent.append(called)

    async with httpx2.AsyncClient(trust_env=False, timeout=30, event_hooks={"request": [name]}) as http:
        transport = streamable_http_client(f"http://127.0.0.1:{lab.ports[listener]}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client, sent


def told(lab: Lab, called: Called) -> Record:
    """Its record. The client closes a stream when it has its answer, often before the stream's end."""
    [record] = lab.mesh.exchanges(called.request_id, 1, [{"complete"}, {"complete", "client_aborted"}])
    assert record["hop"]["billable"] is False
    assert "usage" not in record
    assert record["inference"]["protocol"] == "mcp"
    return record


def last(sent: list[Called], method: str) -> Called:
    """The last request with this method: a client may list the tools behind a call."""
    return [called for called in sent if called.method == method][-1]


def mcp(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = record["inference"]["mcp"]
    return found


@pytest.mark.parametrize("version", ERAS)
async def test_what_the_client_calls_is_what_the_record_says(lab: Lab, version: str) -> None:
    from mcp.shared.exceptions import MCPError

    meta: Any = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    async with connected(lab, ERAS[version]) as (client, sent):
        await client.list_tools()
        listed = last(sent, "tools/list")
        answer = await client.call_tool("weather", {"city": "Storgata 7"}, meta=meta)
        assert answer.is_error is False
        good = last(sent, "tools/call")
        failure = await client.call_tool("failing", {})
        assert failure.is_error is True
        failed = last(sent, "tools/call")
        await client.read_resource("lab://notes/a")
        resource = last(sent, "resources/read")
        await client.get_prompt("greet", {"name": "Ann"})
        prompt = last(sent, "prompts/get")
        with pytest.raises(MCPError) as refused:
            await client.get_prompt("nobody", {})
        wrong = last(sent, "prompts/get")
    for called, method, name, result in (
        (listed, "tools/list", None, "ok"),
        (good, "tools/call", "weather", "ok"),
        (failed, "tools/call", "failing", "tool_error"),
        (resource, "resources/read", "lab://notes/a", "ok"),
        (prompt, "prompts/get", "greet", "ok"),
        (wrong, "prompts/get", "nobody", "error"),
    ):
        record = told(lab, called)
        found = mcp(record)
        assert (found["kind"], found["method"], found.get("name"), found["result"]) == ("request", method, name, result)
        assert (found["protocol_version"], found["told_by"]) == (version, "body")
        assert record["inference"]["operation"] == method
    assert told(lab, wrong)["inference"]["error"]["code"] == refused.value.error.code
    assert told(lab, failed)["inference"]["error"] == {"type": "tool_error", "message": failure.content[0].text}
    record = told(lab, good)
    assert (mcp(record)["trace_id"], mcp(record)["span_id"]) == (TRACE, "00f067aa0ba902b7")
    headers = dict(record["request"]["headers"])
    assert headers.get("mcp-param-city") == ("[redacted]" if version == "2026-07-28" else None)
    assert "Storgata" not in str(record)


async def test_a_session_is_told_from_its_beginning_to_its_end(lab: Lab) -> None:
    async with connected(lab, "legacy") as (client, sent):
        await client.call_tool("weather", {"city": "Oslo"})
        call = last(sent, "tools/call")
    begun, ended = sent[0], sent[-1]
    listening = next(each for each in sent if each.method == "GET")
    session = mcp(told(lab, begun))["session"]
    assert (mcp(told(lab, begun))["method"], mcp(told(lab, begun))["protocol_version"]) == ("initialize", "2025-11-25")
    assert mcp(told(lab, ended)) | {"kind": "end", "session": session} == mcp(told(lab, ended))
    assert mcp(told(lab, call))["session"] == session
    assert mcp(told(lab, listening))["kind"] == "stream"
    assert mcp(told(lab, sent[1]))["method"] == "notifications/initialized"


@pytest.mark.parametrize("mode", ERAS.values(), ids=ERAS)
async def test_progress_is_counted(lab: Lab, mode: str) -> None:
    seen = 0

    async def count(*_: Any) -> None:
        nonlocal seen
        seen += 1

    async with connected(lab, mode) as (client, sent):
        await client.call_tool("slow", {"steps": 4}, progress_callback=count)
        called = last(sent, "tools/call")
    assert seen == 4
    assert {name: mcp(told(lab, called))[name] for name in ("progress", "notifications", "requests", "result")} == {
        "progress": 4, "notifications": 4, "requests": 0, "result": "ok",
    }  # fmt: skip


async def test_headers_alone_tell_a_call_whose_body_is_not_tapped(lab: Lab) -> None:
    async with connected(lab, "2026-07-28", "few") as (client, sent):
        await client.read_resource("lab://notes/ä b")
        called = sent[-1]
    found = mcp(told(lab, called))
    assert found == {
        "told_by": "headers", "kind": "request", "method": "resources/read", "name": "lab://notes/ä b", "protocol_version": "2026-07-28",
    }  # fmt: skip
