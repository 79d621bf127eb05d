"""Real clients through the real Envoy: what the record says equals what the client's own library parsed."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from collector.demo.audit import Record
from tests.mesh import parsed
from tests.mesh.harness import new_id
from tests.mesh.inference_upstream import HEADER_LENGTH, PROMPT, PROTOCOL, STUBS, WORDS
from tests.mesh.two_hops import TwoHops, usage_of

if TYPE_CHECKING:  # each tester finds all tests, and few need what takes long to load
    import openai

pytest_plugins = ["tests.mesh.shared"]
pytestmark = pytest.mark.mesh

Answer = Any
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}, "required": []}}}]


@pytest.fixture
def mesh(two_hops: TwoHops) -> TwoHops:
    return two_hops


@pytest.fixture(scope="module")
def clients(two_hops: TwoHops) -> Iterator[Callable[[str], openai.OpenAI]]:
    """The SDK's client for a listener."""
    import openai

    with ExitStack() as stack:
        made = {
            listener: stack.enter_context(
                openai.OpenAI(base_url=f"{two_hops.url(listener)}/v1", api_key="sk-not-to-be-stored", max_retries=0)
            )
            for listener in ("tapped", "gzip")
        }
        yield made.__getitem__


@pytest.fixture(scope="module")
def http(two_hops: TwoHops) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=two_hops.url("tapped"), trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def stub(two_hops: TwoHops) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{two_hops.port('grpc')}") as channel:
        yield STUBS.GRPCInferenceServiceStub(channel)


def named(request_id: str) -> dict[str, Any]:
    return {"extra_headers": {"x-request-id": request_id}}


def known(record: Record, told: dict[str, Any]) -> dict[str, Any]:
    """What the record says of the same things."""
    return {name: record["inference"].get(name) for name in told}


def plain(record: Record, names: dict[str, int]) -> dict[str, int]:
    return {name: record["usage"][name]["value"] for name in names}


def streamed(mesh: TwoHops, request_id: str, listener: str = "tapped") -> Record:
    """The record of a stream that the SDK read to its [DONE]: it then closes without waiting for the end of the body."""
    [record] = mesh.exchanges(request_id, 1, [{"complete"}, {"complete", "client_aborted"}], listener)
    return record


def check_times(record: Record, seen_ms: float | None = None) -> None:
    """They are in order. `seen_ms`: when the client saw the first content, from before it sent its request."""
    timing = record["timing"]
    assert 0 < timing["first_byte_ms"] <= timing["first_token_ms"] <= timing["duration_ms"] == record["duration_ms"]
    if "inter_token_ms" in timing:
        gaps = timing["inter_token_ms"]
        assert 0 <= gaps["p50"] <= gaps["p95"] <= gaps["max"] <= timing["duration_ms"]
    if seen_ms is not None:
        assert timing["first_token_ms"] <= seen_ms


def billed(record: Record) -> dict[str, Any]:
    """Its usage event, which fits the schema and repeats the record."""
    event = usage_of(record)
    assert event is not None
    assert event["hop"]["billable"] is True
    assert event["usage"] == record.get("usage", {})
    assert event["protocol"] == record["inference"]["protocol"]
    return event


@pytest.mark.parametrize("listener", ["tapped", "gzip"])
def test_a_chat(mesh: TwoHops, clients: Callable[[str], openai.OpenAI], listener: str) -> None:
    request_id = new_id()
    answer = clients(listener).chat.completions.create(model="alias", **ASKED, **named(request_id))
    record = mesh.exchange(request_id, "complete", listener=listener)
    told = parsed.chat(answer) | {"streamed": False, "model_requested": "alias"}
    assert known(record, told) == told
    assert record["usage"] == parsed.usage(answer.usage, parsed.USAGE)
    assert record["response"]["body"].get("encoding") == ("gzip" if listener == "gzip" else None)
    assert "sk-not-to-be-stored" not in json.dumps(record)
    assert billed(record)["model_answered"] == answer.model


def brought(event: Any) -> bool:
    """Whether the SDK tells a piece of content that is not empty."""
    return bool(getattr(event, "delta", "") or getattr(event, "arguments_delta", ""))


