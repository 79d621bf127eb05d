"""What the fuzz of each protocol's reader starts from: calls of usual sizes, whose answers can be put together anew of changed messages."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collector.decode import Captured
from tests.decode import corpus, mcp_calls, socket_calls
from tests.decode import transcripts as t
from tests.decode.test_a2a import CALLS as A2A_CALLS
from tests.decode.test_bedrock import INVOKE, OWN_ANSWERS, OWN_STREAMS
from tests.decode.test_native import TEI
from tests.decode.test_openai_others import FORM, FORM_HEADERS, TRANSCRIBE
from tests.decode.test_tei_grpc import TEXT, called, embedded, metadata

Framing = Callable[[Sequence[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Seed:
    """A call; `framed(messages)` is its answer. Messages that were changed are framed as if a server had sent them."""

    captured: Captured
    messages: tuple[bytes, ...]
    framed: Framing


def seed(captured: Captured) -> Seed:
    """The answer as the messages that its framing holds."""
    body = captured.response_body
    kinds = " ".join(value for name, value in captured.response_headers if name == "content-type")
    if "grpc" in kinds:
        return Seed(captured, tuple(_grpc_messages(body)), lambda messages: t.grpc(*messages))
    if "eventstream" in kinds:
        heads, payloads = zip(*_aws_messages(body), strict=True)
        return Seed(captured, payloads, lambda messages: _aws_framed(heads, messages))
    separator = b"\n\n" if "event-stream" in kinds else b"\n" if body.count(b"\n") > 1 and b"\n\n" not in body else b""
    parts = tuple(part + separator for part in body.split(separator) if part) if separator else (body,)
    return Seed(captured, parts, b"".join)


def chunks(path: str, asked: Any, events: Sequence[Any]) -> Seed:
    """A model's own events in those of Bedrock."""
    return Seed(
        t.exchange(path, asked, t.chunks_of(events), response_headers=t.AWS),
        tuple(map(t.dumps, events)),
        lambda messages: t.messages(*(("chunk", {"bytes": base64.b64encode(each).decode()}) for each in messages)),
    )


def socket(path: str, asked: Sequence[Any], events: Sequence[Any], pieces: int = 1, packed: bool = False) -> Seed:
    """A WebSocket of which the server's messages are changed."""

    def framed(messages: Sequence[bytes]) -> bytes:
        return socket_calls.frames(messages, packed=socket_calls.deflate() if packed else None, pieces=pieces)

    messages = tuple(map(t.dumps, events))
    return Seed(socket_calls.socket(path, socket_calls.frames(asked, mask=True), framed(messages)), messages, framed)


def _grpc_messages(body: bytes) -> Iterable[bytes]:
    at = 0
    while at + 5 <= len(body):
        length = int.from_bytes(body[at + 1 : at + 5], "big")
        yield body[at + 5 : at + 5 + length]
        at += 5 + length


def _aws_messages(body: bytes) -> Iterable[tuple[bytes, bytes]]:
    at = 0
    while at < len(body):
        length, headers = int.from_bytes(body[at : at + 4], "big"), int.from_bytes(body[at + 4 : at + 8], "big")
        yield body[at + 12 : at + 12 + headers], body[at + 12 + headers : at + length - 4]
        at += length


def _aws_framed(heads: Sequence[bytes], payloads: Sequence[bytes]) -> bytes:
    out = []
    for number, payload in enumerate(payloads):
        head = heads[number % len(heads)]
        prelude = (16 + len(head) + len(payload)).to_bytes(4, "big") + len(head).to_bytes(4, "big")
        before = prelude + zlib.crc32(prelude).to_bytes(4, "big") + head + payload
        out.append(before + zlib.crc32(before).to_bytes(4, "big"))
    return b"".join(out)


def _of_corpus(*begins: str) -> list[Seed]:
    return [seed(captured) for name, captured in corpus.CORPUS.items() if name.startswith(begins)]


