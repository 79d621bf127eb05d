"""KServe V1, V2 over REST and V2 over gRPC."""

import pytest

from collector.decode import Limits, decode
from tests.decode import transcripts as t


def reported(value):
    return {"value": value, "provenance": "reported"}


def values(usage):
    return {name: number["value"] for name, number in usage.items()}


@pytest.mark.parametrize("mark", [":", "%3A", "%3a"])
def test_v1_names_its_model_only_in_the_path(mark):
    decoded = decode(t.exchange(f"/v1/models/iris{mark}predict", {"instances": [[1], [2]]}, {"predictions": [0, 1]}))
    assert decoded.inference == {"protocol": "kserve-v1", "operation": "predict", "model_requested": "iris", "streamed": False}
    assert decoded.usage == {"rows": reported(2), "output_rows": reported(2)}


def test_v1_columns_are_counted_by_their_rows():
    asked = {"inputs": {"a": [1, 2, 3], "b": [4, 5, 6]}}
    assert decode(t.exchange("/v1/models/iris:predict", asked, {})).usage == {"rows": reported(3)}


def test_v1_of_a_version():
    inference = decode(t.exchange("/v1/models/iris/versions/3:predict", {"instances": []}, {})).inference
    assert (inference["model_requested"], inference["model_version_requested"]) == ("iris", "3")


def test_v1_rows_of_a_cut_body_are_unknown():
    captured = t.exchange("/v1/models/iris:predict", b'{"instances":[[1],[2],[', {}, request_whole=False)
    assert decode(captured).usage == {}


def test_v1_in_a_structured_cloudevent():
    asked = {"specversion": "1.0", "type": "x", "data": {"instances": [1, 2, 3]}}
    captured = t.exchange("/v1/models/iris:predict", asked, {}, request_headers=[("content-type", "application/cloudevents+json")])
    assert decode(captured).usage["rows"] == reported(3)


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (400, {"error": "Unrecognized request format: x"}, "Unrecognized request format: x"),
        (500, {"error": "TypeError : 'instances'"}, "TypeError : 'instances'"),
        (501, {"error": "Model iris does not support explain"}, "Model iris does not support explain"),
    ],
)
def test_v1_errors(status, answer, message):
    decoded = decode(t.exchange("/v1/models/iris:explain", {"instances": [1]}, answer, status=status))
    assert decoded.inference["error"] == {"message": message}
    assert decoded.inference["operation"] == "explain"


def test_v1_streams_without_a_content_type():
    decoded = decode(t.exchange("/v1/models/m:predict", {"instances": [1]}, b"data: a\n\ndata: b\n\n", response_headers=[]))
    assert decoded.inference["streamed"] is True
    assert decoded.inference["delivered_chunks"] == 2


def infer(**parameters):
    return {"id": "r-1", "inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", **parameters}]}


def inferred(**parameters):
    return {
        "model_name": "iris",
        "model_version": "1",
        "id": "r-1",
        "outputs": [{"name": "y", "shape": [2], "datatype": "INT64", **parameters}],
    }


def test_v2_json():
    decoded = decode(t.exchange("/v2/models/iris/versions/1/infer", infer(data=[0.5] * 6), inferred(data=[0, 1])))
    assert decoded.inference == {
        "protocol": "kserve-v2",
        "operation": "infer",
        "streamed": False,
        "model_requested": "iris",
        "model_version_requested": "1",
        "model_answered": "iris",
        "model_version_answered": "1",
        "id": "r-1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [2]}],
    }
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2, "output_tensors": 1, "output_bytes": 16}


def test_v2_binary_tensors_both_ways():
    asked = t.dumps(infer(parameters={"binary_data_size": 24}))
    answer = t.dumps(inferred(parameters={"binary_data_size": 16}))
    captured = t.exchange(
        "/v2/models/iris/infer",
        asked + bytes(24),
        answer + b"\xff" * 16,
        request_headers=[("inference-header-content-length", str(len(asked)))],
        response_headers=[("inference-header-content-length", str(len(answer)))],
    )
    decoded = decode(captured)
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2, "output_tensors": 1, "output_bytes": 16}
    assert decoded.problems == []


