"""The rules see a body in whatever form it comes, and under whatever name. Each of these was once stored in clear."""

import gzip
import json
import tracemalloc

import brotli
import orjson
import pytest
import zstandard
from msgspec import structs

from collector.decode import decode
from collector.redact import Rules
from tests.decode import transcripts as t
from tests.redact.concealing import conceal

WHOLE = (False, False)
SECRET = "jane of the tower"
PATHS = Rules(paths=["user", "messages[*].content", "choices[*].delta.content", "choices[*].message.content"])
WORDS = Rules(patterns=["jane of the tower"])
ASKED = {"model": "llama", "user": SECRET, "messages": [{"role": "user", "content": SECRET}]}
STREAM = t.sse([*t.words("it is ", SECRET[:5], SECRET[5:]), t.delta({}, finish="stop"), t.final(t.tokens(9, 3))])
FORM = [("content-type", "multipart/form-data; boundary=b")]
CURL = [("content-type", "application/x-www-form-urlencoded")]


def kind(name):
    return [("content-type", name)]


def told(found):
    return found.request.data + found.response.data + orjson.dumps(structs.asdict(found.decoded))


def is_hidden(captured, rules):
    found = conceal(captured, rules, WHOLE)
    for word in ("jane", "tower", r"\u006aane", SECRET[:5], SECRET[5:]):
        assert word.encode() not in told(found)
    assert SECRET.encode("utf-16-le") not in told(found)
    return found


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
@pytest.mark.parametrize(
    "declared",
    ["text/plain", "text/plain; charset=utf-8", "text/html", "application/octet-stream", "application/x-ndjson", "audio/mpeg", ""],
)
def test_an_event_stream_under_another_type(declared, rules):
    captured = t.exchange(t.CHAT, t.ASKED, STREAM, response_headers=kind(declared) if declared else [])
    found = is_hidden(captured, rules)
    assert found.response.redacted == "part"
    assert found.decoded.usage["completion_tokens"]["value"] == 3
    assert found.decoded.inference["streamed"] is True
    assert "[redacted]" in found.decoded.inference["choices"][0]["text"]


PREFIXES = {
    "mark": b"\xef\xbb\xbf",
    "64 blanks": b" " * 64,
    "keep-alive lines": b"\r\n" * 5000,
    "lines and a mark": b"\n\n\xef\xbb\xbf \n",
}


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
@pytest.mark.parametrize("headers", [CURL, t.JSON, kind("text/plain"), []], ids=["curl's type", "JSON", "text", "none"])
@pytest.mark.parametrize("name", PREFIXES)
def test_json_behind_something(name, headers, rules):
    found = is_hidden(t.exchange(t.CHAT, PREFIXES[name] + t.dumps(ASKED), {}, request_headers=headers), rules)
    assert json.loads(found.request.data)["messages"][0]["content"] == "[redacted]"
    assert found.decoded.inference["model_requested"] == "llama"


@pytest.mark.parametrize("name", PREFIXES)
def test_a_stream_behind_something(name):
    is_hidden(t.exchange(t.CHAT, t.ASKED, PREFIXES[name] + STREAM, response_headers=[]), PATHS)


@pytest.mark.parametrize("declared", ["text/plain", "application/octet-stream", "text/event-stream"])
def test_a_match_that_runs_over_two_events(declared):
    found = is_hidden(t.exchange(t.CHAT, t.ASKED, STREAM, response_headers=kind(declared)), WORDS)
    assert found.decoded.inference["choices"][0]["text"] == "it is [redacted]"


