"""Batches are free when they are asked for, and tell what they used at their end alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import decode
from collector.describe.hops import FREE
from tests.decode import transcripts as t
from tests.decode.corpus import BATCH, CORPUS, RESULTS_PATH, VIDEO, batch_result

JSONL = [("content-type", "application/x-jsonl")]


def told(usage):
    return {name: number["value"] for name, number in usage.items() if name != "other"}


@pytest.mark.parametrize(
    "path", ["/v1/batches/batch_1", "/openai/batches/batch_1", "/openai/v1/batches/batch_1?x=1", "/proxy/v1/batches/b"]
)
@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_the_object_of_a_batch_that_is_over_tells_what_it_used(path, status):
    decoded = decode(t.get(path, BATCH | {"status": status}))
    assert decoded.inference == {
        "protocol": "openai-batches", "operation": "retrieve", "background": True, "id": "batch_1", "model_answered": "gpt-5",
    }  # fmt: skip
    assert told(decoded.usage) == {
        "prompt_tokens": 30, "cached_tokens": 10, "completion_tokens": 12, "reasoning_tokens": 2, "total_tokens": 42,
    }  # fmt: skip
    assert decoded.classes == {"input_uncached": 20, "input_cached": 10, "output": 10, "reasoning": 2}
    assert (decoded.created, decoded.problems, decoded.untold) == (1_790_000_000, [], None)


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", None])
def test_before_its_end_it_tells_none(status):
    assert decode(t.get("/v1/batches/batch_1", BATCH | {"status": status})).usage == {}


@pytest.mark.parametrize("captured", [
    t.get("/v1/batches", {"object": "list", "data": [BATCH], "first_id": "b", "has_more": False}),
    t.get("/v1/files", {"object": "list", "data": [{"usage": BATCH["usage"]}], "has_more": False}),
    t.get("/v1/files/file-1/content", t.lines([{"custom_id": "1", "response": {"body": {"usage": BATCH["usage"]}}}] * 2)),
    t.exchange("/v1/files", b"--b", {"id": "file-1", "object": "file", "purpose": "batch", "usage": BATCH["usage"]}),
    t.exchange("/v1/batches", {"input_file_id": "f", "endpoint": "/v1/responses"}, BATCH | {"status": "validating", "usage": None}),
    t.get("/v1/messages/batches", {"data": [{"usage": BATCH["usage"]}], "has_more": False}),
    t.get("/v1/messages/batches/b", {"id": "b", "type": "message_batch", "processing_status": "ended", "usage": BATCH["usage"]}),
    t.exchange("/v1/messages/batches", {"requests": []}, {"id": "b", "type": "message_batch", "processing_status": "in_progress"}),
    t.exchange("/v1/messages/batches/b/cancel", None, {"id": "b", "type": "message_batch"}),
], ids=lambda captured: f"{captured.method} {captured.path}")  # fmt: skip
def test_whatever_else_is_asked_of_them_is_free(captured):
    decoded = decode(captured)
    assert decoded.inference["operation"] in FREE
    assert (decoded.usage, decoded.untold) == ({}, None)


def test_what_failed_says_why():
    errors = {"object": "list", "data": [{"code": "invalid_json_line", "message": "no JSON", "line": 3, "param": None}]}
    decoded = decode(t.get("/v1/batches/b", BATCH | {"status": "failed", "errors": errors, "usage": None}))
    assert decoded.inference["error"] == {"message": "no JSON", "code": "invalid_json_line"}


@pytest.mark.parametrize(("path", "answer"), [
    ("/v1/batches", {"batches": [1]}), ("/v1/batches/7", {"id": 7, "flour": "kg"}), ("/v1/files", {"files": []}),
    ("/v1/files/7", {"name": "a.txt"}), ("/v1/files/7/content", b"hello"),
])  # fmt: skip
def test_other_services_have_batches_and_files_too(path, answer):
    assert decode(t.get(path, answer)).inference == {"protocol": "unknown"}


def test_results_are_added_up():
    decoded = decode(CORPUS["batch results"])
    assert decoded.inference == {
        "protocol": "anthropic-batches", "operation": "results", "background": True, "id": "msgbatch_1", "model_answered": "claude",
        "service_tier": "batch",
    }  # fmt: skip
    assert told(decoded.usage) == {"prompt_tokens": 14, "completion_tokens": 10, "cached_tokens": 3}
    assert decoded.classes == {"input_uncached": 14, "input_cached": 3, "output": 10}
    assert decoded.problems == []


usages = st.fixed_dictionaries({"input_tokens": st.integers(0, 10**6), "output_tokens": st.integers(0, 10**6)})


@given(st.lists(st.none() | usages, min_size=1, max_size=30))
def test_each_line_counts_once(lines):
    body = t.lines(batch_result(n, usage, "succeeded" if usage else "errored") for n, usage in enumerate(lines))
    due = Counter()
    for usage in filter(None, lines):
        due.update(prompt_tokens=usage["input_tokens"], completion_tokens=usage["output_tokens"])
    assert told(decode(t.get(RESULTS_PATH, body, response_headers=JSONL)).usage) == due


def test_more_lines_than_are_kept_apart_are_added_up_all_the_same():
    body = t.lines(batch_result(n, {"input_tokens": 2, "output_tokens": 1}) for n in range(5000))
    assert told(decode(t.get(RESULTS_PATH, body, response_headers=JSONL)).usage) == {"prompt_tokens": 10_000, "completion_tokens": 5000}


@pytest.mark.parametrize("spoil", [
    lambda captured: structs.replace(captured, response_whole=False, response_unseen=True),
    lambda captured: structs.replace(captured, response_body=captured.response_body.replace(b"{", b"", 1) + b"{}\n"),
], ids=["cut", "a line that is no JSON"])  # fmt: skip
def test_of_results_of_which_a_line_is_missing_nothing_is_told(spoil):
    decoded = decode(spoil(CORPUS["batch results"]))
    assert (decoded.usage, decoded.classes) == ({}, {})
    assert any("of the batch" in problem for problem in decoded.problems)


def test_the_seconds_of_a_video_count_once_it_is_made():
    decoded = decode(t.get("/v1/videos/video_1", VIDEO))
    assert decoded.inference == {
        "protocol": "openai-videos", "operation": "retrieve", "background": True, "id": "video_1", "model_answered": "sora-2",
    }  # fmt: skip
    assert told(decoded.usage) == {"video_seconds": 8}
    begun = decode(t.exchange("/v1/videos", {"model": "sora-2", "prompt": "x"}, VIDEO | {"status": "queued", "progress": 0}))
    assert (begun.inference["operation"], begun.usage, begun.untold) == ("create", {}, None)


@pytest.mark.parametrize("seconds", ["", "8.5s", "-1", "9" * 20, None, [8]])
def test_a_length_that_is_none_is_not_told(seconds):
    assert decode(t.get("/v1/videos/video_1", VIDEO | {"seconds": seconds})).usage == {}


def test_other_services_have_videos_too():
    assert decode(t.get("/v1/videos/7", {"id": 7, "url": "x"})).inference == {"protocol": "unknown"}


def test_results_that_are_refused_are_an_error():
    error = {"type": "error", "error": {"type": "not_found_error", "message": "no results yet"}}
    decoded = decode(t.get(RESULTS_PATH, error, status=404))
    assert decoded.inference["error"] == {"type": "not_found_error", "message": "no results yet"}
    assert "background" not in decoded.inference
