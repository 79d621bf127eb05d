"""Answers that are longer than what the tap captures: what they used stands at their ends. `model` says how many tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

PROMPT = 12
VECTORS, DIMENSIONS = 200, 1536
Event = dict[str, Any]


def tokens_of(model: object) -> int:
    """`long-6000` generates 6,000 tokens; 0: another model."""
    return int(str(model).removeprefix("long-")) if str(model).startswith("long-") else 0


def chat(asked: Event) -> Iterator[Event]:
    count = tokens_of(asked["model"])
    head = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "llama",
    }
    for number in range(count):
        delta = {"role": "assistant", "content": f" word{number}", "reasoning_content": None, "tool_calls": None}
        yield head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
    yield head | {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]}
    yield head | {"choices": [], "usage": chat_usage(count)}


def chat_usage(count: int) -> Event:
    return {
        "prompt_tokens": PROMPT,
        "completion_tokens": count,
        "total_tokens": PROMPT + count,
        "prompt_tokens_details": {"cached_tokens": 5},
    }


def messages(asked: Event) -> Iterator[Event]:
    usage = {"input_tokens": PROMPT, "output_tokens": 1, "cache_read_input_tokens": 3}
    yield {
        "type": "message_start",
        "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage},
    }
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    count = tokens_of(asked["model"])
    for number in range(count):
        padding = "x" * 150
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f" word{number}{padding}"}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None}, "usage": {"output_tokens": count}}
    yield {"type": "message_stop"}


def message(asked: Event) -> Response:
    """The same, not streamed."""
    usage = {"input_tokens": PROMPT, "output_tokens": tokens_of(asked["model"]), "cache_read_input_tokens": 3, "service_tier": "standard"}
    content = [{"type": "text", "text": "so"}, {"type": "tool_use", "id": "tu_1", "name": "weather", "input": {"city": "Oslo"}}]
    return JSONResponse(
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content, "stop_reason": "tool_use",
            "stop_sequence": None, "usage": usage,
        }
    )  # fmt: skip


def responses(asked: Event) -> Iterator[Event]:
    count = tokens_of(asked["model"])
    words = [f" word{number}" + "y" * 120 for number in range(count)]
    response: Event = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "gpt", "output": [], "usage": None}
    yield {"type": "response.created", "sequence_number": 0, "response": response}
    for number, word in enumerate(words):
        yield {"type": "response.output_text.delta", "sequence_number": number + 1, "item_id": "msg", "output_index": 0, "delta": word}
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "".join(words)}]}]
    usage = {
        "input_tokens": PROMPT,
        "output_tokens": count,
        "total_tokens": PROMPT + count,
        "output_tokens_details": {"reasoning_tokens": 9},
    }
    whole = response | {"status": "completed", "output": output, "temperature": 1.0, "usage": usage, "metadata": {}}
    yield {"type": "response.completed", "sequence_number": count + 1, "response": whole}


def stream(events: Iterable[Event], done: bool = True) -> Response:
    def pieces() -> Iterator[bytes]:
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            yield f"{name}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        if done:
            yield b"data: [DONE]\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


def embeddings(asked: Event) -> Response:
    rng = random.Random(len(asked["input"]))
    data = [{"object": "embedding", "index": n, "embedding": [rng.uniform(-1, 1) for _ in range(DIMENSIONS)]} for n in range(VECTORS)]
    usage = {"prompt_tokens": 4321, "total_tokens": 4321}
    return JSONResponse({"object": "list", "data": data, "model": "bge", "usage": usage})


def seen(asked: Event) -> Response:
    """An answer about a picture."""
    usage = {"prompt_tokens": 3210, "completion_tokens": 7, "total_tokens": 3217}
    choice = {"index": 0, "message": {"role": "assistant", "content": "a cat"}, "finish_reason": "stop"}
    return JSONResponse({"id": "chatcmpl-2", "object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage})


async def generate(request: Request) -> Response:
    """TGI, which tells its counts in headers."""
    await request.body()
    told = {"x-prompt-tokens": "11", "x-generated-tokens": "3", "x-time-per-token": "20", "x-session-token": "hidden"}
    return JSONResponse({"generated_text": "so it is"}, headers=told)