def test_a_match_that_runs_over_events_of_other_positions_is_not_kept():
    """An older TGI counts tokens in the choices' index."""
    captured = t.streamed([t.delta({"content": piece}, index) for index, piece in enumerate(SECRET.split(" "))])
    found = conceal(captured, Rules(patterns=["janeof"]), WHOLE)
    assert (found.response.data, found.response.redacted) == (b"", "all")


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
@pytest.mark.parametrize("told", ["none", "utf-8", "gzip", "br", "deflate", "zstd", "gzip, br", "aws-chunked"])
def test_a_content_encoding_that_the_bytes_do_not_have(told, rules):
    headers = [*t.JSON, ("content-encoding", told)]
    found = is_hidden(t.exchange(t.CHAT, ASKED, STREAM, request_headers=headers, response_headers=[*t.SSE, headers[1]]), rules)
    assert (found.request.redacted, found.response.redacted) == ("part", "part")
    assert found.decoded.usage["completion_tokens"]["value"] == 3
    assert any("content-encoding" in problem for problem in found.decoded.problems)


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lambda data: gzip.compress(zstandard.compress(data))])
@pytest.mark.parametrize("told", ["", "identity", "br", "utf-8"])
def test_an_encoding_that_the_headers_do_not_tell(pack, told, rules):
    headers = [*t.JSON, ("content-encoding", told)] if told else t.JSON
    found = is_hidden(t.exchange(t.CHAT, pack(t.dumps(ASKED)), {}, request_headers=headers), rules)
    assert found.request.redacted == "part"
    assert found.decoded.inference["model_requested"] == "llama"


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(b"{}") + data, lambda data: brotli.compress(b"x" * 99) + bytes(99_999) + data])
def test_what_stands_behind_encoded_bytes_is_not_kept(pack):
    for told in ("gzip", "br"):
        is_hidden(t.exchange(t.CHAT, pack(t.dumps(ASKED)), {}, request_headers=[*t.JSON, ("content-encoding", told)]), PATHS)


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_in_another_encoding_of_text(coding, rules):
    found = is_hidden(t.exchange(t.CHAT, json.dumps(ASKED).encode(coding), {}), rules)
    assert json.loads(found.request.data)["user"] == "[redacted]"
    assert found.decoded.inference["model_requested"] == "llama"


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
def test_json_with_a_rest_behind_it(rules):
    found = is_hidden(t.exchange(t.CHAT, t.dumps(ASKED) + b" and " + t.dumps(ASKED), {}), rules)
    assert json.loads(found.request.data)["user"] == "[redacted]"
    assert any("behind its JSON are not kept" in problem for problem in found.decoded.problems)


@pytest.mark.parametrize("rules", [PATHS, WORDS], ids=["paths", "patterns"])
@pytest.mark.parametrize("declared", ["application/json", "text/plain", "application/x-ndjson", "text/event-stream"])
def test_lines_of_json_under_any_type(declared, rules):
    body = b"\n".join(t.dumps(ASKED | {"n": number}) for number in range(3))
    found = is_hidden(t.exchange("/v1/files", body, {}, request_headers=kind(declared)), rules)
    assert [json.loads(line)["n"] for line in found.request.data.splitlines()] == [0, 1, 2]


def form(content, kind):
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: {kind}\r\n\r\n'.encode()
    return t.exchange(
        "/v1/files", head + content + b"\r\n--b--\r\n", {}, request_headers=[("content-type", "multipart/form-data; boundary=b")]
    )


LINES = b"\n".join(t.dumps({"body": ASKED}) for _ in range(3))


@pytest.mark.parametrize(
    ("captured", "rules"),
    [
        (form(t.dumps(ASKED), "application/json"), PATHS),
        (form(t.dumps(ASKED), "application/octet-stream"), WORDS),
        (form(LINES, "application/octet-stream"), Rules(paths=["..content"])),
        (form(gzip.compress(t.dumps(ASKED)), "audio/mpeg"), PATHS),
        (form(b"user: " + SECRET.encode(), "text/plain"), PATHS),
        (form(SECRET.encode(), "text/plain"), WORDS),
        (t.exchange(t.CHAT, f"user={SECRET}&x=1".replace(" ", "+").encode(), {}, request_headers=CURL), PATHS),
        (t.exchange(t.CHAT, f"a=b&%75ser={SECRET}".encode(), {}, request_headers=CURL), PATHS),
        (t.exchange(t.CHAT, b"a=" + SECRET.replace(" ", "+").encode(), {}, request_headers=CURL), WORDS),
        (t.exchange(t.CHAT, b"<user>" + SECRET.encode(), {}, request_headers=kind("text/xml")), PATHS),
        (t.exchange(t.CHAT, b"hello\n" + t.dumps(ASKED), {}, request_headers=kind("text/plain")), PATHS),
        (t.exchange(t.CHAT, b"hello \\\\u006a" + SECRET[1:].encode(), {}, request_headers=kind("text/plain")), WORDS),
        (t.exchange(t.CHAT, b"\0\1\2" + t.dumps(ASKED), {}), PATHS),
        (t.exchange(t.CHAT, b"\x89PNG\r\n" + t.dumps(ASKED), {}, request_headers=kind("image/png")), PATHS),
        (t.exchange("/v1/models/m:predict", {}, b"data: user: " + SECRET.encode() + b"\n\n", response_headers=[]), PATHS),
        (t.exchange(t.CHAT, {}, b'data: "user": "' + SECRET.encode() + b'"}\n\n', response_headers=t.SSE), PATHS),
        (t.exchange(t.CHAT, {}, b"data: {}\n\n" + t.dumps(ASKED) + b"\n\n", response_headers=t.SSE), PATHS),
        (t.exchange(t.CHAT, {}, b": " + t.dumps(ASKED) + b"\n\ndata: {}\n\n", response_headers=t.SSE), PATHS),
        (t.exchange(t.CHAT, {}, b"data: {}\n" * 5000 + b"data: " + t.dumps(ASKED) + b"\n\n", response_headers=t.SSE), PATHS),
        (t.exchange(t.CHAT, {"a": json.dumps({"b": SECRET}).replace("j", "\\u006a")}, {}), WORDS),
    ],
)  # fmt: skip
def test_other_carriers(captured, rules):
    is_hidden(captured, rules)


