from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.resource import (
    WATCH_DELAY_US,
    changed_us,
    fingerprint,
    in_force_from,
    time_us,
    version_of,
    without_secrets,
)
from collector.enrich.selection import Rules, Selection
from collector.errors import BadInputError
from tests.enrich.versions import SECOND

ALL = Selection(annotations=Rules.parse(["team"]), labels=Rules.parse(["app"]))
AT = time_us("2026-11-22T10:00:00Z") or 0


def service(spec: Any = None, **metadata: Any) -> dict[str, Any]:
    facts = {"name": "llama", "namespace": "models", "uid": "u-1", "resourceVersion": "7", "generation": 3}
    return {"metadata": facts | metadata, "spec": spec}


def test_a_service_is_read_as_kserve_writes_it() -> None:
    spec = {
        "predictor": {
            "model": {
                "modelFormat": {"name": "huggingface", "version": "1"},
                "runtime": "vllm",
                "storageUri": "hf://meta/llama",
                "args": ["--model_name=llama-3", "--dtype=half"],
            },
            "logger": {"mode": "response", "metadataHeaders": ["X-User"], "metadataAnnotations": ["cost"]},
        }
    }
    annotations = {"team": "red", "cost": "42", "other": "x"}
    found = version_of(service(spec, annotations=annotations, labels={"app": "a", "b": "c"}), "InferenceService", AT, ALL)
    assert (found.namespace, found.name, found.uid, found.resource_version) == ("models", "llama", "u-1", "7")
    assert (found.generation, found.since_us) == (3, AT)
    assert found.annotations == {"team": "red", "cost": "42"}
    assert found.labels == {"app": "a"}
    assert (found.logger_mode, found.metadata_headers) == ("response", ("x-user",))
    assert found.model == {
        "name": "llama-3",
        "format": "huggingface",
        "runtime": "vllm",
        "storage_uri": "hf://meta/llama",
    }


def test_the_older_form_of_a_predictor_names_its_format_by_its_key() -> None:
    found = version_of(service({"predictor": {"sklearn": {"storageUri": "gs://b/iris"}}}), "InferenceService", AT, ALL)
    assert found.model == {"format": "sklearn", "storage_uri": "gs://b/iris"}


def test_a_runtime_that_kserve_chose_is_read_from_the_status() -> None:
    item = service({"predictor": {"model": {"modelFormat": {"name": "onnx"}}}}) | {
        "status": {"clusterServingRuntimeName": "kserve-tritonserver"}
    }
    assert version_of(item, "InferenceService", AT, ALL).model["runtime"] == "kserve-tritonserver"


def test_an_llm_service_serves_its_model_under_its_own_name_unless_told() -> None:
    spec = {"model": {"uri": "hf://meta/llama"}}
    assert version_of(service(spec), "LLMInferenceService", AT, ALL).model["name"] == "llama"
    spec["model"]["name"] = "meta/llama-3"
    assert version_of(service(spec), "LLMInferenceService", AT, ALL).model["name"] == "meta/llama-3"


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://user:pw@host/m.tar?X-Amz-Signature=s#f", "https://host/m.tar"),
        ("pvc://claim/path", "pvc://claim/path"),
        ("s3://bucket/model", "s3://bucket/model"),
        (None, None),
        ("http://[", None),
    ],
)
def test_secrets_in_a_storage_uri_are_left_out(uri: str | None, kept: str | None) -> None:
    assert without_secrets(uri) == kept


@pytest.mark.parametrize("missing", ["uid", "name", "namespace"])
def test_an_object_without_identity_is_refused(missing: str) -> None:
    item = service()
    del item["metadata"][missing]
    with pytest.raises(BadInputError, match="without metadata"):
        version_of(item, "InferenceService", AT, ALL)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["mode", "metadataHeaders", "metadataAnnotations"]), JUNK), JUNK, JUNK, JUNK)
def test_fields_of_wrong_types_are_absent_and_nothing_else_is_lost(spec: Any, annotations: Any, fields: Any, args: Any) -> None:
    item = service({"predictor": {"logger": spec, "model": {"args": args}}}, annotations=annotations, managedFields=fields)
    found = version_of(item, "InferenceService", AT, ALL)
    assert found.uid == "u-1"
    changed_us(item["metadata"])
    fingerprint(item)