@pytest.mark.parametrize(
    ("listener", "more"),
    [("tapped", {}), ("gzip", {}), ("tapped", {"n": 2}), ("tapped", {"tools": TOOLS}), ("gzip", {"n": 2}), ("gzip", {"tools": TOOLS})],
    ids=["plain", "gzip", "n=2", "tools", "gzip n=2", "gzip tools"],
)
def test_a_streamed_chat(mesh: TwoHops, clients: Callable[[str], openai.OpenAI], listener: str, more: dict[str, Any]) -> None:
    request_id, began = new_id(), time.monotonic()
    asked = {"model": "alias", "stream_options": {"include_usage": True}, **ASKED, **more, **named(request_id)}
    with clients(listener).chat.completions.stream(**asked) as stream:
        assert any(brought(each) for each in stream)
        seen_ms = (time.monotonic() - began) * 1000
        answer = stream.get_final_completion()
    record = streamed(mesh, request_id, listener)
    told = parsed.chat(answer) | {"streamed": True}
    assert known(record, told) == told
    assert record["usage"] == parsed.usage(answer.usage, parsed.USAGE)
    check_times(record, seen_ms)
    assert record["timing"]["tokens_per_s"] > 0
    assert (record["response"]["body"].get("encoding") == "gzip") is (listener == "gzip")
    billed(record)


def test_a_stream_without_usage_has_none(mesh: TwoHops, clients: Callable[[str], openai.OpenAI]) -> None:
    request_id = new_id()
    chunks = list(clients("tapped").chat.completions.create(model="alias", stream=True, **ASKED, **named(request_id)))
    assert all(chunk.usage is None for chunk in chunks)
    record = streamed(mesh, request_id)
    assert "usage" not in record
    assert record["inference"]["choices"][0]["text"] == "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    check_times(record)
    assert billed(record)["usage"] == {}


def test_an_error_of_the_api(mesh: TwoHops, clients: Callable[[str], openai.OpenAI]) -> None:
    request_id = new_id()
    import openai

    with pytest.raises(openai.NotFoundError) as raised:
        clients("tapped").chat.completions.create(model="missing", **ASKED, **named(request_id))
    record = mesh.exchange(request_id, "complete")
    body: Any = raised.value.body
    assert record["inference"]["error"] == body
    assert record["response"]["status"] == raised.value.status_code
    assert "usage" not in record


def test_embeddings(mesh: TwoHops, clients: Callable[[str], openai.OpenAI]) -> None:
    request_id, texts = new_id(), ["a", "b", "c"]
    answer = clients("tapped").embeddings.create(model="alias", input=texts, encoding_format="float", **named(request_id))
    record = mesh.exchange(request_id, "complete")
    told = {
        "protocol": "openai-embeddings",
        "model_requested": "alias",
        "model_answered": answer.model,
        "outputs": [{"name": "embedding", "shape": [len(answer.data), len(answer.data[0].embedding)]}],
    }
    assert known(record, told) == told
    assert record["usage"] == parsed.usage(answer.usage, parsed.USAGE) | {"rows": {"value": len(texts), "provenance": "reported"}}
    billed(record)


def test_a_response(mesh: TwoHops, clients: Callable[[str], openai.OpenAI]) -> None:
    request_id = new_id()
    answer = clients("tapped").responses.create(model="alias", input="hi", **named(request_id))
    record = mesh.exchange(request_id, "complete")
    told = parsed.response(answer) | {"streamed": False, "model_requested": "alias"}
    assert known(record, told) == told
    assert record["usage"] == parsed.usage(answer.usage, parsed.RESPONSES_USAGE)
    billed(record)


@pytest.mark.parametrize("listener", ["tapped", "gzip"])
def test_a_streamed_response(mesh: TwoHops, clients: Callable[[str], openai.OpenAI], listener: str) -> None:
    request_id = new_id()
    with clients(listener).responses.stream(model="alias", input="hi", **named(request_id)) as stream:
        answer = stream.get_final_response()
    record = streamed(mesh, request_id, listener)
    told = parsed.response(answer) | {"streamed": True}
    assert known(record, told) == told
    assert record["usage"] == parsed.usage(answer.usage, parsed.RESPONSES_USAGE)
    check_times(record)
    billed(record)


def cancelled(mesh: TwoHops, client: openai.OpenAI, listener: str, options: dict[str, Any]) -> tuple[Record, str]:
    """The record of a stream that the client left after some words, and what it had read by then."""
    request_id, seen = new_id(), ""
    asked = {"model": "running", "stream": True, "stream_options": options, **ASKED, **named(request_id)}
    with client.chat.completions.create(**asked) as stream:
        for chunk in stream:
            seen += chunk.choices[0].delta.content
            if "w20 " in seen:
                break
    return mesh.exchange(request_id, "complete", "client_aborted", listener=listener), seen


