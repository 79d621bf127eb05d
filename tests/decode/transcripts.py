"""Builders of captured exchanges, and a corpus of them that the property and fuzz tests run over."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import structs

from collector.decode import Captured

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream; charset=utf-8")]
LINES = [("content-type", "application/x-ndjson")]
AWS = [("content-type", "application/vnd.amazon.eventstream"), ("x-amzn-requestid", "b-1")]
CHAT = "/v1/chat/completions"
ASKED = {"model": "llama", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def exchange(path: str = CHAT, asked: Any = None, answer: Any = b"", **more: Any) -> Captured:
    """A POST with JSON both ways; bytes are taken as they are."""
    known: dict[str, Any] = {
        "method": "POST",
        "path": path,
        "status": 200,
        "request_headers": JSON,
        "request_body": asked if isinstance(asked, bytes) else b"" if asked is None else dumps(asked),
        "request_whole": True,
        "response_headers": JSON,
        "response_trailers": [],
        "response_body": answer if isinstance(answer, bytes) else dumps(answer),
        "response_whole": True,
        "chunks": [],
    }
    return Captured(**known | more)


def get(path: str, answer: Any = b"", **more: Any) -> Captured:
    return exchange(path, None, answer, method="GET", **more)


def sse(events: Iterable[Any], done: bool = True, newline: str = "\n", named: bool = False) -> bytes:
    """A server-sent event stream; `named` adds the event line that Anthropic and Responses send."""
    parts = []
    for event in events:
        name = f"event: {event['type']}{newline}" if named else ""
        text = event if isinstance(event, str) else dumps(event).decode()
        parts.append(f"{name}data: {text}{newline}{newline}")
    if done:
        parts.append(f"data: [DONE]{newline}{newline}")
    return "".join(parts).encode()


def lines(values: Iterable[Any]) -> bytes:
    """Newline-delimited JSON."""
    return b"".join(dumps(value) + b"\n" for value in values)


def message(kind: str, payload: Any, **headers: str) -> bytes:
    """A message of AWS's event stream: of that event's type, or with these headers."""
    told = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    told = {":" + key.replace("_", "-"): value for key, value in headers.items()} or told
    packed = b"".join(
        bytes([len(key)]) + key.encode() + b"\7" + len(value).to_bytes(2, "big") + value.encode() for key, value in told.items()
    )
    body = payload if isinstance(payload, bytes) else dumps(payload)
    prelude = (16 + len(packed) + len(body)).to_bytes(4, "big") + len(packed).to_bytes(4, "big")
    before = prelude + zlib.crc32(prelude).to_bytes(4, "big") + packed + body
    return before + zlib.crc32(before).to_bytes(4, "big")


def messages(*events: tuple[str, Any]) -> bytes:
    return b"".join(message(kind, payload) for kind, payload in events)


def chunks_of(events: Iterable[Any]) -> bytes:
    """What Bedrock makes of a model's own events."""
    return messages(*(("chunk", {"bytes": base64.b64encode(dumps(event)).decode(), "p": "abcd"}) for event in events))


def streamed(events: Iterable[Any], path: str = CHAT, asked: Any = ASKED, done: bool = True, named: bool = False, **more: Any) -> Captured:
    return exchange(path, asked, sse(events, done, named=named), **{"response_headers": SSE} | more)


def delta(piece: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A Chat chunk with one choice."""
    choice = {"index": index, "delta": piece, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "llama", "choices": [choice]} | more


def words(*pieces: str, **more: Any) -> list[dict[str, Any]]:
    return [delta({"content": piece}, **more) for piece in pieces]


def final(usage: Any) -> dict[str, Any]:
    """The chunk without choices that tells usage."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "llama", "choices": [], "usage": usage}


def tokens(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion} | more


def tool(index: int | None, arguments: str, call_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    fragment = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [fragment]}


def chunked(captured: Captured, lengths: Sequence[int], start: float = 0.1, gap: float = 0.01) -> Captured:
    """The same exchange with its body in chunks of those lengths (repeated to the end), `gap` seconds apart."""
    chunks = []
    at = number = 0
    while at < len(captured.response_body):
        length = min(lengths[number % len(lengths)], len(captured.response_body) - at)
        chunks.append((at, length, start + number * gap))
        at, number = at + length, number + 1
    return structs.replace(captured, chunks=chunks)


def by_event(captured: Captured, separator: bytes = b"\n\n", start: float = 0.1, gap: float = 0.01) -> Captured:
    """The same exchange with each event in a chunk of its own."""
    pieces = captured.response_body.split(separator)
    return chunked(captured, [len(piece) + len(separator) for piece in pieces[:-1]], start, gap)


def encoded(captured: Captured, coding: str, compress: Callable[[bytes], bytes]) -> Captured:
    headers = [*captured.response_headers, ("content-encoding", coding)]
    return structs.replace(captured, response_headers=headers, response_body=compress(captured.response_body))


def gzipped(data: bytes) -> bytes:
    """The same bytes whenever it is called: gzip tells the time else."""
    return gzip.compress(data, mtime=0)


def grpc(*messages: bytes, flag: int = 0) -> bytes:
    """Length-prefixed messages; flag 1 compresses them with gzip."""
    packed = [gzipped(message) if flag else message for message in messages]
    return b"".join(bytes([flag]) + len(message).to_bytes(4, "big") + message for message in packed)


def varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def member(number: int, value: bytes | str | int) -> bytes:
    """One protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def proto_tensor(name: str, datatype: str, shape: Sequence[int], packed: bool = True) -> bytes:
    dims = member(3, b"".join(map(varint, shape))) if packed else b"".join(member(3, size) for size in shape)
    return member(1, name) + member(2, datatype) + dims


def infer_request(tensors: Sequence[bytes], raw: Sequence[bytes] = (), model: str = "iris") -> bytes:
    parts = [member(1, model), member(2, "1"), member(3, "r-1"), *(member(5, each) for each in tensors), *(member(7, each) for each in raw)]
    return b"".join(parts)


def infer_response(tensors: Sequence[bytes], raw: Sequence[bytes] = (), model: str = "iris") -> bytes:
    parts = [member(1, model), member(2, "2"), member(3, "r-1"), *(member(5, each) for each in tensors), *(member(6, each) for each in raw)]
    return b"".join(parts)