def marks(*entries: tuple[str, str]) -> dict[str, Any]:
    return {
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "managedFields": [{"time": time, "subresource": sub} if sub else {"time": time} for time, sub in entries],
    }


def test_the_last_change_is_the_newest_mark_that_is_not_of_the_status() -> None:
    found = changed_us(marks(("2026-11-22T10:00:05Z", ""), ("2026-11-22T10:00:03Z", ""), ("2026-11-22T10:09:00Z", "status")))
    assert found == AT + 5 * SECOND


def test_without_marks_the_creation_counts_and_without_that_nothing() -> None:
    assert changed_us(marks()) == AT
    assert changed_us({}) is None
    assert changed_us({"managedFields": [{"time": "yesterday"}, None, {"time": 5}]}) is None


def test_a_first_seen_service_counts_from_its_mark() -> None:
    assert in_force_from(AT, AT + 900 * SECOND, None, None) == AT


def test_a_change_seen_as_it_happens_counts_from_just_before_it_was_seen() -> None:
    seen = AT + 700_000
    assert in_force_from(AT, seen, AT - 60 * SECOND, AT - 60 * SECOND) == seen - WATCH_DELAY_US
    assert in_force_from(AT, AT + 10_000, AT - 60 * SECOND, AT - 60 * SECOND) == AT


def test_a_change_seen_late_counts_from_its_mark() -> None:
    assert in_force_from(AT, AT + 30 * SECOND, AT - 60 * SECOND, AT - 60 * SECOND) == AT


def test_a_second_change_in_the_same_second_does_not_count_before_the_first() -> None:
    first = AT + 400_000
    assert in_force_from(AT, AT + 500_000, first, AT) == AT + 500_000 - WATCH_DELAY_US
    assert in_force_from(AT, AT + 420_000, first, AT) == first


def test_a_change_that_left_no_newer_mark_counts_from_when_it_was_seen() -> None:
    """As when the only annotation that a manager owned is removed: its mark vanishes with it."""
    seen = AT + 300 * SECOND
    assert in_force_from(AT, seen, AT, AT) == seen - WATCH_DELAY_US
    assert in_force_from(None, seen, AT, None) == seen - WATCH_DELAY_US


def test_a_server_whose_clock_is_ahead_does_not_put_a_change_into_the_future() -> None:
    assert in_force_from(AT + 60 * SECOND, AT, None, None) == AT - WATCH_DELAY_US


def test_after_a_restart_the_stored_time_stands_in_for_the_mark() -> None:
    assert in_force_from(AT + SECOND, AT + 900 * SECOND, AT + 500_000, None) == AT + SECOND


@given(*[st.integers(0, 10**6)] * 2, st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_a_version_never_counts_from_before_the_previous_one(mark: int, seen: int, previous: int | None, previous_mark: int | None) -> None:
    found = in_force_from(mark, seen, previous, previous_mark)
    assert found >= (previous or 0)
    assert found <= max(seen, previous or 0, 0)


def test_a_change_of_the_status_has_the_same_fingerprint_and_any_other_a_new_one() -> None:
    base = service({"predictor": {}}, annotations={"a": "1"}, resourceVersion="1")
    same = service({"predictor": {}}, annotations={"a": "1"}, resourceVersion="2") | {"status": {"url": "u"}}
    assert fingerprint(base) == fingerprint(same)
    others = (
        service({"predictor": {}}, annotations={"a": "2"}),
        service({"predictor": {"minReplicas": 1}}, annotations={"a": "1"}),
        service({"predictor": {}}, annotations={"a": "1"}, labels={"l": "1"}),
        service({"predictor": {}}, annotations={"a": "1"}) | {"status": {"servingRuntimeName": "r"}},
    )
    assert all(fingerprint(other) != fingerprint(base) for other in others)


def test_a_change_seen_just_behind_its_second_does_not_count_from_the_seconds_begin() -> None:
    """Made at 10.99 s, noted as 10, seen at 11.001: requests that began at 10.2 met the version before."""
    assert in_force_from(10_000_000, 11_001_000, 5_000_000, 5_000_000) == 10_951_000