_SPOKEN = [{"type": "session.update", "model": "voxtral"}, {"type": "input_audio_buffer.commit", "final": True}]
_DOCUMENTS = {"model": "r", "query": "q", "documents": ["a", "b"]}
_HEARD = {"type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 14}, "output_tokens": 45, "total_tokens": 59}
_PAINTED = {"input_tokens": 50, "output_tokens": 100, "total_tokens": 150, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}
_TRANSCRIPT = [
    *({"type": "transcript.text.delta", "delta": text} for text in ("hel", "lo")),
    {"type": "transcript.text.done", "text": "hello", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}},
]
_SPEECH = [{"type": "speech.audio.delta", "audio": "AAAA"}, {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 9}}]
_PARTIAL = [
    {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0},
    {"type": "image_generation.completed", "b64_json": "AAAA", "usage": _PAINTED},
]
_RANKED = {"id": "r-1", "model": "bge", "usage": {"total_tokens": 56}, "results": [{"index": 0, "relevance_score": 0.9}]}
_UNITS = {"results": [], "meta": {"billed_units": {"search_units": 1, "input_tokens": 9}, "tokens": {"input_tokens": 8}}}
_FLAGGED = {
    "id": "m",
    "model": "omni",
    "results": [{"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 1}}],
}


def _forms(path: str, *answers: Any) -> list[Seed]:
    return [seed(t.exchange(path, FORM, answer, request_headers=FORM_HEADERS)) for answer in answers]


READERS: Mapping[str, list[Seed]] = {
    "socket-responses": [
        socket("/v1/responses", [socket_calls.ask()] * 3, socket_calls.answers(3), pieces, packed)
        for pieces, packed in ((1, False), (2, False), (1, True))
    ],
    "socket-realtime": [socket("/v1/realtime?model=gpt-realtime", [{"type": "session.update", "session": {}}], socket_calls.REALTIME)],
    "socket-vllm": [socket("/v1/realtime", _SPOKEN, socket_calls.TRANSCRIBED)],
    "mcp-sessions": [seed(call) for name, call in mcp_calls.CALLS.items() if "modern" not in name and name != "a2a"],
    "mcp-modern": [
        seed(mcp_calls.posted(asked, answer, request_headers=mcp_calls.modern("tools/call", "weather")))
        for asked in (mcp_calls.call(), mcp_calls.call(_meta=mcp_calls.META))
        for answer in (mcp_calls.result(mcp_calls.BAD_TOOL), mcp_calls.failure(-32602, "no"), t.sse([mcp_calls.PROGRESS], done=False))
    ],
    "ollama": _of_corpus("ollama"),
    "gemini": _of_corpus("gemini"),
    "bedrock": [
        *_of_corpus("converse"),
        chunks("/model/anthropic.claude/invoke-with-response-stream", corpus.INVOKE_ASKED, corpus.INVOKED),
        *(chunks("/model/m/invoke-with-response-stream", {"prompt": "hi"}, events) for events in OWN_STREAMS.values()),
        *(seed(t.exchange(INVOKE, corpus.INVOKE_ASKED, answer)) for answer in OWN_ANSWERS.values()),
    ],
    "batches": _of_corpus("batch"),
    "a2a": [seed(call) for call, *_ in A2A_CALLS.values()],
    "cohere": _of_corpus("cohere"),
    "tei": [
        *_of_corpus("tei"),
        seed(t.exchange("/predict", {"inputs": [["a"], ["b"]]}, [[{"score": 1, "label": "x"}]] * 2, response_headers=TEI)),
        seed(t.exchange("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, [1, 0.5], response_headers=TEI)),
        seed(t.exchange("/embed_sparse", {"inputs": ["a"]}, [[{"index": 3, "value": 0.5}]], response_headers=TEI)),
    ],
    "tei-grpc": [
        seed(called("Embed", [TEXT], [embedded(9)])),
        seed(called("EmbedStream", [TEXT] * 3, [embedded(4), embedded(0), embedded(5)])),
        seed(called("Rerank", [t.member(1, "q") + t.member(2, "a")], [t.member(1, b"") + metadata(7)], "Rerank")),
    ],
    "llama-cpp": [
        *_of_corpus("llama"),
        seed(t.exchange("/infill", {"input_prefix": "a", "input_suffix": "c"}, corpus.llama("b", 1, stop=True))),
        seed(t.exchange("/embedding", {"content": ["a", "b"]}, [{"index": 0, "embedding": [[0.5, 1, 2]]}])),
    ],
    "moderations": [seed(t.exchange("/v1/moderations", {"input": ["x"]}, _FLAGGED | {"usage": t.tokens(3, 1)}))],
    "videos": [
        *_of_corpus("video"),
        seed(t.exchange("/v1/videos", {"model": "sora", "prompt": "x"}, corpus.VIDEO | {"status": "queued"})),
        seed(t.exchange("/v1/videos/video_1/remix", {"prompt": "x"}, corpus.VIDEO)),
    ],
    "images": [
        seed(t.exchange("/v1/images/generations", {"model": "img"}, {"data": [{"b64_json": "AA"}] * 2, "usage": _PAINTED})),
        seed(t.streamed(_PARTIAL, "/v1/images/generations", {"model": "img", "stream": True}, done=False)),
        *_forms("/v1/images/edits", {"data": [{"url": "u"}], "usage": _PAINTED}),
    ],
    "audio": [
        *_forms(
            TRANSCRIBE, {"text": "hello", "usage": _HEARD}, {"text": "x", "usage": {"type": "duration", "seconds": 9.5}}, b"hello there\n"
        ),
        seed(t.streamed(_TRANSCRIPT, TRANSCRIBE, FORM, request_headers=FORM_HEADERS, done=False)),
        seed(t.streamed(_SPEECH, "/v1/audio/speech", {"model": "tts", "input": "hello"}, done=False)),
    ],
    "rerank": [
        seed(t.exchange("/v1/rerank", _DOCUMENTS, _RANKED)),
        seed(t.exchange("/v2/rerank", _DOCUMENTS, _UNITS)),
        seed(t.exchange("/rerank", {"query": "q", "texts": ["a"]}, [{"index": 1, "score": 0.5}], response_headers=TEI)),
        seed(t.exchange("/score", {"model": "r", "text_1": "q", "text_2": ["a"]}, {"data": [{"score": 1}], "usage": t.tokens(4, 0)})),
    ],
    "embeddings": [
        *_of_corpus("embeddings"),
        seed(t.exchange("/v1/embeddings", {"input": [[1, 2], [3]]}, {"data": [{"embedding": "AAAA"}] * 2, "usage": t.tokens(3, 0)})),
    ],
}  # fmt: skip
