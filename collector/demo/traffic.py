"""Varied traffic through the demo's Envoy. What was sent and what came back is remembered to the byte, for check.py."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from collector.demo.websocket import CLOSE, TEXT, framed, talk

JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Call:
    """A request to send."""

    what: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON_TYPE
    service: str = "iris"  # through whose proxy it goes
    upgrade: bool = False  # to a WebSocket, on which the body's frames are sent


@dataclass(frozen=True)
class Sent:
    """A request as it went out and its answer as it came in, both bodies as they were on the wire."""

    call: Call
    request_id: str
    status: int
    answer: bytes


def _json(what: str, path: str, value: object, service: str = "iris") -> Call:
    return Call(what, "POST", path, json.dumps(value).encode(), service=service)


def chat(what: str, tokens: int, **more: object) -> Call:
    """A chat of so many tokens; `more` goes into the request."""
    messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What do you keep?"}]
    return _json(what, "/v1/chat/completions", {"model": "demo-chat", "messages": messages, "max_tokens": tokens, **more}, "chat")


def _rpc(what: str, path: str, method: str, params: object) -> Call:
    return _json(what, path, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, "chat")


_QUESTION = [{"role": "user", "content": "What do you keep?"}]
_CREATE = json.dumps({"type": "response.create", "model": "gpt-demo", "input": _QUESTION}).encode()
# Two responses on one connection, and its end.
_FRAMES = framed(TEXT, _CREATE, masked=True) * 2 + framed(CLOSE, (1000).to_bytes(2), masked=True)
STREAMED: dict[str, object] = {"stream": True, "stream_options": {"include_usage": True}}

CALLS: Sequence[Call] = (
    chat("chat", 12),
    chat("chat, streamed", 20, seconds_per_token=0.02, **STREAMED),
    _json("predict (V1), gzip", "/v1/models/iris:predict", {"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}),
    _json(
        "infer (V2)",
        "/v2/models/iris/infer",
        {"id": "1", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]},
    ),
    Call("bad request", "POST", "/v1/chat/completions", b'{"model": ', service="chat"),
    _json("unprocessable", "/v2/models/iris/infer", {"inputs": "none"}),
    chat("overloaded", 1, model="overloaded"),
    Call("server error", "GET", "/status?code=500"),
    Call("no such model", "GET", "/v2/models", b""),
    _json("Ollama", "/api/chat", {"model": "qwen-demo", "messages": _QUESTION}, "chat"),
    _json("Gemini", "/v1beta/models/gemini:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, "chat"),
    _json("Bedrock", "/model/nova-demo/converse", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "chat"),
    _json("Cohere", "/v2/chat", {"model": "command", "messages": _QUESTION}, "chat"),
    Call("WebSocket", "GET", "/v1/responses", _FRAMES, service="chat", upgrade=True),
    Call("batch", "GET", "/v1/batches/batch_demo", service="chat"),
    _rpc("MCP tool call", "/mcp", "tools/call", {"name": "days_between", "arguments": {"from": "2026-10-14", "to": "2026-11-29"}}),
    _rpc("A2A message", "/agent", "SendMessage", {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}}),
    Call("binary echo, 64 KiB", "POST", "/echo", bytes(range(256)) * 256, "application/octet-stream"),
    Call("chunked, no length", "GET", "/chunked?chunks=5"),
    Call("no content", "GET", "/status?code=204"),
)


class Traffic:
    """Sends through the proxy of each call's service. A context manager. `ports`: service → port."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._clients = {service: client(port) for service, port in ports.items()}

    def send(self, call: Call) -> Sent:
        """See `send`."""
        return send(self._clients[call.service], call)

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        for through in self._clients.values():
            through.close()


def client(port: int) -> httpx.Client:
    """A client of the Envoy listener on `port`."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False)


def send(through: httpx.Client, call: Call) -> Sent:
    """Send one request and read its answer. Raises httpx.HTTPError."""
    request_id = str(uuid.uuid4())
    headers = {"x-request-id": request_id, "user-agent": "meshscribe-demo", "authorization": "Bearer not-to-be-stored"}
    if call.upgrade:
        try:
            return Sent(call, request_id, *talk(through.base_url.port or 80, call.path, list(headers.items()), call.body))
        except (OSError, ValueError, IndexError) as error:
            raise httpx.RemoteProtocolError(f"{call.path}: {error}") from error
    if call.body:
        headers["content-type"] = call.content_type
    with through.stream(call.method, call.path, content=call.body or None, headers=headers) as answer:
        return Sent(call, request_id, answer.status_code, b"".join(answer.iter_raw()))
