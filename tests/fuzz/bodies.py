"""Bodies that decoders do not hope for, each with the path and the content type under which they look at it."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import NamedTuple

JSON, SSE = "application/json", "text/event-stream"
CHAT, V1, V2 = "/v1/chat/completions", "/v1/models/iris:predict", "/v2/models/iris/infer"
GRPC = "/inference.GRPCInferenceService/ModelInfer"
BIG = (
    "9" * 26,
    "9" * 400,
    "-" + "9" * 30,
    "1e400",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "18446744073709551616",
    "9223372036854775808",
)
ODD = (*BIG, '"\\ud800"', '"\\udfff\\ud800"', "null", "true", "[]", "{}", '""', "0.1e-400", '"\\u0000"', "-0", "1E+2", '{"":{}}')


class Hostile(NamedTuple):
    """Both bodies of one exchange, and what their heads say."""

    path: str
    request: bytes
    response: bytes
    content_type: str = JSON
    encoding: str = ""


def hostile(chance: Random) -> Hostile:
    """One of them."""
    return chance.choice(_KINDS)(chance)


def _odd(chance: Random) -> str:
    return chance.choice(ODD)


def _chat(chance: Random) -> Hostile:
    request = f'{{"model":{_odd(chance)},"messages":{_odd(chance)},"stream":{_odd(chance)},"max_tokens":{_odd(chance)},"n":{_odd(chance)}}}'
    choice = f'{{"index":{_odd(chance)},"message":{{"role":{_odd(chance)},"content":{_odd(chance)}}},"finish_reason":{_odd(chance)}}}'
    usage = f'{{"prompt_tokens":{_odd(chance)},"completion_tokens":{_odd(chance)},"total_tokens":{_odd(chance)}}}'
    response = f'{{"id":{_odd(chance)},"model":{_odd(chance)},"x":NaN,"choices":[{choice}],"usage":{usage}}}'
    return Hostile(CHAT, request.encode(), response.encode())


def _streamed(chance: Random) -> Hostile:
    events = []
    for number in range(chance.choice((0, 1, 3, 20))):
        index = chance.choice((str(number), "0", _odd(chance)))
        events.append(f'data: {{"choices":[{{"index":{index},"delta":{{"content":{_odd(chance)}}}}}],"usage":{_odd(chance)}}}')
    end = chance.choice(("data: [DONE]\n\n", "", "data:", "event: x\ndata: {", "\r\r\n\n", "data: " + "x" * 3000))
    text = chance.choice(("\n\n", "\r\n\r\n", "\r\r", "\n")).join(events) + end
    return Hostile(CHAT, b'{"model":"m","stream":true,"messages":[]}', text.encode("utf-8", "surrogatepass"), SSE)


def _infer(chance: Random) -> Hostile:
    shape = f"[{_odd(chance)},{chance.choice(BIG)}]"
    tensor = f'{{"name":{_odd(chance)},"datatype":{_odd(chance)},"shape":{shape},"data":{_odd(chance)},"parameters":{_odd(chance)}}}'
    request = f'{{"id":"\\ud800","inputs":[{tensor}],"outputs":{_odd(chance)},"parameters":{_odd(chance)}}}'
    response = f'{{"id":{_odd(chance)},"model_name":{_odd(chance)},"outputs":[{tensor},{tensor}]}}'
    return Hostile(V2, request.encode(), response.encode())


def _binary(chance: Random) -> Hostile:
    size = chance.choice((0, 1, 8, 1 << 40, -1))
    head = json.dumps({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1 << 70], "parameters": {"binary_data_size": size}}]})
    data = struct.pack("<I", chance.choice((0, 4, (1 << 32) - 1))) + chance.randbytes(8)
    return Hostile(V2, head.encode() + data, head.encode() + data[:3], "application/octet-stream")


def _predict(chance: Random) -> Hostile:
    return Hostile(V1, f'{{"instances":{_odd(chance)}}}'.encode(), f'{{"predictions":[{_odd(chance)},{_odd(chance)}]}}'.encode())


def _deep(chance: Random) -> Hostile:
    depth = chance.choice((50, 50, 50, 500, 500, 500, 500, 500, 500, 5000, 50_000))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}"), ('{"messages":[', "]}")))
    body = opening * depth + chance.choice(("1", "", '"')) + closing * chance.choice((depth, depth - 1, 0))
    return Hostile(chance.choice((CHAT, V1, V2)), body.encode(), body.encode())


def _twice(chance: Random) -> Hostile:
    body = '{"model":"a","model":' + _odd(chance) + ',"usage":{"total_tokens":1,"total_tokens":' + _odd(chance) + "}}"
    return Hostile(CHAT, body.encode(), body.encode())


def _frames(chance: Random) -> Hostile:
    body = chance.randbytes(chance.choice((0, 3, 40)))
    length = chance.choice((len(body), 0, len(body) + 1, (1 << 32) - 1))
    framed = struct.pack(">BI", chance.choice((0, 1, 2, 255)), length) + body
    return Hostile(GRPC, framed * chance.choice((1, 2, 50)), framed, "application/grpc")


def _multipart(chance: Random) -> Hostile:
    bound = chance.choice(("x", "", "y" * 300))
    part = f'--{bound}\r\ncontent-disposition: form-data; name="file"; filename="a\0"\r\n\r\n'
    body = (part * chance.choice((0, 1, 200))).encode() + b"--" + bound.encode() + chance.choice((b"--", b""))
    return Hostile("/v1/audio/transcriptions", body, b'{"text":"\\ud800"}', f"multipart/form-data; boundary={bound}")


@lru_cache(None)
def _packed(coding: str, size: int) -> bytes:
    return gzip.compress(bytes(size), 6, mtime=0) if "gzip" in coding else zlib.compress(bytes(size))


def _bomb(chance: Random) -> Hostile:
    coding = chance.choice(("gzip", "deflate", "zstd", "br", "gzip, gzip", "x" * 100))
    packed = _packed(coding, chance.choice((10_000, 10_000, 10_000, 3_000_000)))
    return Hostile(CHAT, packed, packed[: chance.choice((len(packed), 20))], JSON, coding)


def _bytes(chance: Random) -> Hostile:
    body = chance.randbytes(chance.choice((0, 1, 60, 900)))
    return Hostile(
        chance.choice((CHAT, V1, V2, GRPC, "/", "\xff")), body, body, chance.choice((JSON, SSE, "", "text/plain; charset=utf-16"))
    )


_KINDS: tuple[Callable[[Random], Hostile], ...] = (
    *(_chat, _chat, _streamed, _streamed, _infer, _infer, _binary, _predict, _twice, _frames, _multipart, _bytes),
    *(_deep, _bomb),
)