def test_digits_that_a_number_cannot_hold_are_not_kept():
    digits = "4111111111111111"
    found = conceal(t.exchange(t.CHAT, b'{"n":%s00000000000123}' % digits.encode(), {}), Rules(patterns=[digits]), WHOLE)
    assert digits.encode() not in told(found)


def test_json_in_a_text_of_a_grpc_message_is_withheld():
    text = t.dumps(ASKED)
    message = t.infer_request([t.proto_tensor("x", "BYTES", [1])], [len(text).to_bytes(4, "little") + text])
    headers = kind("application/grpc")
    captured = t.exchange(
        "/inference.GRPCInferenceService/ModelInfer", t.grpc(message), b"", request_headers=headers, response_headers=headers
    )
    assert is_hidden(captured, PATHS).request.redacted == "all"
    assert conceal(captured, Rules(paths=["nobody"]), WHOLE).request.redacted == ""


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (b"The tower of the [quiet] user. It is 12:30, and fine.", "text/plain"),
        (b"1\n00:00:00,000 --> 00:00:02,000\n[Music]\n", "text/plain"),
        (b"ID3\x04\x00\xff\xfe", "audio/mpeg"),
        (b"\x89PNG\r\n\x1a\n\x00", "image/png"),
        (b"a=b&c=d", "application/x-www-form-urlencoded"),
        (b": ping\n\ndata: {}\n\n", "text/event-stream"),
    ],
)
def test_what_surely_holds_nothing_that_a_path_names_stays(body, declared):
    found = conceal(t.exchange("/v1/audio/speech", body, {}, request_headers=kind(declared)), PATHS, WHOLE)
    assert (found.request.data, found.request.redacted) == (body, "")


def test_what_may_be_anything_is_withheld_under_paths_too():
    found = conceal(t.exchange(t.CHAT, b"\x93NUMPY\x01\x00", {}, request_headers=kind("application/octet-stream")), PATHS, WHOLE)
    assert found.request.redacted == "all"
    assert "request body: withheld: it is neither text nor JSON, so rules cannot be applied to it" in found.decoded.problems


def test_the_model_of_a_withheld_body_goes_with_what_a_path_hides_around_it():
    captured = t.streamed([{"type": "response.completed", "response": {"model": SECRET, "id": SECRET}}], "/v1/responses", done=False)
    found = conceal(captured, Rules(paths=["response"]), (False, True))
    assert SECRET.encode() not in told(found)


@pytest.mark.parametrize("name", ["chat", "chat stream", "v2 grpc"])
def test_without_rules_nothing_of_this_is_asked(name):
    from tests.decode.corpus import CORPUS

    assert decode(CORPUS[name]).problems == []


def test_what_was_withheld_is_not_kept_in_memory():
    """An exception that is made once holds on to all bodies that it was raised for."""
    found = Rules(patterns=["jane"])
    body = SECRET.encode() + bytes(1 << 20)
    tracemalloc.start()
    try:
        for number in range(20):
            message = t.infer_request([t.proto_tensor("x", "BYTES", [number])], [body])
            captured = t.exchange("/x", t.grpc(message), b"", request_headers=kind("application/grpc"))
            assert conceal(captured, found, WHOLE).request.redacted == "all"
        assert tracemalloc.get_traced_memory()[0] < 10 << 20
    finally:
        tracemalloc.stop()
