"""Exchanges with something that the rules of profiles.py hide, under whatever name and in whatever form it comes."""

from __future__ import annotations

import json

import brotli
import zstandard

from collector.decode import Captured
from tests.decode import transcripts as t

SECRET = "jane of the tower"
_ASKED = {
    "model": "llama",
    "user": SECRET,
    "ssn": "078-05-1120",
    "messages": [{"role": "user", "content": f"I am {SECRET}, jane@example.com"}],
}
_STREAM = t.sse([*t.words("it is ", SECRET[:5], SECRET[5:]), t.delta({}, finish="stop"), t.final(t.tokens(9, 3))])
_ANSWER = {"model": "llama", "choices": [{"index": 0, "message": {"role": "assistant", "content": f"Hello {SECRET}"}}]}
_KINDS = (
    "application/json",
    "text/plain",
    "text/html; charset=utf-8",
    "application/octet-stream",
    "application/x-ndjson",
    "audio/mpeg",
    "",
)


def secrets() -> list[Captured]:
    """What rules have to find, under whatever name and form it comes."""
    asked = t.dumps(_ASKED)
    found = [t.exchange(t.CHAT, _ASKED, _ANSWER), t.streamed([{"error": {"message": SECRET}}]), t.exchange(t.CHAT, _ASKED, b"{" + asked)]
    found += [t.exchange(t.CHAT, t.ASKED, _STREAM, response_headers=[("content-type", kind)] if kind else []) for kind in _KINDS]
    found += [t.exchange(t.CHAT, before + asked, _ANSWER) for before in (b"\xef\xbb\xbf", b" " * 64, b"\r\n" * 500)]
    for pack_, told in ((t.gzipped, "gzip"), (brotli.compress, "br"), (zstandard.compress, "zstd"), (t.gzipped, "br"), (bytes, "gzip")):
        found.append(t.exchange(t.CHAT, pack_(asked), _ANSWER, request_headers=[*t.JSON, ("content-encoding", told)]))
    found += [t.exchange(t.CHAT, json.dumps(_ASKED).encode(coding), _ANSWER) for coding in ("utf-16", "utf-16-le", "utf-32-be")]
    form = [("content-type", "application/x-www-form-urlencoded")]
    found.append(t.exchange(t.CHAT, b"user=jane+of+the+tower&x=1", _ANSWER, request_headers=form))
    for boundary in ("b", ""):
        body = f'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n{SECRET}\r\n--b--\r\n'.encode()
        kind = [("content-type", f"multipart/form-data; boundary={boundary}")]
        found.append(t.exchange("/v1/audio/transcriptions", body, {"text": f"from Oslo, {SECRET}"}, request_headers=kind))
    found.append(
        t.exchange(
            "/v1/images/generations", {"model": "dall-e", "prompt": SECRET, "n": 2}, {"created": 1, "data": [{"b64_json": "aGk="}] * 2}
        )
    )
    found.append(
        t.exchange("/v1/audio/speech", {"model": "tts", "input": SECRET}, b"RIFF\0\xff", response_headers=[("content-type", "audio/wav")])
    )
    found.append(t.exchange("/v1/score", {"model": "r", "text_1": SECRET, "text_2": ["a"]}, {"data": [{"index": 0, "score": 0.5}]}))
    found.append(t.exchange("/generate", {"inputs": SECRET, "parameters": {"max_new_tokens": 5}}, {"generated_text": SECRET}))
    v2 = {"inputs": [{"name": "t", "shape": [1], "datatype": "BYTES", "data": [SECRET]}]}
    found.append(t.exchange("/v2/models/quiet/infer", v2, {"model_name": "quiet", "outputs": v2["inputs"]}))
    trailers = [("grpc-status", "3"), ("grpc-message", "jane%20of%20the%20tower is unknown")]
    grpc = [("content-type", "application/grpc")]
    text = t.infer_request([t.proto_tensor("t", "BYTES", [1])], [len(SECRET).to_bytes(4, "little") + SECRET.encode()])
    found.append(
        t.exchange(
            "/inference.GRPCInferenceService/ModelInfer",
            t.grpc(text),
            b"",
            request_headers=grpc,
            response_headers=grpc,
            response_trailers=trailers,
        )
    )
    found += [t.get("/v1/models", {"data": [{"id": "llama"}]}), t.get("/v2/health/ready"), t.get("/metrics", b"# HELP x\n")]
    return found
