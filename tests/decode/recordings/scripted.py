"""Answers in the form of the OpenAI and Anthropic APIs, for their real clients to parse.

No server of these APIs installs with a model from the package registries in reasonable size, so the bytes are ours (the corpus of
the tests, and more), but what they mean is said by the clients' own libraries.
"""

import asyncio
import gzip
import json
import zlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 9,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
}
TOOL_PIECES = [("call_1", "weather", ""), (None, None, '{"city":'), (None, None, ' "Oslo"}')]


def chunk(choices, **more):
    return {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1, "model": "base-model", "choices": choices} | more


def delta(piece, index=0, finish=None):
    return chunk([{"index": index, "delta": piece, "finish_reason": finish, "logprobs": None}])


def chat_events(asked):
    count = asked.get("n") or 1
    for index in range(count):
        yield delta({"role": "assistant", "content": "" if not asked.get("tools") else None}, index)
    if asked.get("tools"):
        for call_id, name, arguments in TOOL_PIECES:
            function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
            yield delta({"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]})
        yield delta({}, finish="tool_calls")
    else:
        for word in ("Hello", ', "wörld"', "\n", " 😀 ", "bye"):
            for index in range(count):
                yield delta({"content": word}, index)
        for index in range(count):
            yield delta({}, index, "stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield chunk([], usage=USAGE)


async def chat(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == "missing":
        error = {"message": "The model `missing` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}
        return JSONResponse({"error": error}, 404)
    if asked.get("stream"):
        texts = [json.dumps(event, ensure_ascii=False) for event in chat_events(asked)]
        return stream([f"data: {text}\n\n" for text in [*texts, "[DONE]"]], request.headers.get("accept-encoding", ""), asked["model"])
    message = {"role": "assistant", "content": 'Hello, "wörld"', "refusal": None}
    choices = [{"index": 0, "message": message, "finish_reason": "length", "logprobs": None}]
    body = {"id": "chatcmpl-8", "object": "chat.completion", "created": 1, "model": "base-model", "choices": choices, "usage": USAGE}
    return JSONResponse(body)


def stream(events: list[str], accepted: str, model: str) -> StreamingResponse:
    packer = zlib.compressobj(wbits=31) if "gzip" in accepted and model == "gzip" else None

    async def pieces():
        for event in events:
            await asyncio.sleep(0.005)
            data = event.encode()
            yield packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH) if packer else data
        if packer:
            yield packer.flush()

    headers = {"content-encoding": "gzip"} if packer else {}
    return StreamingResponse(pieces(), media_type="text/event-stream", headers=headers)


RESPONSE = {
    "id": "resp_9", "object": "response", "created_at": 1, "model": "base-model", "status": "completed", "error": None,
    "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1, "top_p": 1,
    "tool_choice": "auto", "tools": [],
    "output": [
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
         "content": [{"type": "output_text", "text": "Hello there", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_7", "name": "weather",
         "arguments": '{"city":"Oslo"}', "status": "completed"},
    ],
    "usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0}, "output_tokens": 7,
              "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 12},
}  # fmt: skip


def response_events():
    message, call = RESPONSE["output"]
    begun = RESPONSE | {"status": "in_progress", "output": [], "usage": None}
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.output_item.added", "output_index": 0, "item": message | {"content": [], "status": "in_progress"}}
    yield {"type": "response.content_part.added", **place, "part": part}
    for piece in ("Hel", "lo ", "there"):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": "Hello there", "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": message["content"][0]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": message}
    yield {"type": "response.output_item.added", "output_index": 1, "item": call | {"arguments": "", "status": "in_progress"}}
    for piece in ('{"city":', '"Oslo"}'):
        yield {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_1", "delta": piece}
    done = {"output_index": 1, "item_id": "fc_1", "name": "weather", "arguments": call["arguments"]}
    yield {"type": "response.function_call_arguments.done", **done}
    yield {"type": "response.output_item.done", "output_index": 1, "item": call}
    yield {"type": "response.completed", "response": RESPONSE}


async def responses(request: Request) -> Response:
    asked = await request.json()
    if not asked.get("stream"):
        return JSONResponse(RESPONSE)
    numbered = ((number, event) for number, event in enumerate(response_events()))
    return stream([f"event: {e['type']}\ndata: {json.dumps(e | {'sequence_number': n})}\n\n" for n, e in numbered], "", "")


MESSAGE = {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude-base", "stop_sequence": None}
BLOCKS = [
    {"type": "thinking", "thinking": "Let me see.", "signature": "sig"},
    {"type": "text", "text": "Hello there"},
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo", "days": 2}},
]
DELTAS = [
    [{"type": "thinking_delta", "thinking": x} for x in ("Let me ", "see.")] + [{"type": "signature_delta", "signature": "sig"}],
    [{"type": "text_delta", "text": x} for x in ("Hello", " there")],
    [{"type": "input_json_delta", "partial_json": x} for x in ("", '{"city": "Os', 'lo", "days": 2}')],
]
EMPTY = [{"thinking": "", "signature": ""}, {"text": ""}, {"input": {}}]


def message_events():
    numbers = {"input_tokens": 30, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0, "output_tokens": 1}
    yield {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None, "usage": numbers}}
    yield {"type": "ping"}
    for index, (block, deltas, empty) in enumerate(zip(BLOCKS, DELTAS, EMPTY, strict=True)):
        yield {"type": "content_block_start", "index": index, "content_block": block | empty}
        for piece in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": piece}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 42}}
    yield {"type": "message_stop"}


async def messages(request: Request) -> Response:
    asked = await request.json()
    if asked.get("stream"):
        return stream([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in message_events()], "", "")
    usage = {"input_tokens": 30, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0, "output_tokens": 42}
    return JSONResponse(MESSAGE | {"content": BLOCKS, "stop_reason": "tool_use", "usage": usage})


async def embeddings(request: Request) -> Response:
    asked = await request.json()
    data = [{"object": "embedding", "index": i, "embedding": [0.25, -0.5, 1.0]} for i, _ in enumerate(asked["input"])]
    body = {"object": "list", "model": "base-model", "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    return Response(gzip.compress(json.dumps(body).encode()), media_type="application/json", headers={"content-encoding": "gzip"})


async def transcriptions(request: Request) -> Response:
    await request.body()
    usage = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 5,
        "total_tokens": 19,
    }
    return JSONResponse({"text": "hello there", "usage": usage})


def application() -> Starlette:
    table = {
        "/v1/chat/completions": chat,
        "/v1/responses": responses,
        "/v1/messages": messages,
        "/v1/embeddings": embeddings,
        "/v1/audio/transcriptions": transcriptions,
    }
    return Starlette(routes=[Route(path, handler, methods=["POST"]) for path, handler in table.items()])
