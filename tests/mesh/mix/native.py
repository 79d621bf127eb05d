"""Kinds of calls of servers with forms of their own: KServe, TGI, Ollama, Gemini, Bedrock; and of tools and agents, which are free."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.decode import transcripts as t
from tests.mesh.mix.planned import Answer, Call, Kind, Step, due, dumps, events, post, stream
from tests.mesh.mix.spoken import Tokens

GEMINI = "/v1beta/models/gemini-2.5-flash"
INFER = "/inference.GRPCInferenceService/ModelInfer"
AWS = "application/vnd.amazon.eventstream"


def predict(chance: Random, number: int) -> Call:
    rows = chance.randint(1, 20)
    return Call([post("/v1/models/iris:predict", {"instances": [[1, 2]] * rows}, {"predictions": [0] * rows}, due(rows=rows))])


def infer(chance: Random, number: int) -> Call:
    rows = chance.randint(1, 20)
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows, 2], "data": [0.5] * 2 * rows}
    out = {"name": "y", "datatype": "INT64", "shape": [rows], "data": [0] * rows}
    return Call([post("/v2/models/iris/infer", {"inputs": [tensor]}, {"model_name": "iris", "outputs": [out]}, due(rows=rows))])


def grpc_infer(chance: Random, number: int) -> Call:
    """Refused now and then."""
    rows = chance.randint(1, 20)
    asked = t.infer_request([t.proto_tensor("x", "FP32", [rows, 2])], [bytes(8 * rows)])
    if chance.random() < 0.25:
        return Call([Step(INFER, asked, Answer(status=400))], "grpc")
    told = t.infer_response([t.proto_tensor("y", "INT64", [rows])], [bytes(8 * rows)])
    return Call([Step(INFER, asked, Answer([told], due=due(rows=rows)))], "grpc")


def tgi(chance: Random, number: int) -> Call:
    prompt, made = chance.randint(1, 90), chance.randint(1, 90)
    asked = {"inputs": "hi", "parameters": {"details": True, "decoder_input_details": True}}
    details = {"finish_reason": "length", "generated_tokens": made, "input_length": prompt}
    owed = due(input_uncached=prompt, output=made)
    if chance.random() < 0.5:
        prefill = [{"id": n, "text": "x", "logprob": None} for n in range(prompt)]
        return Call([post("/generate", asked, {"generated_text": "so", "details": details | {"prefill": prefill}}, owed)])
    told = [
        {"index": 1, "token": {"id": 1, "text": "so", "special": False}, "generated_text": None, "details": None},
        {"index": 2, "token": {"id": 2, "text": "", "special": True}, "generated_text": "so", "details": details},
    ]
    return Call([stream("/generate_stream", asked, events(*told, done=False), owed)])


def ollama(chance: Random, number: int) -> Call:
    prompt, made = chance.randint(1, 900), chance.randint(1, 900)
    end = {"done": True, "done_reason": "stop", "total_duration": 9, "prompt_eval_count": prompt, "eval_count": made}
    head, owed = {"model": "qwen", "created_at": "2026-10-01T10:00:00Z"}, due(input_uncached=prompt, output=made)
    if chance.random() < 0.5:
        return Call([post("/api/generate", {"model": "qwen", "prompt": "x", "stream": False}, head | {"response": "so"} | end, owed)])
    told = [head | {"message": {"role": "assistant", "content": "so"}, "done": False}, head | {"message": {"content": ""}} | end]
    asked = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}]}
    return Call([stream("/api/chat", asked, [dumps(one) + b"\n" for one in told], owed, "application/x-ndjson")])


def gemini(chance: Random, number: int) -> Call:
    tokens = Tokens(chance)
    prompt = tokens.uncached + tokens.cached
    usage = {
        "promptTokenCount": prompt, "candidatesTokenCount": tokens.output, "thoughtsTokenCount": tokens.reasoning,
        "cachedContentTokenCount": tokens.cached, "totalTokenCount": prompt + tokens.output + tokens.reasoning,
    }  # fmt: skip
    asked: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    first = {"candidates": [{"content": {"role": "model", "parts": [{"text": "so"}]}}], "usageMetadata": {"promptTokenCount": prompt}}
    last = {"candidates": [{"content": {"parts": [{"text": "."}]}, "finishReason": "STOP"}], "usageMetadata": usage}
    if chance.random() < 0.4:
        return Call([post(f"{GEMINI}:generateContent", asked, last, tokens.due)])
    if chance.random() < 0.5:
        return Call([stream(f"{GEMINI}:streamGenerateContent?alt=sse", asked, events(first, last, done=False), tokens.due)])
    pieces = [b"[" + dumps(first), b"\n,\r\n" + dumps(last), b"\n]\n"]
    return Call([stream(f"{GEMINI}:streamGenerateContent", asked, pieces, tokens.due, "application/json")])


def bedrock(chance: Random, number: int) -> Call:
    tokens = Tokens(chance)
    total = tokens.uncached + tokens.cached + tokens.output
    usage = {"inputTokens": tokens.uncached, "outputTokens": tokens.output, "cacheReadInputTokens": tokens.cached, "totalTokens": total}
    owed = due(input_uncached=tokens.uncached, input_cached=tokens.cached, output=tokens.output)
    asked = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    if chance.random() < 0.5:
        message = {"role": "assistant", "content": [{"text": "so"}]}
        told = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}
        return Call([post("/model/us.nova/converse", asked, told, owed)])
    pieces = [
        t.message("messageStart", {"role": "assistant"}),
        t.message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "so"}}),
        t.message("messageStop", {"stopReason": "end_turn"}),
        t.message("metadata", {"metrics": {"latencyMs": 5}, "usage": usage}),
    ]
    return Call([stream("/model/us.nova/converse-stream", asked, pieces, owed, AWS)])


def cohere(chance: Random, number: int) -> Call:
    billed, seen, made = (chance.randint(1, 900) for _ in range(3))
    usage = {
        "billed_units": {"input_tokens": billed, "output_tokens": made},
        "tokens": {"input_tokens": billed + seen, "output_tokens": made},
    }
    asked, owed = {"model": "command", "messages": [{"role": "user", "content": "hi"}]}, due(input_uncached=billed, output=made)
    id_ = f"co-{number:024}"
    if chance.random() < 0.3:
        told = {"id": id_, "embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": billed}}}
        return Call([post("/v2/embed", {"model": "e", "texts": ["a"]}, told, due(input_uncached=billed, rows=1))])
    message = {"role": "assistant", "content": [{"type": "text", "text": "so"}]}
    if chance.random() < 0.5:
        return Call([post("/v2/chat", asked, {"id": id_, "finish_reason": "COMPLETE", "message": message, "usage": usage}, owed)])
    told_by = [
        {"type": "message-start", "id": id_, "delta": {"message": {"role": "assistant"}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "so"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ]
    return Call([stream("/v2/chat", asked | {"stream": True}, events(*told_by, done=False, named=True), owed)])


def tei(chance: Random, number: int) -> Call:
    rows, tokens = chance.randint(1, 9), chance.randint(1, 900)
    headers = [("x-compute-tokens", str(tokens))]
    answer = Answer([dumps([[0.5, 1.0]] * rows)], due=due(input_uncached=tokens, rows=rows), headers=headers)
    return Call([Step("/embed", dumps({"inputs": ["x"] * rows}), answer)])


def llama_cpp(chance: Random, number: int) -> Call:
    uncached, cached, made = chance.randint(1, 900), chance.randint(0, 900), chance.randint(1, 90)
    totals = {"tokens_evaluated": uncached + cached, "tokens_predicted": made}
    end = totals | {
        "content": "",
        "stop": True,
        "stop_type": "eos",
        "timings": {"cache_n": cached, "prompt_n": uncached, "predicted_n": made},
    }
    owed = due(input_uncached=uncached, input_cached=cached, output=made)
    if chance.random() < 0.5:
        return Call([post(chance.choice(("/completion", "/completions")), {"prompt": "x"}, end | {"content": "so"}, owed)])
    told = [totals | {"content": "so", "stop": False, "tokens_predicted": 1}, end]
    return Call([stream("/completion", {"prompt": "x", "stream": True}, events(*told, done=False), owed)])


def mcp(chance: Random, number: int) -> Call:
    asked = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "weather", "arguments": {"city": "Oslo"}}}
    told = {"jsonrpc": "2.0", "id": number, "result": {"content": [{"type": "text", "text": "rain"}], "usage": {"total_tokens": 5}}}
    return Call([post(chance.choice(("/mcp", "/messages/?session_id=1")), asked, told, due())])


def a2a(chance: Random, number: int) -> Call:
    asked = {"jsonrpc": "2.0", "id": number, "method": "message/send", "params": {"message": {"role": "user", "parts": []}}}
    told = {"jsonrpc": "2.0", "id": number, "result": {"kind": "task", "id": "t-1", "usage": {"total_tokens": 5}}}
    return Call([post("/agents/a", asked, told, due())])


KINDS: dict[str, tuple[Kind, int]] = {
    "V1": (predict, 4), "V2": (infer, 4), "gRPC": (grpc_infer, 4), "TGI": (tgi, 3),
    "Ollama": (ollama, 3), "Gemini": (gemini, 4), "Bedrock": (bedrock, 4), "MCP": (mcp, 3), "A2A": (a2a, 1),
    "Cohere": (cohere, 3), "TEI": (tei, 2), "llama.cpp": (llama_cpp, 3),
}  # fmt: skip
