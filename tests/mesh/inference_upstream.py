"""A server of every protocol that the meaning tests speak: `python -m tests.mesh.inference_upstream HTTP_PORT GRPC_PORT`.

OpenAI's API comes from the recordings' scripted server. Added are streams that a test can hold (model `gated`: a word, and the rest after
POST /release/ID, by x-request-id) or watch run (`running`), KServe V1 and V2 with JSON and binary tensors, V2 over gRPC, and what Ollama,
Gemini, Bedrock, Cohere and batch APIs answer.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.decode.recordings import scripted
from tests.mesh import long_answers, native_answers

PROTOCOL, STUBS = grpc.protos_and_services("tests/mesh/open_inference.proto")
WORDS = ["one", " two", " three", " four", " five"]
PROMPT = 7
HEADER_LENGTH = "Inference-Header-Content-Length"

_released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def chat(request: Request) -> Response:
    asked = await request.json()
    if long_answers.tokens_of(asked["model"]):
        return long_answers.stream(long_answers.chat(asked))
    if asked["model"] == "sees":
        return long_answers.seen(asked)
    if asked["model"] not in ("gated", "running"):
        return await scripted.chat(request)
    pieces = gated(request.headers["x-request-id"]) if asked["model"] == "gated" else running(asked)
    return StreamingResponse(pieces, media_type="text/event-stream")


async def responses(request: Request) -> Response:
    asked = await request.json()
    return (
        long_answers.stream(long_answers.responses(asked), False)
        if long_answers.tokens_of(asked["model"])
        else await scripted.responses(request)
    )


async def messages(request: Request) -> Response:
    asked = await request.json()
    return long_answers.stream(long_answers.messages(asked), False) if asked.get("stream") else long_answers.message(asked)


async def embeddings(request: Request) -> Response:
    asked = await request.json()
    return long_answers.embeddings(asked) if asked["model"] == "many" else await scripted.embeddings(request)


async def gated(request_id: str) -> AsyncIterator[bytes]:
    yield event(scripted.delta({"role": "assistant", "content": WORDS[0]}))
    await _released[request_id].wait()
    for word in WORDS[1:]:
        yield event(scripted.delta({"content": word}))
    yield event(scripted.delta({}, finish="stop"))
    yield event(scripted.chunk([], usage=tokens(len(WORDS))))
    yield b"data: [DONE]\n\n"


async def running(asked: dict[str, Any]) -> AsyncIterator[bytes]:
    """For ever, as vLLM: with `continuous_usage_stats` each event tells the totals so far."""
    options = asked.get("stream_options") or {}
    number = 0
    while True:
        number += 1
        piece = scripted.delta({"content": f"w{number} "})
        yield event(piece | {"usage": tokens(number)} if options.get("continuous_usage_stats") else piece)
        await asyncio.sleep(0.01)


def event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def tokens(completion: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT, "completion_tokens": completion, "total_tokens": PROMPT + completion}


async def release(request: Request) -> Response:
    _released[request.path_params["request_id"]].set()
    return Response(status_code=204)


async def status(request: Request) -> Response:
    return Response(status_code=int(request.query_params.get("code", "200")))


async def predict(request: Request) -> Response:
    asked = await request.json()
    if "instances" not in asked:
        return JSONResponse({"error": 'Expected key "instances" in request body'}, 400)
    return JSONResponse({"predictions": [sum(row) for row in asked["instances"]]})


async def infer(request: Request) -> Response:
    """V2: the sum of each row of the first tensor, in the form (JSON or binary) that the request wants."""
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    length = int(request.headers.get(HEADER_LENGTH, len(body)))
    asked = json.loads(body[:length])
    if not asked.get("inputs"):
        return JSONResponse({"error": "no inputs"}, 400)
    tensor = asked["inputs"][0]
    rows, columns = tensor["shape"]
    data = tensor["data"] if "data" in tensor else struct.unpack(f"<{rows * columns}f", body[length:])
    sums = [float(sum(data[start : start + columns])) for start in range(0, rows * columns, columns)]
    output: dict[str, Any] = {"name": "sum", "datatype": "FP32", "shape": [rows]}
    answer = {"model_name": request.path_params["model"], "model_version": "3", "id": asked.get("id"), "outputs": [output]}
    if asked.get("parameters", {}).get("binary_data_output"):
        output["parameters"] = {"binary_data_size": 4 * rows}
        head = json.dumps(answer).encode()
        body = head + struct.pack(f"<{rows}f", *sums)
        return Response(body, media_type="application/octet-stream", headers={HEADER_LENGTH: str(len(head))})
    output["data"] = sums
    return JSONResponse(answer)


class Inference(STUBS.GRPCInferenceServiceServicer):
    """Sums of rows, of raw tensors or of contents."""

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if request.model_name == "missing":
            context.abort(grpc.StatusCode.NOT_FOUND, "Model with name missing does not exist — “nowhere”.")
        return answer(request)

    def ModelStreamInfer(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        for request in requests:
            yield PROTOCOL.ModelStreamInferResponse(infer_response=answer(request))


def answer(request: Any) -> Any:
    rows, columns = request.inputs[0].shape
    raw = request.raw_input_contents
    data = struct.unpack(f"<{rows * columns}f", raw[0]) if raw else request.inputs[0].contents.fp32_contents
    sums = [sum(data[start : start + columns]) for start in range(0, rows * columns, columns)]
    told = PROTOCOL.ModelInferResponse(model_name=request.model_name, model_version="3", id=request.id)
    told.outputs.add(name="sum", datatype="FP32", shape=[rows])
    told.raw_output_contents.append(struct.pack(f"<{rows}f", *sums))
    return told


def application() -> Starlette:
    app = scripted.application()
    added = {
        "/v1/chat/completions": chat,
        "/v1/responses": responses,
        "/v1/messages": messages,
        "/v1/embeddings": embeddings,
        "/generate": long_answers.generate,
        "/release/{request_id}": release,
        "/status": status,
        "/v1/models/{model}": predict,
        "/v2/models/{model}/infer": infer,
    }
    app.router.routes[:0] = [Route(path, handler, methods=["GET", "POST"]) for path, handler in added.items()]
    app.router.routes[:0] = native_answers.ROUTES
    return app


def main(http_port: int, grpc_port: int) -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    STUBS.add_GRPCInferenceServiceServicer_to_server(Inference(), server)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    uvicorn.run(application(), host="127.0.0.1", port=http_port, log_level="warning", ws="none")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
