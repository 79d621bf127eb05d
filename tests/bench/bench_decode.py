"""Microseconds that decoding one exchange costs, for the kinds that matter. `python tests/bench/bench_decode.py` prints them."""

import gzip
import sys
import time
from pathlib import Path

from msgspec import structs

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import orjson

from collector.decode import Captured, decode

ROUNDS = 7


def _json_exchange() -> Captured:
    """1 KiB of JSON each way, with the headers that a mesh adds."""
    asked = orjson.dumps({"model": "llama", "messages": [{"role": "user", "content": "x" * 950}]})
    choice = {"index": 0, "message": {"role": "assistant", "content": "y" * 780}, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 212, "completion_tokens": 180, "total_tokens": 392, "prompt_tokens_details": {"cached_tokens": 64}}
    answer = orjson.dumps({"id": "chatcmpl-1", "object": "chat.completion", "model": "llama", "choices": [choice], "usage": usage})
    headers = [("content-type", "application/json"), *((f"x-header-{number}", "value") for number in range(15))]
    return Captured("POST", "/v1/chat/completions", 200, headers, asked, True, headers, [], answer, True, [(0, len(answer), 0.2)], 0.2)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "llama", "choices": [choice]}
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _stream() -> Captured:
    """500 tokens, one event each in a chunk of its own; one in twenty needs escapes."""
    words = [_event({"content": " token" if number % 20 else '\n"quoted"'}) for number in range(500)]
    final = (
        b'data: {"id":"chatcmpl-1","model":"llama","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":500,"total_tokens":509}}\n\n'
    )
    events = [_event({"role": "assistant", "content": ""}), *words, _event({}, "stop"), final, b"data: [DONE]\n\n"]
    chunks = []
    at = 0
    for number, event in enumerate(events):
        chunks.append((at, len(event), 0.1 + number * 0.01))
        at += len(event)
    return structs.replace(
        _json_exchange(),
        request_body=b'{"model":"llama","stream":true,"messages":[{"role":"user","content":"hi"}]}',
        response_headers=[("content-type", "text/event-stream")],
        response_body=b"".join(events),
        chunks=chunks,
    )


def _tensor() -> Captured:
    """1 MiB of FP32 in the binary tensor extension."""
    tensor = {"name": "x", "shape": [512, 512], "datatype": "FP32", "parameters": {"binary_data_size": 1 << 20}}
    header = orjson.dumps({"id": "1", "inputs": [tensor]})
    answer = orjson.dumps({"model_name": "m", "outputs": [{"name": "y", "shape": [512], "datatype": "INT64", "data": [1] * 512}]})
    return Captured(
        "POST",
        "/v2/models/m/infer",
        200,
        [("inference-header-content-length", str(len(header)))],
        header + bytes(1 << 20),
        True,
        [("content-type", "application/json")],
        [],
        answer,
        True,
        [(0, len(answer), 0.2)],
    )


def _gzipped(captured: Captured) -> Captured:
    body = gzip.compress(captured.response_body)
    headers = [*captured.response_headers, ("content-encoding", "gzip")]
    chunks = [(at, min(16_384, len(body) - at), 0.2) for at in range(0, len(body), 16_384)]
    return structs.replace(captured, response_headers=headers, response_body=body, chunks=chunks)


def _cost(captured: Captured, count: int) -> float:
    """CPU time, the best of several rounds: the cost without the machine's other work."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(count):
            decode(captured)
        best = min(best, time.process_time() - start)
    return best / count * 1e6


def run() -> dict[str, float]:
    """µs per exchange, by kind."""
    return {
        "decode 1 KiB JSON": _cost(_json_exchange(), 2000),
        "decode 500-token SSE": _cost(_stream(), 100),
        "decode 1 MiB V2 binary tensor": _cost(_tensor(), 1000),
        "decode gzip JSON": _cost(_gzipped(_json_exchange()), 1000),
        "decode 500-token SSE, gzip": _cost(_gzipped(_stream()), 50),
    }


if __name__ == "__main__":
    for kind, microseconds in run().items():
        print(f"{kind:32} {microseconds:10.1f} µs")