@pytest.mark.parametrize("listener", ["tapped", "gzip"])
def test_a_cancelled_stream_is_billed_by_its_last_running_total(
    mesh: TwoHops, clients: Callable[[str], openai.OpenAI], listener: str
) -> None:
    record, seen = cancelled(mesh, clients(listener), listener, {"include_usage": True, "continuous_usage_stats": True})
    [choice] = record["inference"]["choices"]
    assert choice["text"].startswith(seen)
    assert "finish_reason" not in choice
    passed = len(choice["text"].split())
    assert record["inference"]["delivered_chunks"] == passed >= 20
    assert record["usage"] == {
        "prompt_tokens": {"value": PROMPT, "provenance": "last_cumulative"},
        "completion_tokens": {"value": passed, "provenance": "last_cumulative"},
        "total_tokens": {"value": PROMPT + passed, "provenance": "last_cumulative"},
    }
    check_times(record)
    assert "client_aborted" in billed(record)["completeness"]


def test_a_cancelled_stream_that_told_no_totals_has_no_usage_but_what_was_delivered(
    mesh: TwoHops, clients: Callable[[str], openai.OpenAI]
) -> None:
    record, seen = cancelled(mesh, clients("tapped"), "tapped", {"include_usage": True})
    assert "usage" not in record
    assert record["inference"]["choices"][0]["text"].startswith(seen)
    assert record["inference"]["delivered_chunks"] >= 20
    assert billed(record)["usage"] == {}


def test_a_pause_in_a_stream_is_in_its_timing(mesh: TwoHops, clients: Callable[[str], openai.OpenAI]) -> None:
    request_id, began = new_id(), time.monotonic()
    with clients("tapped").chat.completions.create(model="gated", stream=True, **ASKED, **named(request_id)) as stream:
        chunks = iter(stream)
        assert next(chunks).choices[0].delta.content == WORDS[0]
        seen = time.monotonic()
        while time.monotonic() < seen + 1.1:
            time.sleep(0.05)
        paused_ms = (time.monotonic() - seen) * 1000
        mesh.model.release(request_id)
        rest = list(chunks)
    record = streamed(mesh, request_id)
    timing = record["timing"]
    check_times(record, (seen - began) * 1000)
    assert timing["inter_token_ms"]["max"] >= paused_ms
    assert timing["first_token_ms"] + timing["inter_token_ms"]["max"] <= timing["duration_ms"]
    assert timing["stall_count"] >= 1
    assert record["usage"]["completion_tokens"]["value"] == rest[-1].usage.completion_tokens == len(WORDS)


def test_kserve_v1(mesh: TwoHops, http: httpx.Client) -> None:
    request_id, instances = new_id(), [[1, 2], [3, 4], [5, 6]]
    answer = http.post("/v1/models/iris:predict", json={"instances": instances}, headers={"x-request-id": request_id}).json()
    record = mesh.exchange(request_id, "complete")
    told = {"protocol": "kserve-v1", "operation": "predict", "model_requested": "iris", "streamed": False}
    assert known(record, told) == told
    assert record["usage"] == {
        "rows": {"value": len(instances), "provenance": "reported"},
        "output_rows": {"value": len(answer["predictions"]), "provenance": "reported"},
    }
    billed(record)


def test_an_error_of_kserve_v1(mesh: TwoHops, http: httpx.Client) -> None:
    request_id = new_id()
    answer = http.post("/v1/models/iris:predict", json={}, headers={"x-request-id": request_id})
    record = mesh.exchange(request_id, "complete")
    assert answer.status_code == record["response"]["status"] == 400
    assert record["inference"]["error"]["message"] == answer.json()["error"]


def tensors(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: output[name] for name in ("name", "datatype", "shape")} for output in outputs]


