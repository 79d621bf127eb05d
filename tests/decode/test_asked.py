"""What was asked is not what was done: request-side counts belong to an answer that succeeded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.messages.captured import Captured
from collector.messages.usage import ASKED
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS
from tests.decode.test_usage import reported

PICTURE = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}
TENSOR = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3, 4], "data": []}]}
CALLS: dict[str, tuple[str, Any, dict[str, int]]] = {
    "embeddings": ("/v1/embeddings", {"input": ["a", "b", "c"]}, {"rows": 3}),
    "rerank": ("/rerank", {"documents": ["a", "b"]}, {"rows": 2}),
    "predict": ("/v1/models/iris:predict", {"instances": [[1], [2], [3]]}, {"rows": 3}),
    "infer": ("/v2/models/iris/infer", TENSOR, {"input_tensors": 1, "input_bytes": 48, "rows": 3}),
    "speech": ("/v1/audio/speech", {"input": "hello"}, {"input_characters": 5}),
    "chat": (t.CHAT, PICTURE, {"images": 1}),
}
GRPC = [name for name, captured in CORPUS.items() if "grpc" in name and captured.path.endswith("ModelInfer")]


def call(name: str, answer: Any, status: int | None) -> Any:
    path, asked, _ = CALLS[name]
    return decode(t.exchange(path, asked, answer, status=status)).usage


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", [307, 400, 429, 500, 503])
def test_a_call_that_was_not_answered_has_asked_for_it(name: str, status: int) -> None:
    assert call(name, {"error": {"message": "no"}}, status) == {f"asked_{key}": reported(n) for key, n in CALLS[name][2].items()}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_succeeded_has_it(name: str) -> None:
    answer = b"RIFF" if name == "speech" else {"data": [], "results": [], "outputs": [], "predictions": [], "choices": []}
    usage = call(name, answer, 200)
    assert {key: usage[key] for key in CALLS[name][2]} == {key: reported(n) for key, n in CALLS[name][2].items()}
    assert not ASKED & usage.keys()


@pytest.mark.parametrize("name", CALLS)
def test_an_error_with_status_200_is_no_success(name: str) -> None:
    assert call(name, {"error": {"message": "no"}}, 200).keys() <= ASKED


INFERRED = {"model_name": "m", "outputs": TENSOR["inputs"]}
SPEECH = {"type": "speech.audio.delta", "audio": "AAAA"}
STREAMS: list[tuple[str, Any, Any, dict[str, int]]] = [
    ("/v2/models/m/infer_stream", TENSOR, INFERRED, CALLS["infer"][2]),
    ("/v1/models/m:predict", {"instances": [[1], [2]]}, {"predictions": [1]}, {"rows": 2}),
    ("/v1/audio/speech", {"input": "hello"}, SPEECH, {"input_characters": 5}),
    (t.CHAT, PICTURE, t.delta({"content": "a"}), {"images": 1}),
]


@pytest.mark.parametrize(("path", "asked", "part", "counts"), STREAMS)
@pytest.mark.parametrize("parts", [0, 3])
def test_a_stream_succeeded_if_a_part_of_it_came_before_an_error(
    path: str, asked: Any, part: Any, counts: dict[str, int], parts: int
) -> None:
    decoded = decode(t.streamed([*[part] * parts, {"error": {"message": "last failed"}}], path, asked, done=False))
    assert decoded.inference["error"] == {"message": "last failed"}
    found = {key: number["value"] for key, number in decoded.usage.items() if not key.startswith("output_")}
    assert found == (counts if parts else {f"asked_{key}": count for key, count in counts.items()})


@pytest.mark.parametrize("name", CALLS)
def test_without_a_status_and_an_answer_nothing_is_known_to_be_done(name: str) -> None:
    assert call(name, b"", None).keys() <= ASKED


@pytest.mark.parametrize("name", GRPC)
def test_grpc_tells_by_its_own_status(name: str) -> None:
    captured: Captured = CORPUS[name]
    failed = t.structs.replace(captured, response_body=b"", response_trailers=[("grpc-status", "14"), ("grpc-message", "gone")])
    assert "rows" in decode(captured).usage
    assert decode(failed).usage.keys() <= ASKED


@given(st.sampled_from(sorted(CALLS)), st.integers(100, 599) | st.none(), st.binary(max_size=20) | st.just({"error": "x"}))
def test_a_count_is_asked_for_or_done_and_never_both(name: str, status: int | None, answer: Any) -> None:
    usage = call(name, answer, status)
    done = {key for key in CALLS[name][2] if key in usage}
    asked = {key for key in CALLS[name][2] if f"asked_{key}" in usage}
    assert done ^ asked == set(CALLS[name][2])
    assert not (done and asked)
    assert not done or status is None or 200 <= status < 300
