"""What the model server answers in each protocol is read as that, with the usage that it tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.frames import Opcode
from websockets.sync.client import connect

from collector.decode import Captured, decode
from collector.demo.parts import ModelServer
from collector.demo.ports import Ports
from collector.demo.traffic import CALLS, client, send
from collector.demo.websocket import framed
from tests.decode.socket_calls import UPGRADE, close, frames

READ_AS = {
    "Ollama": ("ollama", 13), "Gemini": ("gemini", 13), "Bedrock": ("bedrock", 13), "Cohere": ("cohere", 13),
    "WebSocket": ("openai-responses", 26), "batch": ("openai-batches", 42), "MCP tool call": ("mcp", 0), "A2A message": ("a2a", 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with Ports() as ports:
        server = ModelServer(ports.take(), tmp_path_factory.mktemp("model"))
        server.start()
        with client(server.port) as http:
            yield http
        server.process.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", READ_AS)
def test_it_is_read_with_its_usage(http: httpx.Client, name: str) -> None:
    [call] = [call for call in CALLS if call.what == name]
    sent = send(http, call)
    told = UPGRADE if call.upgrade else [("content-type", "application/json")]
    whole = not call.upgrade
    decoded = decode(Captured(call.method, call.path, sent.status, told, call.body, whole, told, [], sent.answer, whole, []))
    protocol, tokens = READ_AS[name]
    assert (decoded.inference["protocol"], decoded.problems, decoded.untold) == (protocol, [], None)
    numbers = [decoded.usage[key]["value"] for key in ("prompt_tokens", "completion_tokens") if key in decoded.usage]
    assert sum(numbers) == tokens
    if call.upgrade:
        assert (decoded.inference["answer_count"], decoded.inference["closed"]) == (2, {"code": 1000})


@pytest.mark.slow
def test_a_client_that_is_no_part_of_the_demo_is_answered_too(http: httpx.Client) -> None:
    with connect(f"ws://127.0.0.1:{http.base_url.port}/v1/responses") as socket:
        socket.send('{"type":"response.create"}')
        told = [socket.recv() for _ in range(6)]
    assert '"response.completed"' in str(told[-1])


@pytest.mark.parametrize("size", [0, 5, 125, 126, 70_000])
def test_frames_are_those_of_websockets(size: int) -> None:
    assert framed(Opcode.TEXT, b"x" * size) == frames([b"x" * size])
    assert framed(Opcode.CLOSE, b"\x03\xe8") == close()


@pytest.mark.slow
def test_an_upgrade_that_is_not_taken_up_is_an_error_as_of_any_call(http: httpx.Client, tmp_path: Path) -> None:
    [call] = [call for call in CALLS if call.upgrade]
    with Ports() as ports, client(ports.take()) as nowhere, pytest.raises(httpx.HTTPError):
        send(nowhere, call)