def test_v2_counts_of_a_cut_body_are_unknown():
    three = {"inputs": [infer(data=[0.5] * 6)["inputs"][0]] * 3}
    body = t.dumps(three)
    decoded = decode(t.exchange("/v2/models/iris/infer", body[: len(body) // 2], inferred(data=[0, 1]), request_whole=False))
    assert values(decoded.usage) == {"output_tensors": 1, "output_bytes": 16}
    body = t.dumps({"model_name": "m", "outputs": three["inputs"]})
    decoded = decode(t.exchange("/v2/models/iris/infer", infer(data=[0.5] * 6), body[: len(body) // 2], response_whole=False))
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2}
    decoded = decode(
        t.streamed([inferred(data=[1, 2])] * 3, "/v2/models/iris/infer_stream", infer(data=[0] * 6), done=False, response_whole=False)
    )
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2}


def test_v2_counts_of_a_body_whose_end_alone_was_not_told_are_known():
    captured = t.exchange("/v2/models/iris/infer", infer(data=[0] * 6), inferred(data=[0, 1]), request_whole=False, response_whole=False)
    assert values(decode(captured).usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2, "output_tensors": 1, "output_bytes": 16}


def test_v2_counts_of_cut_binary_tensors_are_those_of_the_json_before_them():
    asked = t.dumps(infer(parameters={"binary_data_size": 24}))
    for body, counts in (
        (asked + bytes(7), {"input_tensors": 1, "input_bytes": 24, "rows": 2}),
        (asked, {"input_tensors": 1, "input_bytes": 24, "rows": 2}),
        (asked[:-2], {}),
    ):
        headers = [("inference-header-content-length", str(len(asked)))]
        captured = t.exchange("/v2/models/iris/infer", body, {"model_name": "iris"}, request_headers=headers, request_whole=False)
        assert values(decode(captured).usage) == counts


def test_v2_binary_header_length_counts_after_content_decoding():
    import gzip

    asked = t.dumps(infer(parameters={"binary_data_size": 24}))
    headers = [("content-encoding", "gzip"), ("inference-header-content-length", str(len(asked)))]
    decoded = decode(t.exchange("/v2/models/iris/infer", gzip.compress(asked + bytes(24)), inferred(), request_headers=headers))
    assert decoded.usage["input_bytes"] == reported(24)
    assert decoded.problems == []


def test_v2_binary_sizes_that_disagree_with_the_body_are_a_problem():
    asked = t.dumps(infer(parameters={"binary_data_size": 999}))
    headers = [("inference-header-content-length", str(len(asked)))]
    decoded = decode(t.exchange("/v2/models/iris/infer", asked + bytes(24), inferred(), request_headers=headers))
    assert decoded.problems == ["request body: binary tensors of 999 bytes are told, 24 bytes are there"]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "", "99999"])
def test_v2_a_wrong_header_length_is_a_problem(length):
    decoded = decode(t.exchange("/v2/models/m/infer", b"{}", b"{}", request_headers=[("inference-header-content-length", length)]))
    assert "inference-header-content-length" in decoded.problems[0]


def test_v2_text_tensors_have_no_known_size():
    asked = {"inputs": [{"name": "t", "shape": [1], "datatype": "BYTES", "data": ["hello"]}]}
    assert values(decode(t.exchange("/v2/models/m/infer", asked, {})).usage) == {"input_tensors": 1, "rows": 1}


def test_v2_errors():
    decoded = decode(t.exchange("/v2/models/m/infer", b"{", {"error": "Unrecognized request format"}, status=422, request_whole=False))
    assert decoded.inference["error"] == {"message": "Unrecognized request format"}
    detail = {"detail": [{"loc": ["body", "inputs"], "msg": "Field required", "type": "missing"}]}
    decoded = decode(t.exchange("/v2/models/m/infer", {}, detail, status=422))
    assert decoded.inference["error"] == {"message": "body.inputs: Field required"}


def test_v2_tensors_beyond_the_limit_are_left_out_and_told():
    asked = {"inputs": [{"name": str(i), "shape": [1], "datatype": "FP32"} for i in range(5)]}
    decoded = decode(t.exchange("/v2/models/m/infer", asked, {}), Limits(tensors=2))
    assert len(decoded.inference["inputs"]) == 2
    assert "over the limit of 2" in decoded.problems[0]
    assert decoded.usage == {}


def test_v2_counts_of_more_events_than_are_read_are_unknown():
    captured = t.streamed([inferred(data=[1, 2])] * 40, "/v2/models/iris/infer_stream", infer(data=[0] * 6), done=False)
    assert decode(captured).usage["output_tensors"] == reported(40)
    decoded = decode(captured, Limits(events=20))
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2}
    assert "delivered_chunks" not in decoded.inference


def test_v2_generate_and_its_stream():
    asked = {"text_input": "hi", "parameters": {"stream": True}}
    decoded = decode(t.exchange("/v2/models/llm/generate", asked, {"model_name": "llm", "text_output": "Hello"}))
    assert decoded.inference["choices"] == [{"index": 0, "text": "Hello"}]
    events = [{"model_name": "llm", "model_version": "1", "text_output": piece} for piece in ("Hel", "lo")]
    decoded = decode(t.streamed(events, "/v2/models/llm/generate_stream", asked, done=False))
    assert decoded.inference["choices"] == [{"index": 0, "text": "Hello"}]
    assert decoded.inference["model_answered"] == "llm"


def test_v2_infer_stream_counts_every_answer():
    decoded = decode(t.streamed([inferred(data=[1, 2])] * 3, "/v2/models/iris/infer_stream", infer(data=[0] * 6), done=False))
    assert decoded.usage["output_tensors"] == reported(3)
    assert decoded.inference["delivered_chunks"] == 3


@pytest.mark.parametrize(
    ("method", "path", "operation", "model"),
    [
        ("GET", "/v2", "metadata", None),
        ("GET", "/v2/health/live", "live", None),
        ("HEAD", "/v2/health/ready", "ready", None),
        ("GET", "/v2/models/iris", "metadata", "iris"),
        ("GET", "/v2/models/iris/ready", "ready", "iris"),
        ("GET", "/v2/models/iris/versions/2/ready", "ready", "iris"),
        ("POST", "/v2/repository/index", "index", None),
        ("POST", "/v2/repository/models/iris/load", "load", "iris"),
    ],
)
def test_v2_metadata_and_health(method, path, operation, model):
    inference = decode(t.exchange(path, None, {"name": "x", "version": "1", "extensions": []}, method=method)).inference
    assert (inference["protocol"], inference["operation"], inference.get("model_requested")) == ("kserve-v2", operation, model)
    assert "streamed" not in inference


GRPC = [("content-type", "application/grpc")]
SERVICE = "/inference.GRPCInferenceService/"
OK = [("grpc-status", "0")]


def call(method, asked, answer, **more):
    known = {"request_headers": GRPC, "response_headers": GRPC, "response_trailers": OK}
    return decode(t.exchange(SERVICE + method, asked, answer, **known | more))


X = t.proto_tensor("x", "FP32", [2, 3])
Y = t.proto_tensor("y", "INT64", [2])


@pytest.mark.parametrize("flag", [0, 1])
def test_grpc_infer_with_raw_tensors(flag):
    encoding = [*GRPC, ("grpc-encoding", "gzip")]
    asked = t.grpc(t.infer_request([X], [bytes(24)]), flag=flag)
    decoded = call(
        "ModelInfer", asked, t.grpc(t.infer_response([Y], [bytes(16)]), flag=flag), request_headers=encoding, response_headers=encoding
    )
    assert decoded.inference == {
        "protocol": "kserve-v2-grpc",
        "operation": "infer",
        "streamed": False,
        "model_requested": "iris",
        "model_version_requested": "1",
        "model_answered": "iris",
        "model_version_answered": "2",
        "id": "r-1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [2]}],
    }
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2, "output_tensors": 1, "output_bytes": 16}


