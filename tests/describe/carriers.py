"""Bodies of every form that hold a given text, and all that somebody could read in what was stored of them."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import brotli
import zstandard

from collector.decode.encodings import unpack
from collector.decode.limits import DEFAULT
from collector.messages.event import Event
from tests.decode import transcripts as t

INFER = "/inference.GRPCInferenceService/ModelInfer"
LENGTH = "inference-header-content-length"
Headers = list[tuple[str, str]]
Made = tuple[bytes, str, str, Headers]  # body, its right type, path, further headers
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, "gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress, "deflate": zlib.compress,
    "raw deflate": lambda data: zlib.compress(data, wbits=-15), "twice": lambda data: gzip.compress(zstandard.compress(data)),
}  # fmt: skip
TYPES = (
    "", "application/json", "text/plain", "text/html", "text/event-stream", "application/x-ndjson", "application/octet-stream",
    "application/x-www-form-urlencoded", "application/grpc", "multipart/form-data; boundary=b", "multipart/form-data", "audio/mpeg",
)  # fmt: skip
CODINGS = ("", "identity", "gzip", "br", "zstd", "deflate", "none", "utf-8", "gzip, br", "snappy")
PREFIXES = (b"", b"", b"\xef\xbb\xbf", b" " * 70, b"\r\n" * 9, b"\n\xef\xbb\xbf\n")


def asked(secret: str) -> dict[str, object]:
    """A request with the text where a path finds it."""
    return {"model": "llama", "stream": True, "user": secret, "messages": [{"role": "user", "content": secret}]}


def _stream(secret: str, cuts: list[int], newline: str = "\n") -> bytes:
    ends = [0, *sorted(min(cut, len(secret)) for cut in cuts), len(secret)]
    pieces = [secret[start:stop] for start, stop in pairwise(ends)]
    return t.sse([*t.words("it is ", *pieces), t.delta({}, finish="stop"), t.final(t.tokens(9, 3))], newline=newline)


def _form(content: bytes, kind: str) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b\r\nContent-Disposition: form-data; name="file"; '
        b'filename="a"\r\nContent-Type: ' + kind.encode() + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    )


def _tensors(text: bytes) -> Made:
    data = len(text).to_bytes(4, "little") + text
    head = t.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}]})
    return head + data, "application/octet-stream", "/v2/models/m/infer", [(LENGTH, str(len(head)))]


def _grpc(text: bytes, flag: int) -> Made:
    message = t.infer_request([t.proto_tensor("x", "BYTES", [1])], [len(text).to_bytes(4, "little") + text])
    return t.grpc(message, flag=flag), "application/grpc", INFER, [("grpc-encoding", "gzip")]


def _several_lines(secret: str, cuts: list[int]) -> bytes:
    """Events with each line of their JSON in a data line of its own."""
    events = (json.loads(line[6:]) for line in _stream(secret, cuts).split(b"\n\n") if line.startswith(b"data: {"))
    texts = (json.dumps(event, indent=1) for event in events)
    return "".join("".join(f"data: {line}\n" for line in text.split("\n")) + "\n" for text in texts).encode()


CARRIERS: dict[str, Callable[[str, list[int]], Made]] = {
    "json": lambda secret, _: (t.dumps(asked(secret)), "application/json", t.CHAT, []),
    "escaped json": lambda secret, _: (
        t.dumps(asked("~")).replace(b"~", "".join(f"\\u{ord(c):04x}" for c in secret).encode()), "application/json", t.CHAT, []),
    "utf-16": lambda secret, _: (json.dumps(asked(secret)).encode("utf-16"), "application/json", t.CHAT, []),
    "utf-16-le": lambda secret, _: (json.dumps(asked(secret)).encode("utf-16-le"), "application/json", t.CHAT, []),
    "utf-32": lambda secret, _: (json.dumps(asked(secret)).encode("utf-32"), "application/json", t.CHAT, []),
    "json and a rest": lambda secret, _: (t.dumps({"model": "m"}) + t.dumps(asked(secret)), "application/json", t.CHAT, []),
    "member twice": lambda secret, _: (t.dumps(asked(secret))[:-1] + b',"user":"","messages":[]}', "application/json", t.CHAT, []),
    "ndjson": lambda secret, _: (b"\n".join([t.dumps(asked(secret))] * 2), "application/x-ndjson", "/generate", []),
    "stream": lambda secret, cuts: (_stream(secret, cuts), "text/event-stream", t.CHAT, []),
    "stream with CRLF": lambda secret, cuts: (_stream(secret, cuts, "\r\n"), "text/event-stream", t.CHAT, []),
    "stream with CR": lambda secret, cuts: (_stream(secret, cuts, "\r"), "text/event-stream", t.CHAT, []),
    "stream with long events": lambda secret, cuts: (_several_lines(secret, cuts), "text/event-stream", t.CHAT, []),
    "answer": lambda secret, _: (
        t.dumps({"model": "m", "choices": [{"index": 0, "message": {"content": secret}}]}), "application/json", t.CHAT, []),
    "error": lambda secret, _: (t.dumps({"error": {"message": f"no {secret}"}}), "application/json", t.CHAT, []),
    "form with JSON": lambda secret, _: (_form(t.dumps(asked(secret)), "application/json"), TYPES[9], "/v1/audio/transcriptions", []),
    "form with lines": lambda secret, _: (_form(b"\n".join([t.dumps(asked(secret))] * 2), TYPES[6]), TYPES[9], "/v1/files", []),
    "fields": lambda secret, _: (f"model=m&user={secret}".encode(), "application/x-www-form-urlencoded", t.CHAT, []),
    "tensors": lambda secret, _: _tensors(t.dumps(asked(secret))),
    "grpc": lambda secret, _: _grpc(t.dumps(asked(secret)), 0),
    "compressed grpc": lambda secret, _: _grpc(t.dumps(asked(secret)), 1),
    "text": lambda secret, _: (f"user: {secret}".encode(), "text/plain", t.CHAT, []),
}  # fmt: skip


def readable(events: tuple[Event, ...]) -> Iterator[bytes]:
    """All that somebody could read in these events: data and columns, unpacked, in other encodings of text, without escapes, and the
    texts of events put together.
    """
    yield repr([tuple(event) for event in events]).encode()
    for event in events:
        for data in _unpacked(event.data, 3):
            yield data
            yield from (_text(data, coding) for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))
            plain = data
            for _ in range(2):
                plain = re.sub(rb"\\u00([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), plain).replace(b"\\\\", b"\\")
                yield plain
            yield b"".join(re.findall(rb'"content": ?"([^"]*)"', data))


def _unpacked(data: bytes, depth: int) -> Iterator[bytes]:
    yield data
    for coding in ("gzip", "br", "zstd", "deflate") if depth and data else ():
        if found := unpack(data, [coding], (), DEFAULT).data:
            yield from _unpacked(found, depth - 1)
    for match in re.finditer(rb"\x1f\x8b\x08", data) if depth else ():
        yield unpack(data[match.start() :], ["gzip"], (), DEFAULT).data


def _text(data: bytes, coding: str) -> bytes:
    return data[: len(data) // 4 * 4].decode(coding, "replace").encode("utf-8", "replace")
