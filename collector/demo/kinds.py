"""The model server's other tongues: what crosses a mesh besides OpenAI's chat and KServe's predictions, in the bytes of real servers.

Each answers one question in one way: Ollama streams lines, Gemini and Bedrock answer whole, a WebSocket carries a response of OpenAI's
Responses, MCP calls a tool, A2A asks an agent, and a batch tells what it used at its end.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable

from collector.demo.http1 import Exchange
from collector.demo.websocket import CLOSE, TEXT, accept, framed, read_frame

JSON = "application/json"
SAID = ["The", " mesh", " keeps", " it."]
TEXT_SAID = "".join(SAID)
ASKED, ANSWERED = 9, len(SAID)  # tokens


async def ollama(exchange: Exchange) -> None:
    """POST /api/chat of Ollama: a line for each piece, the last one with the counts."""
    model = (await _asked(exchange)).get("model")
    head = {"model": model, "created_at": "2026-10-01T10:00:00.123456789Z"}
    counts = {"total_duration": 904_417_000, "prompt_eval_count": ASKED, "eval_count": ANSWERED, "eval_duration": 83_000_000}
    lines = [head | {"message": {"role": "assistant", "content": piece}, "done": False} for piece in SAID]
    lines.append(head | {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"} | counts)
    await exchange.start(200, [("content-type", "application/x-ndjson")])
    for line in lines:
        await exchange.send(_dump(line) + b"\n")
    await exchange.end()


async def gemini(exchange: Exchange) -> None:
    """POST /v1beta/models/NAME:generateContent of Google AI."""
    await exchange.body()
    candidate = {"content": {"role": "model", "parts": [{"text": TEXT_SAID}]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": ASKED, "candidatesTokenCount": ANSWERED, "totalTokenCount": ASKED + ANSWERED}
    told = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini", "responseId": "demo"}
    await exchange.answer(200, _dump(told), JSON)


async def bedrock(exchange: Exchange) -> None:
    """POST /model/NAME/converse of Bedrock."""
    await exchange.body()
    usage = {"inputTokens": ASKED, "outputTokens": ANSWERED, "totalTokens": ASKED + ANSWERED}
    message = {"role": "assistant", "content": [{"text": TEXT_SAID}]}
    told = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 500}}
    await exchange.answer(200, _dump(told), JSON, [("x-amzn-requestid", "demo")])


async def cohere(exchange: Exchange) -> None:
    """POST /v2/chat of Cohere."""
    await exchange.body()
    usage = {"billed_units": {"input_tokens": ASKED, "output_tokens": ANSWERED}, "tokens": {"input_tokens": 71, "output_tokens": ANSWERED}}
    message = {"role": "assistant", "content": [{"type": "text", "text": TEXT_SAID}]}
    await exchange.answer(200, _dump({"id": "demo", "finish_reason": "COMPLETE", "message": message, "usage": usage}), JSON)


async def batch(exchange: Exchange) -> None:
    """GET /v1/batches/ID of OpenAI, of one that is over. Each id is billed once, however often it is asked for."""
    await exchange.body()
    usage = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}
    told = {
        "id": exchange.path.rpartition("/")[2],
        "object": "batch",
        "endpoint": "/v1/responses",
        "status": "completed",
        "model": "gpt-demo",
    }
    await exchange.answer(200, _dump(told | {"created_at": 1_790_000_000, "input_file_id": "file-demo", "usage": usage}), JSON)


async def mcp(exchange: Exchange) -> None:
    """POST /mcp: the result of a tool's call."""
    asked = await _asked(exchange)
    told = {"jsonrpc": "2.0", "id": asked.get("id"), "result": {"content": [{"type": "text", "text": "46 days"}], "isError": False}}
    await exchange.answer(200, _dump(told), JSON)


async def a2a(exchange: Exchange) -> None:
    """POST /agent: a task of an agent, over JSON-RPC."""
    asked = await _asked(exchange)
    task = {"id": "task-demo", "contextId": "context-demo", "status": {"state": "TASK_STATE_COMPLETED"}}
    await exchange.answer(200, _dump({"jsonrpc": "2.0", "id": asked.get("id"), "result": {"task": task}}), JSON)


async def responses(exchange: Exchange) -> None:
    """OpenAI's Responses over a WebSocket: a response for each `response.create`, until the client closes."""
    reader, writer = await exchange.tunnel(accept(exchange.headers))
    number = 0
    try:
        while True:
            head, payload, raw = await read_frame(reader)
            exchange.request_digest.update(raw)
            frames = framed(CLOSE, payload)
            if head & 0x0F != CLOSE:
                frames = b"".join(framed(TEXT, _dump(event)) for event in _response(number))
                number += 1
            exchange.answer_digest.update(frames)
            writer.write(frames)
            await writer.drain()
            if head & 0x0F == CLOSE:
                break
    finally:
        writer.close()


def _response(number: int) -> Iterable[dict[str, object]]:
    told: dict[str, object] = {
        "id": f"resp_demo_{number}",
        "object": "response",
        "model": "gpt-demo",
        "status": "in_progress",
        "output": [],
    }
    yield {"type": "response.created", "response": told}
    for piece in SAID:
        yield {"type": "response.output_text.delta", "output_index": 0, "item_id": "m", "delta": piece}
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT_SAID}]}]
    usage = {"input_tokens": ASKED, "output_tokens": ANSWERED, "total_tokens": ASKED + ANSWERED}
    yield {"type": "response.completed", "response": told | {"status": "completed", "output": output, "usage": usage}}


async def _asked(exchange: Exchange) -> dict[str, object]:
    try:
        asked = json.loads(await exchange.body())
    except ValueError:
        asked = None
    return asked if isinstance(asked, dict) else {}


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


ROUTES: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "/api/chat": ollama,
    "/v1beta/models/": gemini,
    "/model/": bedrock,
    "/v2/chat": cohere,
    "/v1/batches/": batch,
    "/v1/responses": responses,
    "/mcp": mcp,
    "/agent": a2a,
}
