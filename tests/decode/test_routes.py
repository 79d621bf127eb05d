"""Which protocol a path means, and where only the answer can tell."""

import pytest

from collector.decode import decode
from collector.decode.routes import find, normalise
from tests.decode import transcripts as t


@pytest.mark.parametrize(
    ("method", "path", "protocol", "operation"),
    [
        ("POST", "/v1/chat/completions", "openai-chat", "chat"),
        ("POST", "/openai/v1/chat/completions?x=1", "openai-chat", "chat"),
        ("POST", "/ns/model/v1/chat/completions/", "openai-chat", "chat"),
        ("POST", "//v1//chat/completions", "openai-chat", "chat"),
        ("POST", "/openai/deployments/d/chat/completions?api-version=1", "openai-chat", "chat"),
        ("GET", "/v1/chat/completions", "openai-chat", "list"),
        ("GET", "/v1/chat/completions/c-1", "openai-chat", "retrieve"),
        ("DELETE", "/v1/responses/r-1", "openai-responses", "delete"),
        ("POST", "/v1/completions", "openai-completions", "completion"),
        ("POST", "/v1/completions/render", "openai-completions", "render"),
        ("POST", "/v1/responses", "openai-responses", "response"),
        ("POST", "/openai/v1/embeddings", "openai-embeddings", "embeddings"),
        ("POST", "/pooling", "openai-embeddings", "pooling"),
        ("POST", "/v2/rerank", "openai-rerank", "rerank"),
        ("POST", "/v1/messages", "anthropic-messages", "messages"),
        ("POST", "/anthropic/v1/messages/count_tokens", "anthropic-messages", "count_tokens"),
        ("POST", "/generate", "tgi", "generate"),
        ("POST", "/generate_stream", "tgi", "generate_stream"),
        ("POST", "/v2/models/generate/infer", "kserve-v2", "infer"),
        ("POST", "/v2/models/m/generate", "kserve-v2", "generate"),
        ("POST", "/v1/models/a/b:predict", "kserve-v1", "predict"),
        ("GET", "/v1/models/iris", "kserve-v1", "ready"),
        ("POST", "/v2/models/m/explain", "kserve-v2", "explain"),
        ("POST", "/inference.GRPCInferenceService/ModelInfer", "kserve-v2-grpc", "infer"),
        ("GET", "/health", "unknown", "health"),
        ("GET", "/metrics", "unknown", ""),
        ("POST", "/v1/audio/speech", "openai-audio", "speech"),
        ("POST", "", "unknown", ""),
        ("PRI", "*", "unknown", ""),
    ],
)
def test_paths(method, path, protocol, operation):
    route = find(method, path)
    assert (route.protocol, route.operation) == (protocol, operation)


def test_normalising():
    assert normalise("/a%3Ab/?q=%zz") == "/a:b"
    assert normalise("/%ff") == "/\ufffd"
    assert normalise("/") == "/"


def test_the_model_list_is_told_by_its_answer():
    kserve = decode(t.get("/v1/models", {"models": ["iris"]})).inference
    openai = decode(t.get("/v1/models", {"object": "list", "data": [{"id": "llama"}]})).inference
    assert kserve == {"protocol": "kserve-v1", "operation": "list"}
    assert openai == {"protocol": "openai-models", "operation": "models"}


def test_one_model_is_told_by_its_answer():
    kserve = decode(t.get("/v1/models/iris", {"name": "iris", "ready": True})).inference
    openai = decode(t.get("/v1/models/llama", {"id": "llama", "object": "model"})).inference
    assert kserve == {"protocol": "kserve-v1", "operation": "ready", "model_requested": "iris"}
    assert openai == {"protocol": "openai-models", "operation": "model", "model_requested": "llama"}


@pytest.mark.parametrize(
    ("asked", "protocol"),
    [
        ({"messages": [], "model": "m"}, "openai-chat"),
        ({"prompt": "x"}, "openai-completions"),
        ({"input": "x"}, "openai-embeddings"),
        ({"inputs": "x"}, "tgi"),
        ({"other": 1}, "unknown"),
        ([1], "unknown"),
    ],
)
def test_invocations_are_told_by_what_was_asked(asked, protocol):
    assert decode(t.exchange("/invocations", asked, {})).inference["protocol"] == protocol


def test_the_root_is_a_generate_call_only_with_inputs():
    assert decode(t.exchange("/", {"inputs": "x"}, {"generated_text": "y"})).inference["protocol"] == "tgi"
    assert decode(t.exchange("/", b"<xml>", b"")).inference == {"protocol": "unknown"}
    assert decode(t.exchange("/", b"<xml>", b"")).problems == []
