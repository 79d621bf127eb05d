"""A path's short end makes no call inference by itself: the bodies have to agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import Limits, Tail, decode
from collector.decode.agreement import _RULES
from collector.decode.route_table import GRAPH, TABLE
from collector.describe.hops import FREE
from tests.decode import transcripts as t

OWN_TESTS = ("cohere", "tei", "llama_cpp")  # test_native.py
SHORT = sorted({row.shape for row in TABLE if row.bodies in _RULES and row.generates and row.handler not in OWN_TESTS} | {"/completions"})
RULES = {row.shape: _RULES[row.bodies] for row in TABLE if row.bodies in _RULES}
ERROR = {"error": {"message": "no"}}
ASKED = {
    "/completions": {"model": "m", "prompt": "x"},
    "/responses": {"model": "m", "input": "x"},
    "/embeddings": {"model": "m", "input": ["x"]},
    "/pooling": {"model": "m", "input": ["x"]},
    "/classify": {"model": "m", "input": ["x"]},
    "/rerank": {"query": "q", "documents": ["x"]},
    "/score": {"text_1": "a", "text_2": "b"},
    "/messages": {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]},
    "/generate": {"inputs": "x"},
    "/generate_stream": {"inputs": "x"},
}
# Ordinary web services, MCP, A2A, Docker's registry.
PLAIN = [
    ("/search/completions", {"q": "ber"}, {"items": ["berlin"]}),
    ("/api/completions", {"prompt": "ber"}, {"items": ["berlin"]}),
    ("/api/v3/score", {"items": [{}, {}, {}]}, {"ok": True}),
    ("/api/v3/score", {"model": "Golf", "items": [1]}, {"points": 3}),
    ("/credit/score", {"text_1": "a", "text_2": "b"}, {"ok": 1}),
    ("/v1/messages", {"jsonrpc": "2.0", "id": 1, "method": "x"}, {"jsonrpc": "2.0", "id": 1, "result": {}}),
    ("/v1/responses", [{"jsonrpc": "2.0"}], b""),
    ("/api/v1/messages", {"room": 7, "text": "hi"}, {"id": 1}),
    ("/api/v1/messages", {"messages": ["hi"]}, {"queued": 1}),
    ("/forms/7/responses", {"answers": [1, 2]}, {"id": 3}),
    ("/forms/7/responses", b"a=1&b=2", b"thanks"),
    ("/reports/generate", {"kind": "pdf"}, {"job": 1}),
    ("/reports/generate", {"text": "a"}, {"job": 1}),
    ("/images/classify", {"url": "x"}, {"label": "cat"}),
    ("/classify", {"input": "x"}, {"label": "cat"}),
    ("/embeddings", b"<xml/>", b""),
    ("/predict", {"instances": [1]}, {"predictions": [1]}),
    ("/v1/chat", {"message": "hi", "room": 3}, {"ok": True}),
    ("/v2/chat", {"messages": ["hi"], "to": "ann"}, {"sent": 1}),
    ("/v1/embed", {"url": "https://video"}, {"html": "<iframe>"}),
    ("/embed", {"inputs": "video"}, {"html": "<iframe>"}),
    ("/predict", {"inputs": [1, 2]}, [0.5, 0.5]),
    ("/similarity", {"inputs": "x"}, {"score": 1}),
    ("/completion", {"prompt": "ber"}, {"items": ["berlin"]}),
    ("/embedding", {"content": "x"}, {"html": ""}),
    ("/moderations", {"input": "x"}, {"queued": True}),
    ("/", {"q": 1}, {"a": 1}),
    ("/messages", None, b""),
    ("/score", None, {"status": "fine"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "asked", "answer"), PLAIN)
def test_ordinary_services_are_no_inference(path, asked, answer):
    decoded = decode(t.exchange(path, asked, answer))
    assert decoded.inference == {"protocol": "unknown"}
    assert decoded.usage == {}


@pytest.mark.parametrize("shape", SHORT)
def test_what_was_asked_is_enough(shape):
    for answer, status in ((ERROR, 500), (b"", 200), (b"upstream connect error", 503)):
        inference = decode(t.exchange(f"/gateway{shape}", ASKED[shape], answer, status=status)).inference
        assert inference["protocol"] != "unknown"


@pytest.mark.parametrize("shape", SHORT)
def test_a_right_request_is_one_whatever_a_caller_adds_to_it(shape):
    answer = {"type": "message", "stop_reason": "end_turn", "choices": [], "output": [], "data": [], "usage": {"prompt_tokens": 5}}
    if shape.startswith("/generate"):
        answer = {"text": "a", "meta_info": {"prompt_tokens": 5}}
    for prefix in ("/v1", "/ns"):
        plain, odd = (decode(t.exchange(prefix + shape, ASKED[shape] | more, answer)) for more in ({}, {"jsonrpc": "2.0"}))
        assert (odd.inference, odd.usage) == (plain.inference, plain.usage)
        assert odd.usage["prompt_tokens"]["value"] == 5


@pytest.mark.parametrize("shape", SHORT)
def test_without_bodies_the_path_is_enough_if_it_names_a_version(shape):
    assert decode(t.exchange(f"/ns{shape}")).inference == {"protocol": "unknown"}
    for prefix in ("/v1", "/ns/openai/v1", "/openai", "/openai/deployments/d"):
        assert decode(t.exchange(prefix + shape)).inference["protocol"] != "unknown"


@pytest.mark.parametrize("shape", SHORT)
def test_what_was_answered_is_enough(shape):
    answer = {"choices": [], "output": [], "data": [], "stop_reason": "x", "generated_text": "x"}
    assert decode(t.exchange(f"/gateway{shape}", None, answer)).inference["protocol"] != "unknown"
    first = t.sse([{"choices": [{"text": "a"}], "response": {}, "data": 1, "message": {}, "token": {"text": "a"}}])
    assert decode(t.exchange(f"/gateway{shape}", None, first, response_headers=t.SSE)).inference["protocol"] != "unknown"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/completions", {"choices": [{"text": "x"}], "usage": {"prompt_tokens": 3}}),
        ("/v1/embeddings", {"data": [], "usage": {"prompt_tokens": 3}}),
        ("/v1/messages", {"type": "message", "stop_reason": "end_turn", "usage": {"input_tokens": 3}}),
    ],
)
def test_an_answer_that_surely_is_one_is_not_overruled_by_what_was_asked(path, answer):
    for asked in ({"Model": "m", "x": "y"}, {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, b"a=1"):
        decoded = decode(t.exchange(path, asked, answer))
        assert decoded.usage["prompt_tokens"]["value"] == 3
    assert decode(t.exchange(path, {"jsonrpc": "2.0"}, answer | {"jsonrpc": "2.0"})).inference == {"protocol": "unknown"}


def test_a_request_that_was_cut_before_it_tells_is_no_other():
    asked = b'{"metadata":{"a":1},"prompt":"' + b"x" * 100
    cut = t.exchange("/gateway/completions", asked, {"choices": [{"text": "a"}]}, request_whole=False)
    assert decode(cut).inference["protocol"] == "openai-completions"
    form = t.exchange("/v1/completions", b"prompt", b"", request_whole=False)
    assert decode(form).inference["protocol"] == "openai-completions"


def test_an_answer_that_was_cut_before_it_tells_is_no_other():
    answer = b'{"id":"x","model":"m","data":[[0.1,'
    cut = t.exchange("/embeddings", {"input": "x"}, answer, response_whole=False)
    assert decode(cut).inference["protocol"] == "openai-embeddings"


TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}


@pytest.mark.parametrize(
    ("path", "asked", "answer", "protocol", "operation"),
    [
        ("/", {"inputs": [TENSOR]}, {"model_name": "m", "outputs": []}, "kserve-v2", "graph"),
        ("/", {"inputs": "x"}, {"generated_text": "y"}, "tgi", "generate"),
        ("/", {"instances": [[1]]}, {"predictions": [1]}, "kserve-v1", "graph"),
        ("/", {"instances": "all"}, {}, "unknown", None),
        ("/invocations", {"inputs": [TENSOR, TENSOR]}, {}, "kserve-v2", "infer"),
        ("/invocations", {"inputs": [TENSOR, "x"]}, {}, "tgi", "generate"),
        ("/invocations", {"instances": [1]}, {}, "kserve-v1", "predict"),
    ],
)
def test_shared_paths_are_told_by_what_was_asked(path, asked, answer, protocol, operation):
    inference = decode(t.exchange(path, asked, answer)).inference
    assert (inference["protocol"], inference.get("operation")) == (protocol, operation)


def test_what_a_graph_passes_on_is_counted_where_it_is_answered():
    assert GRAPH in FREE
    for asked, answer in (({"inputs": [TENSOR]}, {"outputs": [TENSOR]}), ({"instances": [[1]]}, {"predictions": [1]})):
        decoded = decode(t.exchange("/", asked, answer))
        assert (decoded.usage, decoded.problems) == ({}, [])


LONG = b'"' + b"a" * 999
TOKENS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
CHATTED = {"object": "chat.completion", "choices": [{"message": {"content": "x"}}], "usage": TOKENS}
COMPLETED = {"object": "text_completion", "choices": [{"text": "x"}], "usage": TOKENS}
GENERATED = [{"generated_text": "x", "details": {"generated_tokens": 4}}]
CONVERSED = {"stopReason": "end", "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}}


@pytest.mark.parametrize(
    ("path", "asked", "answer", "protocol"),
    [
        ("/invocations", b'{"model":"m","prompt":' + LONG, COMPLETED, "openai-completions"),
        ("/invocations", b'{"x":' + LONG, CHATTED, "openai-chat"),
        ("/invocations", b'{"x":' + LONG, {"choices": [{"text": "x"}], "usage": TOKENS}, "openai-completions"),
        ("/invocations", b'{"inputs":' + LONG, GENERATED, "tgi"),
        ("/invocations", b'{"x":' + LONG, {"data": [], "usage": TOKENS}, "openai-embeddings"),
        ("/invocations", b'{"x":' + LONG, {"predictions": [1]}, "kserve-v1"),
        ("/", b'{"inputs":' + LONG, GENERATED, "tgi"),
        ("/", b'{"inputs":' + LONG, GENERATED[0], "tgi"),
        ("/model/m/converse", b'{"system":[{"text":' + LONG, CONVERSED, "bedrock"),
        ("/model/m/converse", b'{"x":' + LONG, CONVERSED, "bedrock"),
    ],
)
def test_where_a_request_was_cut_before_it_tells_the_answer_does(path, asked, answer, protocol):
    for captured in (
        t.exchange(path, asked, answer, request_whole=False),
        t.exchange(path, asked, answer, request_whole=False, request_headers=[("mcp-method", "x"), ("mcp-session-id", "1")]),
        t.exchange(path, None, answer, request_whole=False),
    ):
        decoded = decode(captured)
        assert decoded.inference["protocol"] == protocol
        assert protocol == "kserve-v1" or decoded.usage["completion_tokens" if "data" not in answer else "prompt_tokens"]["value"]
    long = decode(t.exchange(path, asked + b'"}', answer), Limits(json_bytes=500))
    assert long.inference["protocol"] == protocol


@pytest.mark.parametrize("path", ["/invocations", "/", "/model/m/converse"])
def test_where_neither_tells_the_limit_is_the_reason(path):
    decoded = decode(t.exchange(path, b'{"x":' + LONG, {"y": 1}, request_whole=False))
    assert (decoded.inference["protocol"], decoded.untold) == ("unknown", "capture_limit")
    decoded = decode(t.exchange(path, {"x": 1}, {"y": 1}))
    assert (decoded.inference["protocol"], decoded.untold) == ("unknown", "unknown_protocol")


@pytest.mark.parametrize(
    ("path", "asked", "protocol"),
    [
        ("/invocations", {"prompt": "x"}, "openai-completions"),
        ("/", {"inputs": "x"}, "tgi"),
        ("/model/m/converse", {"messages": []}, "bedrock"),
    ],
)
def test_the_end_of_a_request_tells_what_it_asks(path, asked, protocol):
    end = t.dumps({"x": 1} | asked)
    holed = t.exchange(path, b'{"x":' + LONG, b"", request_whole=False, request_tail=Tail(5000, b'aaa",' + end[1:], True))
    assert decode(holed).inference["protocol"] == protocol


def test_a_right_request_to_bedrock_is_one_whatever_a_caller_adds_to_it():
    asked = {"messages": [], "jsonrpc": "2.0", "method": "tools/call", "id": 1}
    decoded = decode(t.exchange("/model/m/converse", asked, CONVERSED))
    assert (decoded.inference["protocol"], decoded.usage["completion_tokens"]["value"]) == ("bedrock", 4)


json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda x: st.lists(x, max_size=3), max_leaves=5)
members = sorted({key for rule in _RULES.values() for keys in (*rule.asked, rule.answered) for key in keys} | {"jsonrpc", "error"})
objects = st.dictionaries(st.sampled_from(members), json, max_size=4)


@given(st.sampled_from(SHORT), st.sampled_from(["/v1", "/x"]), objects | json, objects | json, st.booleans(), st.booleans())
def test_whatever_the_bodies_what_is_unknown_has_no_usage(shape, prefix, asked, answer, whole, streamed):
    body = t.sse([answer]) if streamed else t.dumps(answer)
    headers = t.SSE if streamed else t.JSON
    decoded = decode(t.exchange(prefix + shape, t.dumps(asked), body, response_headers=headers, response_whole=whole, request_whole=whole))
    assert not [problem for problem in decoded.problems if "the decoder failed" in problem]
    sure = isinstance(answer, dict) and "usage" in answer
    if isinstance(asked, dict) and "jsonrpc" in asked and not sure and not any(each <= asked.keys() for each in RULES[shape].asked):
        assert decoded.inference["protocol"] == "unknown"
    if decoded.inference["protocol"] == "unknown":
        assert (decoded.usage, "operation" in decoded.inference) == ({}, False)
