"""Answers of Ollama, Gemini, Bedrock, Cohere and batch APIs as they send them, event by event; they say what the decoder's tests have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.decode import transcripts as t
from tests.decode.corpus import (
    BATCH,
    COHERE_CHAT,
    COHERE_USAGE,
    CONVERSE,
    CONVERSED,
    GEMINI,
    GEMINI_ARRAY,
    INVOKED,
    OLLAMA_CHAT,
    OLLAMA_DONE,
    batch_result,
)

EVENT_STREAM = "application/vnd.amazon.eventstream"


async def chat(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == "missing":
        return JSONResponse({"error": "model 'missing' not found"}, 404)
    if asked.get("stream", True):
        return _stream([t.dumps(line) + b"\n" for line in OLLAMA_CHAT], "application/x-ndjson")
    return JSONResponse(OLLAMA_CHAT[1] | OLLAMA_DONE)


async def generate(request: Request) -> Response:
    return JSONResponse({"model": (await request.json())["model"], "created_at": "2026-10-01T10:00:00Z", "response": "Hello"} | OLLAMA_DONE)


async def embed(request: Request) -> Response:
    asked = await request.json()
    vectors = [[0.5, 1.0] for _ in asked["input"]]
    return JSONResponse({"model": asked["model"], "embeddings": vectors, "total_duration": 9, "prompt_eval_count": 4})


async def gemini(request: Request) -> Response:
    """`streamGenerateContent` as events or, without `alt=sse`, as an array that grows."""
    model, _, verb = request.path_params["call"].rpartition(":")
    if model == "missing":
        error = {"code": 404, "message": "models/missing is not found", "status": "NOT_FOUND"}
        return JSONResponse({"error": error}, 404)
    if verb == "countTokens":
        return JSONResponse({"totalTokens": 9})
    if verb == "batchEmbedContents":
        return JSONResponse({"embeddings": [{"values": [0.5, 1.0]} for _ in (await request.json())["requests"]]})
    if verb == "generateContent":
        return JSONResponse(GEMINI[-1])
    if request.query_params.get("alt") == "sse":
        return _stream([t.sse([event], done=False, newline="\r\n") for event in GEMINI], "text/event-stream")
    return _stream([GEMINI_ARRAY[at : at + 300] for at in range(0, len(GEMINI_ARRAY), 300)], "application/json")


async def bedrock(request: Request) -> Response:
    headers = {"x-amzn-requestid": "b-1"}
    operation = request.path_params["operation"]
    if request.path_params["model"] == "missing":
        return JSONResponse({"message": "no such model"}, 400, headers | {"x-amzn-errortype": "ValidationException:http://internal/"})
    if operation == "converse":
        return JSONResponse(CONVERSED, headers=headers)
    if operation == "converse-stream":
        return _stream([t.message(kind, payload) for kind, payload in CONVERSE], EVENT_STREAM, headers)
    if operation == "invoke-with-response-stream":
        return _stream([t.chunks_of([event]) for event in INVOKED], EVENT_STREAM, headers)
    counts = {"x-amzn-bedrock-input-token-count": "5", "x-amzn-bedrock-output-token-count": "2"}
    return JSONResponse({"generation": "Hello", "stop_reason": "stop"}, headers=headers | counts)


async def cohere(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == "missing":
        return JSONResponse({"id": "x", "message": "model 'missing' not found"}, 404)
    kind = request.path_params["kind"]
    if kind == "embed":
        vectors = [[0.5, 1.0, 2.0] for _ in asked["texts"]]
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}}
        return JSONResponse({"id": "e-1", "texts": asked["texts"], "embeddings": {"float": vectors}, "meta": meta})
    if kind == "rerank":
        results = [{"index": at, "relevance_score": 0.5} for at, _ in enumerate(asked["documents"])]
        return JSONResponse({"id": "r-1", "results": results, "meta": {"billed_units": {"search_units": 1}}})
    if asked.get("stream"):
        return _stream([t.sse([event], done=False, named=True) for event in COHERE_CHAT], "text/event-stream")
    message = {"role": "assistant", "content": [{"type": "text", "text": "Héllo"}]}
    return JSONResponse({"id": "co-1", "finish_reason": "COMPLETE", "message": message, "usage": COHERE_USAGE})


async def batches(request: Request) -> Response:
    """A batch that is over when it is asked for again."""
    identity = request.path_params.get("id")
    if identity is None and request.method == "GET":
        return JSONResponse({"object": "list", "data": [BATCH], "first_id": "b", "last_id": "b", "has_more": False})
    return JSONResponse(BATCH | ({"id": identity} if identity else {"status": "validating", "usage": None}))


async def message_batches(request: Request) -> Response:
    identity = request.path_params.get("id", "msgbatch_new")
    if request.url.path.endswith("/results"):
        usage = {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 2}
        lines = [t.dumps(batch_result(number, usage, "succeeded" if number else "errored")) + b"\n" for number in range(4)]
        return _stream(lines, "application/x-jsonl")
    counts = {"processing": 0, "succeeded": 3, "errored": 1, "canceled": 0, "expired": 0}
    batch = {
        "id": identity, "type": "message_batch", "processing_status": "ended", "request_counts": counts, "ended_at": "2026-11-30T00:00:00Z",
        "created_at": "2026-11-29T00:00:00Z", "expires_at": "2026-11-30T00:00:00Z", "archived_at": None, "cancel_initiated_at": None,
        "results_url": f"{request.base_url}v1/messages/batches/{identity}/results",
    }  # fmt: skip
    return JSONResponse(batch)


def _stream(pieces: Iterable[bytes], kind: str, headers: dict[str, str] | None = None) -> Response:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return StreamingResponse(sent(), media_type=kind, headers=headers)


ROUTES: list[Any] = [
    Route("/v2/{kind}", cohere, methods=["POST"]),
    Route("/v1/batches", batches, methods=["POST", "GET"]),
    Route("/v1/batches/{id}", batches),
    Route("/v1/messages/batches", message_batches, methods=["POST"]),
    Route("/v1/messages/batches/{id}", message_batches),
    Route("/v1/messages/batches/{id}/results", message_batches),
    Route("/api/chat", chat, methods=["POST"]),
    Route("/api/generate", generate, methods=["POST"]),
    Route("/api/embed", embed, methods=["POST"]),
    Route("/v1beta/models/{call:path}", gemini, methods=["POST"]),
    Route("/model/{model:path}/{operation}", bedrock, methods=["POST"]),
]