def test_grpc_shapes_that_are_not_packed_and_unknown_dimensions():
    tensor = t.proto_tensor("x", "FP32", [-1, 3], packed=False)
    decoded = call("ModelInfer", t.grpc(t.infer_request([tensor])), b"")
    assert decoded.inference["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert "input_bytes" not in decoded.usage


def test_grpc_errors_are_a_200_with_trailers_only():
    trailers = [("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "Model%20x not found")]
    decoded = call("ModelInfer", t.grpc(t.infer_request([X])), b"", response_headers=trailers, response_trailers=[])
    assert decoded.inference["error"] == {"code": 5, "type": "NOT_FOUND", "message": "Model x not found"}
    assert decoded.inference["model_requested"] == "iris"


def test_grpc_binary_metadata_that_is_not_utf8_is_no_trouble():
    metadata = [*GRPC, ("trace-bin", "\xff\xfe\x00\x80")]
    decoded = call("ModelInfer", t.grpc(t.infer_request([X])), b"", request_headers=metadata, response_trailers=[*OK, ("x-bin", "\xff")])
    assert decoded.problems == []


def test_grpc_stream_as_triton_wraps_it():
    answers = [t.member(2, t.infer_response([Y], [bytes(16)])) for _ in range(3)]
    decoded = call("ModelStreamInfer", t.grpc(t.infer_request([X], [bytes(24)])), t.grpc(*answers))
    assert decoded.inference["streamed"] is True
    assert decoded.inference["delivered_chunks"] == 3
    assert decoded.usage["output_bytes"] == reported(48)


def test_grpc_stream_as_mlserver_sends_it():
    answers = [t.infer_response([Y]) for _ in range(2)]
    decoded = call("ModelStreamInfer", t.grpc(t.infer_request([X])), t.grpc(*answers))
    assert decoded.inference["model_answered"] == "iris"
    assert decoded.usage["output_tensors"] == reported(2)


def test_grpc_stream_error_message():
    decoded = call("ModelStreamInfer", t.grpc(t.infer_request([X])), t.grpc(t.member(1, "unexpected shape") + t.member(2, b"")))
    assert decoded.inference["error"] == {"message": "unexpected shape"}


def test_grpc_message_that_was_cut_is_not_counted():
    body = t.grpc(t.infer_request([X], [bytes(24)]))
    assert call("ModelInfer", body[:-1], b"", request_whole=False).usage == {}


def test_grpc_counts_of_a_cut_stream_are_unknown_and_those_of_one_message_are_not():
    asked, answer = t.grpc(t.infer_request([X], [bytes(24)])), t.grpc(t.infer_response([Y], [bytes(16)]))
    cut = {"request_whole": False, "response_whole": False}
    assert call("ModelStreamInfer", asked * 3 + asked[:20], answer * 3 + answer[:20], **cut).usage == {}
    one = {"input_tensors": 1, "input_bytes": 24, "rows": 2, "output_tensors": 1, "output_bytes": 16}
    assert values(call("ModelInfer", asked, answer, **cut).usage) == one


def test_grpc_bytes_that_are_no_message_are_a_problem_and_not_counted():
    for asked in (b"\x2a\x7fabc", t.infer_request([X]) + b"\x2a\x7fabc"):
        decoded = call("ModelInfer", t.grpc(asked), b"")
        assert decoded.problems[0].startswith("request body: not a protobuf message")
        assert decoded.usage == {}


@pytest.mark.parametrize(
    ("limits", "tensors", "messages", "problem"),
    [
        (Limits(messages=2), 2, 2, None),
        (Limits(messages=2), 2, 3, "more than 2 grpc messages: the rest is not read"),
        (Limits(tensors=2), 2, 2, None),
        (Limits(tensors=2), 3, 2, "response body: more than 2 tensors: the rest is not read"),
    ],
)
def test_grpc_counts_beyond_a_bound_are_unknown(limits, tensors, messages, problem):
    asked = t.grpc(t.infer_request([X], [bytes(24)]))
    answer = t.grpc(*[t.infer_response([Y] * tensors, [bytes(16)] * tensors)] * messages)
    known = {"request_headers": GRPC, "response_headers": GRPC, "response_trailers": OK}
    decoded = decode(t.exchange(SERVICE + "ModelStreamInfer", asked, answer, **known), limits)
    outputs = {} if problem else {"output_tensors": 4, "output_bytes": 64}
    assert values(decoded.usage) == {"input_tensors": 1, "input_bytes": 24, "rows": 2, **outputs}
    assert decoded.problems == ([problem] if problem else [])
    assert decoded.inference.get("delivered_chunks") == (None if problem else 2)


@pytest.mark.parametrize(("method", "operation"), [("ModelReady", "ready"), ("ModelMetadata", "metadata"), ("ServerLive", "live")])
def test_grpc_metadata_and_health(method, operation):
    inference = call(method, t.grpc(t.member(1, "iris")), t.grpc(b"\x08\x01")).inference
    assert inference["operation"] == operation
    assert inference.get("model_requested") == (None if operation == "live" else "iris")


def test_grpc_repository_load_names_its_model():
    assert call("RepositoryModelLoad", t.grpc(t.member(2, "iris")), t.grpc(b"")).inference["model_requested"] == "iris"


def test_as_many_tensors_as_the_limit_are_no_problem():
    asked = {"inputs": [{"name": str(i), "shape": [1], "datatype": "FP32"} for i in range(2)]}
    assert decode(t.exchange("/v2/models/m/infer", asked, {}), Limits(tensors=2)).problems == []


def test_v2_a_generate_event_without_text_is_no_content():
    events = [{"model_name": "llm", "text_output": ""}, {"model_name": "llm"}, {"text_output": "x"}]
    assert decode(t.streamed(events, "/v2/models/llm/generate_stream", {})).inference["delivered_chunks"] == 1


def test_v2_a_header_length_that_is_no_number_is_told():
    decoded = decode(t.exchange("/v2/models/m/infer", b"{}", {}, request_headers=[("inference-header-content-length", "x")]))
    assert decoded.problems == ["request body: inference-header-content-length is 'x', not a number of bytes"]