def test_kserve_v2_with_json_tensors(mesh: TwoHops, http: httpx.Client) -> None:
    request_id = new_id()
    given = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
    answer = http.post("/v2/models/iris/infer", json={"id": "r-1", "inputs": [given]}, headers={"x-request-id": request_id}).json()
    record = mesh.exchange(request_id, "complete")
    told = {
        "protocol": "kserve-v2",
        "operation": "infer",
        "model_requested": "iris",
        "model_answered": answer["model_name"],
        "model_version_answered": answer["model_version"],
        "id": answer["id"],
        "inputs": tensors([given]),
        "outputs": tensors(answer["outputs"]),
    }
    assert known(record, told) == told
    assert plain(record, record["usage"]) == {"rows": 2, "input_tensors": 1, "input_bytes": 24, "output_tensors": 1, "output_bytes": 8}
    billed(record)


@pytest.mark.parametrize("listener", ["tapped", "gzip"])
def test_kserve_v2_with_binary_tensors(mesh: TwoHops, listener: str) -> None:
    request_id, data = new_id(), struct.pack("<300f", *range(300))
    given = {"name": "x", "shape": [100, 3], "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"id": "r-2", "inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    headers = {"x-request-id": request_id, HEADER_LENGTH: str(len(head)), "content-type": "application/octet-stream"}
    answer = httpx.post(f"{mesh.url(listener)}/v2/models/iris/infer", content=head + data, headers=headers, trust_env=False)
    length = int(answer.headers[HEADER_LENGTH])
    told = json.loads(answer.content[:length])
    assert struct.unpack("<100f", answer.content[length:])[:2] == (3.0, 12.0)
    record = mesh.exchange(request_id, "complete", listener=listener)
    wanted = {"id": told["id"], "inputs": tensors([given]), "outputs": tensors(told["outputs"]), "model_answered": told["model_name"]}
    assert known(record, wanted) == wanted
    assert plain(record, record["usage"]) == {
        "rows": 100,
        "input_tensors": 1,
        "input_bytes": len(data),
        "output_tensors": 1,
        "output_bytes": len(answer.content) - length,
    }
    assert "problems" not in record
    billed(record)


def infer_request(request_id: str, rows: int = 4, model: str = "iris") -> Any:
    request = PROTOCOL.ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
    request.raw_input_contents.append(struct.pack(f"<{2 * rows}f", *range(2 * rows)))
    return request


def outputs(answer: Answer) -> list[dict[str, Any]]:
    return [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in answer.outputs]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_kserve_v2_over_grpc(mesh: TwoHops, stub: Any, compression: grpc.Compression) -> None:
    request_id = new_id()
    answer = stub.ModelInfer(infer_request("r-3"), metadata=[("x-request-id", request_id)], compression=compression)
    record = mesh.exchange(request_id, "complete", listener="grpc")
    told = {
        "protocol": "kserve-v2-grpc",
        "operation": "infer",
        "streamed": False,
        "id": answer.id,
        "model_requested": "iris",
        "model_answered": answer.model_name,
        "model_version_answered": answer.model_version,
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 2]}],
        "outputs": outputs(answer),
    }
    assert known(record, told) == told
    sizes = {"rows": 4, "input_tensors": 1, "input_bytes": 32, "output_tensors": 1, "output_bytes": len(answer.raw_output_contents[0])}
    assert plain(record, record["usage"]) == sizes
    billed(record)


def test_a_kserve_v2_grpc_stream(mesh: TwoHops, stub: Any) -> None:
    request_id, rows = new_id(), (1, 2, 3)
    asked = (infer_request("r-4", count) for count in rows)
    answers = [each.infer_response for each in stub.ModelStreamInfer(asked, metadata=[("x-request-id", request_id)])]
    record = mesh.exchange(request_id, "complete", listener="grpc")
    told = {"operation": "infer_stream", "streamed": True, "id": "r-4", "model_answered": answers[0].model_name}
    assert known(record, told) == told
    assert plain(record, record["usage"]) == {
        "rows": sum(rows),
        "input_tensors": len(rows),
        "input_bytes": 8 * sum(rows),
        "output_tensors": sum(len(answer.outputs) for answer in answers),
        "output_bytes": sum(len(raw) for answer in answers for raw in answer.raw_output_contents),
    }
    billed(record)


def test_an_error_of_kserve_v2_over_grpc(mesh: TwoHops, stub: Any) -> None:
    request_id = new_id()
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(infer_request("r-5", model="missing"), metadata=[("x-request-id", request_id)])
    error: Any = raised.value
    record = mesh.exchange(request_id, "complete", listener="grpc")
    assert record["inference"]["error"]["message"] == error.details()
    assert record["inference"]["model_requested"] == "missing"
