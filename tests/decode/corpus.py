"""One exchange of every kind, by name: what the property and fuzz tests start from."""

import json
import zlib
from typing import Any

import brotli
import zstandard

from collector.decode import Captured
from tests.decode import transcripts as t

_TOOLS = [
    t.delta({"role": "assistant", "content": None}),
    t.delta(t.tool(0, "", "call_1", "weather")),
    t.delta(t.tool(0, '{"city":')),
    t.delta(t.tool(0, '"Oslo"}')),
    t.delta(t.tool(1, "{}", "call_2", "time"), finish="tool_calls"),
    t.final(t.tokens(20, 12)),
]
_CHAT = [
    t.delta({"role": "assistant", "content": ""}),
    t.delta({"reasoning_content": "hm "}),
    *t.words("Hél", "lo", ' "wörld"', "\n", " 😀"),
    t.delta({}, finish="stop"),
    t.final(t.tokens(5, 6, completion_tokens_details={"reasoning_tokens": 1})),
]
_MESSAGES = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "usage": {"input_tokens": 9, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "tu_1", "name": "f", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a": '}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt",
    "status": "completed",
    "error": None,
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0}},
}
_RESPONSES = [
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "status": "in_progress", "output": []}},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"},
    {"type": "response.completed", "response": _RESPONSE},
]
_TGI = [
    {"index": 1, "token": {"id": 1, "text": "Hel", "logprob": -0.1, "special": False}, "generated_text": None, "details": None},
    {
        "index": 2,
        "token": {"id": 2, "text": "lo", "logprob": -0.1, "special": False},
        "generated_text": "Hello",
        "details": {"finish_reason": "length", "generated_tokens": 2, "input_length": 4},
    },
]
OLLAMA_ASKED = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}]}
OLLAMA_DONE = {
    "done": True, "done_reason": "stop", "total_duration": 904_417_000, "load_duration": 51_000_000, "prompt_eval_count": 31,
    "prompt_eval_cached_count": 30, "prompt_eval_duration": 8_000_000, "eval_count": 11, "eval_duration": 83_000_000,
}  # fmt: skip


def ollama_lines(*messages: dict[str, Any], **done: Any) -> list[dict[str, Any]]:
    """The lines of a chat, the last of which tells that it is done."""
    head = {"model": "qwen3:8b", "created_at": "2026-10-01T10:00:00.123456789Z"}
    told = [head | {"message": {"role": "assistant"} | message, "done": False} for message in messages]
    return [*told, head | {"message": {"role": "assistant", "content": ""}} | (done or OLLAMA_DONE)]


