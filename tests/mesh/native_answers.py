"""Answers of Ollama, Gemini and Bedrock as they send them, event by event; what they say is the corpus of the decoder's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.decode import transcripts as t
from tests.decode.corpus import CONVERSE, CONVERSED, GEMINI, GEMINI_ARRAY, INVOKED, OLLAMA_CHAT, OLLAMA_DONE

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


def _stream(pieces: Iterable[bytes], kind: str, headers: dict[str, str] | None = None) -> Response:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return StreamingResponse(sent(), media_type=kind, headers=headers)


ROUTES: list[Any] = [
    Route("/api/chat", chat, methods=["POST"]),
    Route("/api/generate", generate, methods=["POST"]),
    Route("/api/embed", embed, methods=["POST"]),
    Route("/v1beta/models/{call:path}", gemini, methods=["POST"]),
    Route("/model/{model:path}/{operation}", bedrock, methods=["POST"]),
]
