"""The model server's models: OpenAI-compatible chat, KServe V1 predict and V2 infer, with their errors.

They compute next to nothing, but the bytes have the shapes that real servers (vLLM, KServe's sklearnserver) send.
A chat's `max_tokens` says how many tokens come. Extensions of this server: `seconds_per_token` says how fast, and `demo` what the answer
says: {"text"}, {"tool_calls"}, and {"stall": [after so many tokens, seconds]}.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import TypedDict, TypeGuard

from collector.demo.audit import Json
from collector.demo.http1 import Exchange

WORDS = ["the", "mesh", "keeps", "a", "faithful", "record", "of", "every", "answer", "that", "it", "carries"]
CREATED = 1_700_000_000
JSON = "application/json"


class Script(TypedDict, total=False):
    """What the answer is to say. `stall`: after so many tokens, for so many seconds."""

    text: str
    tool_calls: list[object]
    stall: tuple[int, float]


class Chat(TypedDict, total=False):
    """A request, as far as it is read."""

    model: str
    messages: list[dict[str, object]]
    max_tokens: int
    stream: bool
    stream_options: dict[str, bool]
    seconds_per_token: float
    demo: Script


async def chat(exchange: Exchange) -> None:
    """POST /v1/chat/completions, streamed as server-sent events or whole."""
    asked = await _json(exchange)
    fault = _chat_fault(asked)
    if fault is not None or not _is_chat(asked):
        await _openai_error(exchange, 400, fault or "not a JSON object")
    elif asked["model"] == "overloaded":
        await _openai_error(exchange, 503, "The server is overloaded, try again", [("retry-after", "1")])
    elif asked.get("stream"):
        await _stream(exchange, asked)
    else:
        await exchange.answer(200, _dump(_completion(asked)), JSON)


def _is_chat(asked: object) -> TypeGuard[Chat]:
    return isinstance(asked, dict)


def _chat_fault(asked: object) -> str | None:
    if not isinstance(asked, dict):
        return "the body is not a JSON object"
    missing = [name for name in ("model", "messages") if name not in asked]
    return f"missing: {', '.join(missing)}" if missing else None


async def _openai_error(exchange: Exchange, status: int, message: str, headers: list[tuple[str, str]] | None = None) -> None:
    error = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": status}}
    await exchange.answer(status, _dump(error), JSON, headers or [])


async def _stream(exchange: Exchange, asked: Chat) -> None:
    delay = float(asked.get("seconds_per_token", 0.0))
    await exchange.start(200, [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")])
    stall_after, stall_seconds = _scripted(asked).get("stall", (-1, 0))
    for number, piece in enumerate(_pieces(asked)):
        if delay:
            await asyncio.sleep(delay + (stall_seconds if number == stall_after else 0))
        await exchange.send(b"data: " + _dump(piece) + b"\n\n")
    await exchange.send(b"data: [DONE]\n\n")
    await exchange.end()


def _scripted(asked: Chat) -> Script:
    """What the request says that the answer is to be."""
    script = asked.get("demo")
    return script if isinstance(script, dict) else {}


def _tokens(asked: Chat) -> list[str]:
    script = _scripted(asked)
    if "text" in script:
        return [(" " if number else "") + word for number, word in enumerate(str(script["text"]).split(" "))]
    if "tool_calls" in script:
        return []
    count = int(asked.get("max_tokens", 12))
    return [(" " if i else "") + WORDS[i % len(WORDS)] for i in range(count)]


def _usage(asked: Chat) -> dict[str, int]:
    prompt = sum(len(str(message.get("content", "")).split()) for message in asked["messages"]) + 3
    count = len(_tokens(asked)) or 24  # a tool's call
    return {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}


def _head(asked: Chat, kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-demo", "object": kind, "created": CREATED, "model": asked["model"]}


def _pieces(asked: Chat) -> Iterator[Json]:
    """The chunks of a streamed completion: role, one per token, finish, and the usage if it was asked for."""
    head = _head(asked, "chat.completion.chunk")
    deltas = [{"role": "assistant", "content": ""}, *({"content": token} for token in _tokens(asked))]
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(asked)}


def _completion(asked: Chat) -> dict[str, object]:
    calls = _scripted(asked).get("tool_calls")
    message: dict[str, object] = {"role": "assistant", "content": None if calls else "".join(_tokens(asked))}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {**_head(asked, "chat.completion"), "choices": [choice], "usage": _usage(asked)}


async def predict(exchange: Exchange) -> None:
    """POST /v1/models/NAME:predict (KServe V1): one class per instance; compressed if the client takes gzip."""
    asked = await _json(exchange)
    instances = asked.get("instances") if isinstance(asked, dict) else None
    if not isinstance(instances, list):
        await exchange.answer(400, _dump({"error": 'Expected "instances" to be a list'}), JSON)
        return
    body = _dump({"predictions": [round(sum(map(float, row))) % 3 for row in instances]})
    if "gzip" in exchange.headers.get("accept-encoding", ""):
        await exchange.answer(200, gzip.compress(body, mtime=0), JSON, [("content-encoding", "gzip")])
    else:
        await exchange.answer(200, body, JSON)


async def infer(exchange: Exchange) -> None:
    """POST /v2/models/NAME/infer (Open Inference Protocol, JSON): the sum of each input tensor."""
    asked = await _json(exchange)
    try:
        sums = _sums(asked)
    except (KeyError, TypeError):
        await exchange.answer(422, _dump({"error": "inputs: a list of tensors with numeric data is required"}), JSON)
        return
    output = {"name": "sum", "datatype": "FP64", "shape": [len(sums)], "data": sums}
    name, identity = exchange.path.split("/")[3], asked.get("id") if isinstance(asked, dict) else None
    await exchange.answer(200, _dump({"model_name": name, "id": identity, "outputs": [output]}), JSON)


def _sums(asked: object) -> list[float]:
    """Raises KeyError, TypeError: these are no tensors."""
    if not isinstance(asked, dict):
        raise TypeError("not a JSON object")
    return [float(sum(tensor["data"])) for tensor in asked["inputs"]]


async def _json(exchange: Exchange) -> object:
    try:
        return json.loads(await exchange.body())
    except ValueError:
        return None


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


ROUTES: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "/v1/chat/completions": chat,
    "/v1/models/": predict,
    "/v2/models/": infer,
}