OLLAMA_CHAT = ollama_lines(
    {"content": "", "thinking": "hm "},
    {"content": "Hél"},
    {"content": "lo"},
    {"content": "", "tool_calls": [{"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}}]},
)
OLLAMA_GENERATED = {"model": "m", "created_at": "2026-10-01T10:00:00Z", "response": "Hello", "context": [1, 2, 3]} | OLLAMA_DONE
GEMINI_PATH = "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash"
GEMINI_ASKED = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def gemini(*parts: dict[str, Any], finish: str | None = None, **usage: Any) -> dict[str, Any]:
    """One event. Index 0 is left out, as proto3 does."""
    candidate = {"content": {"role": "model", "parts": list(parts)}} | ({"finishReason": finish} if finish else {})
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash-001", "responseId": "r-1"}


GEMINI = [
    gemini({"text": "hm ", "thought": True}, promptTokenCount=9, cachedContentTokenCount=4, totalTokenCount=29, thoughtsTokenCount=20),
    gemini({"text": "Hél"}, promptTokenCount=9, candidatesTokenCount=1, thoughtsTokenCount=20, totalTokenCount=30),
    gemini({"functionCall": {"id": "f1", "name": "weather", "args": {"city": "Oslo"}}}, promptTokenCount=9, totalTokenCount=35),
    gemini(
        {"text": "lo"},
        finish="STOP",
        promptTokenCount=9,
        candidatesTokenCount=8,
        thoughtsTokenCount=21,
        toolUsePromptTokenCount=3,
        totalTokenCount=41,
        promptTokensDetails=[{"modality": "TEXT", "tokenCount": 6}, {"modality": "AUDIO", "tokenCount": 3}],
        trafficType="ON_DEMAND",
    ),
]
# As Google writes it.
GEMINI_ARRAY = b"[" + b"\n,\r\n".join(json.dumps(event, indent=2, ensure_ascii=False).encode() for event in GEMINI) + b"\n]\n"
CONVERSE_PATH = "/model/us.amazon.nova-pro-v1%3A0/converse"
CONVERSE_ASKED = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 9}}
CONVERSE_USAGE = {
    "inputTokens": 18, "outputTokens": 30, "totalTokens": 7558, "cacheReadInputTokens": 8, "cacheReadInputTokenCount": 8,
    "cacheWriteInputTokens": 7502, "cacheWriteInputTokenCount": 7502, "cacheDetails": [{"ttl": "5m", "inputTokens": 7502}],
    "serverToolUsage": {},
}  # fmt: skip
CONVERSED = {
    "metrics": {"latencyMs": 500},
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm ", "signature": "x"}}},
                {"text": "Héllo"},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}},
            ],
        }
    },
    "serviceTier": {"type": "flex"},
    "stopReason": "tool_use",
    "usage": CONVERSE_USAGE,
}
CONVERSE: list[tuple[str, Any]] = [
    ("messageStart", {"p": "abc", "role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm "}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Hél"}, "p": "abcdefgh"}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "lo"}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"city": '}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '"Oslo"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"metrics": {"latencyMs": 500}, "serviceTier": {"type": "flex"}, "usage": CONVERSE_USAGE}),
]
INVOKE_ASKED = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
_METRICS = {"inputTokenCount": 9, "outputTokenCount": 15, "invocationLatency": 300, "firstByteLatency": 200}
INVOKED: list[dict[str, Any]] = [*_MESSAGES[:-1], {"type": "message_stop", "amazon-bedrock-invocationMetrics": _METRICS}]
_INFER = {"id": "r-1", "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
_INFERRED = {
    "model_name": "iris",
    "model_version": "1",
    "id": "r-1",
    "outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "data": [0, 1]}],
}
_BINARY = t.dumps({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}}]})
_GRPC = [("content-type", "application/grpc")]
_INFER_PATH = "/inference.GRPCInferenceService/"
_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\x00\xff\r\n--b--\r\n'
)
_ANSWER = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "llama",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": t.tokens(3, 1),
}

BATCH = {
    "id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "errors": None, "input_file_id": "file-1",
    "status": "completed", "created_at": 1_790_000_000, "model": "gpt-5", "request_counts": {"total": 2, "completed": 2, "failed": 0},
    "usage": {
        "input_tokens": 30, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 42,
    },
}  # fmt: skip


def batch_result(number: int, usage: Any, kind: str = "succeeded") -> dict[str, Any]:
    """A line of Anthropic's results."""
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    return {"custom_id": f"c-{number}", "result": {"type": kind, "message": message} if kind == "succeeded" else {"type": kind}}


VIDEO = {"id": "video_1", "object": "video", "model": "sora-2", "status": "completed", "seconds": "8", "size": "720x1280", "progress": 100}
RESULTS_PATH = "/v1/messages/batches/msgbatch_1/results"
_RESULTS = [
    batch_result(1, {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 3, "service_tier": "batch"}),
    batch_result(2, None, "expired"),
    batch_result(3, {"input_tokens": 5, "output_tokens": 6, "service_tier": "batch"}),
]

COHERE_USAGE = {"billed_units": {"input_tokens": 5, "output_tokens": 4}, "tokens": {"input_tokens": 71, "output_tokens": 4}}
COHERE_ASKED = {"model": "command-a", "messages": [{"role": "user", "content": "hi"}]}
COHERE_CHAT: list[dict[str, Any]] = [
    {"type": "message-start", "id": "co-1", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "thinking", "thinking": "hm "}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "Hél"}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "lo"}}}},
    {"type": "content-end", "index": 1},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "ask"}}},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {"message": {"tool_calls": {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}}},
    },
    {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": '{"city":"Oslo"}'}}}}},
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "id": "co-1", "delta": {"finish_reason": "TOOL_CALL", "usage": COHERE_USAGE}},
]
COHERE_OLDER: list[dict[str, Any]] = [
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
    {"is_finished": False, "event_type": "text-generation", "text": "Hél"},
    {"is_finished": False, "event_type": "text-generation", "text": "lo"},
    {
        "is_finished": True,
        "event_type": "stream-end",
        "finish_reason": "COMPLETE",
        "response": {"text": "Héllo", "generation_id": "g-1", "meta": {"api_version": {"version": "1"}} | COHERE_USAGE},
    },
]
LLAMA_TIMINGS = {"cache_n": 4, "prompt_n": 2, "prompt_ms": 315.25, "predicted_n": 3, "predicted_ms": 87.5}


def llama(content: str, predicted: int, **more: Any) -> dict[str, Any]:
    """An event of llama.cpp's."""
    return {
        "index": 0,
        "content": content,
        "tokens": [],
        "stop": False,
        "id_slot": 0,
        "tokens_predicted": predicted,
        "tokens_evaluated": 6,
    } | more


LLAMA = [
    llama("Hél", 1),
    llama("lo", 2),
    llama("", 3, stop=True, model="qwen", stop_type="eos", tokens_cached=8, truncated=False, timings=LLAMA_TIMINGS),
]

_PLAIN: dict[str, Captured] = {
    "cohere stream": t.streamed(COHERE_CHAT, "/v2/chat", COHERE_ASKED | {"stream": True}, done=False, named=True),
    "cohere stream of 2023": t.exchange("/v1/chat", {"model": "c", "message": "hi"}, t.lines(COHERE_OLDER), response_headers=t.LINES),
    "cohere embed": t.exchange(
        "/v2/embed",
        {"model": "e", "texts": ["a", "b"], "input_type": "search_query"},
        {"id": "e-1", "embeddings": {"float": [[0.5, 1, 2], [1, 0, 2]]}, "meta": {"billed_units": {"input_tokens": 4}}},
    ),
    "tei embed": t.exchange(
        "/embed", {"inputs": ["a", "b"]}, [[0.5, 1, 2], [1, 0, 2]], response_headers=[*t.JSON, ("x-compute-tokens", "9")]
    ),
    "llama.cpp stream": t.streamed(LLAMA, "/completion", {"prompt": "hi", "stream": True}, done=False),
    "llama.cpp batch": t.exchange("/completion", {"prompt": ["a", "b"]}, [LLAMA[-1] | {"content": "Hi"}, LLAMA[-1] | {"index": 1}]),
    "video": t.get("/v1/videos/video_1", VIDEO),
    "batch": t.get("/v1/batches/batch_1", BATCH),
    "batch results": t.get(RESULTS_PATH, t.lines(_RESULTS), response_headers=[("content-type", "application/x-jsonl")]),
    "chat": t.exchange(t.CHAT, {"model": "llama", "messages": []}, _ANSWER),
    "chat stream": t.streamed(_CHAT),
    "chat stream with tools": t.streamed(_TOOLS),
    "chat stream with CRLF": t.exchange(t.CHAT, t.ASKED, t.sse(_CHAT, newline="\r\n"), response_headers=t.SSE),
    "completions stream": t.streamed(
        [{"model": "llama", "choices": [{"index": i % 2, "text": "ab"}]} for i in range(9)], "/v1/completions"
    ),
    "embeddings": t.exchange(
        "/v1/embeddings", {"model": "e", "input": ["a", "b"]}, {"data": [{"embedding": [1.5, 2]}], "usage": t.tokens(2, 0)}
    ),
    "rerank": t.exchange("/rerank", {"model": "r", "documents": ["a"]}, {"results": [{"index": 0}], "usage": {"total_tokens": 4}}),
    "responses": t.exchange("/v1/responses", {"model": "gpt", "input": "hi"}, _RESPONSE),
    "responses stream": t.streamed(_RESPONSES, "/v1/responses", done=False, named=True),
    "messages stream": t.streamed(_MESSAGES, "/v1/messages", done=False, named=True),
    "tgi stream": t.streamed(_TGI, "/generate_stream", {"inputs": "hi"}, done=False),
    "ollama chat": t.exchange("/api/chat", OLLAMA_ASKED, t.lines(OLLAMA_CHAT), response_headers=t.LINES),
    "ollama generate": t.exchange("/api/generate", {"model": "m", "prompt": "x", "stream": False}, OLLAMA_GENERATED),
    "ollama embed": t.exchange(
        "/api/embed", {"model": "m", "input": ["a", "b"]}, {"model": "m", "embeddings": [[0.5, 1], [1, 0]], "prompt_eval_count": 4}
    ),
    "gemini": t.exchange(GEMINI_PATH + ":generateContent", GEMINI_ASKED, GEMINI[-1]),
    "gemini stream": t.streamed(GEMINI, GEMINI_PATH + ":streamGenerateContent?alt=sse", GEMINI_ASKED, done=False),
    "gemini array": t.exchange(GEMINI_PATH + ":streamGenerateContent", GEMINI_ASKED, GEMINI_ARRAY),
    "gemini embeddings": t.exchange(
        "/v1beta/models/e:batchEmbedContents",
        {"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]},
        {"embeddings": [{"values": [0.5, 1, 0]}, {"values": [1, 0, 0]}], "usageMetadata": {"promptTokenCount": 4}},
    ),
    "converse": t.exchange(CONVERSE_PATH, CONVERSE_ASKED, CONVERSED),
    "converse stream": t.exchange(CONVERSE_PATH + "-stream", CONVERSE_ASKED, t.messages(*CONVERSE), response_headers=t.AWS),
    "invoke stream": t.exchange(
        "/model/anthropic.claude/invoke-with-response-stream", INVOKE_ASKED, t.chunks_of(INVOKED), response_headers=t.AWS
    ),
    "v1": t.exchange("/v1/models/iris:predict", {"instances": [[1, 2], [3, 4]]}, {"predictions": [0, 1]}),
    "v2": t.exchange("/v2/models/iris/infer", _INFER, _INFERRED),
    "v2 binary": t.exchange(
        "/v2/models/iris/infer", _BINARY + bytes(16), _INFERRED, request_headers=[("inference-header-content-length", str(len(_BINARY)))]
    ),
    "v2 grpc": t.exchange(
        _INFER_PATH + "ModelInfer",
        t.grpc(t.infer_request([t.proto_tensor("x", "FP32", [2, 2])], [bytes(16)])),
        t.grpc(t.infer_response([t.proto_tensor("y", "INT64", [2])], [bytes(16)]), flag=1),
        request_headers=_GRPC,
        response_headers=[*_GRPC, ("grpc-encoding", "gzip")],
        response_trailers=[("grpc-status", "0")],
    ),
    "v2 grpc stream": t.exchange(
        _INFER_PATH + "ModelStreamInfer",
        t.grpc(t.infer_request([t.proto_tensor("x", "FP32", [1, 2])])),
        t.grpc(*(t.member(2, t.infer_response([t.proto_tensor("y", "INT64", [1])])) for _ in range(4))),
        request_headers=_GRPC,
        response_headers=_GRPC,
        response_trailers=[("grpc-status", "0")],
    ),
    "transcription": t.exchange(
        "/v1/audio/transcriptions", _FORM, {"text": "hello"}, request_headers=[("content-type", "multipart/form-data; boundary=b")]
    ),
    "error": t.exchange(t.CHAT, {"model": "x"}, {"error": {"message": "no such model", "type": "NotFoundError", "code": 404}}, status=404),
    "error in a stream": t.streamed([{"error": {"message": "overloaded", "code": 503}}]),
    "unknown": t.exchange("/somewhere", b"abc", b"def", response_headers=[]),
}


def _zlib_sync(data: bytes) -> bytes:
    """As Envoy's compressor does: flushed after every event."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(event + b"\n\n") + packer.flush(zlib.Z_SYNC_FLUSH) for event in data.split(b"\n\n")[:-1]]
    return b"".join(pieces) + packer.flush()


CORPUS = _PLAIN | {
    "chat stream, gzip": t.encoded(_PLAIN["chat stream"], "gzip", t.gzipped),
    "chat stream, flushed gzip": t.encoded(_PLAIN["chat stream"], "gzip", _zlib_sync),
    "chat stream, br": t.encoded(_PLAIN["chat stream"], "br", brotli.compress),
    "chat stream, zstd": t.encoded(_PLAIN["chat stream"], "zstd", zstandard.compress),
    "chat stream, deflate": t.encoded(_PLAIN["chat stream"], "deflate", zlib.compress),
    "chat, stacked": t.encoded(_PLAIN["chat"], "br, gzip", lambda data: t.gzipped(brotli.compress(data))),
}
