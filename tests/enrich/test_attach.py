from __future__ import annotations

import pytest

from collector.enrich.attach import attach, logged_parts
from collector.enrich.match import Match
from tests.enrich.versions import version

OWN = Match("models", "llama", "InferenceService", "predictor", "node_labels")


def test_a_record_says_which_version_of_its_service_it_met() -> None:
    met = version(10, 7, labels={"app": "a"}, model={"format": "onnx"}, logger_mode="all", metadata_headers=("x-user",))
    assert attach(OWN, met) == {
        "namespace": "models",
        "name": "llama",
        "kind": "InferenceService",
        "component": "predictor",
        "uid": "uid-1",
        "resource_version": "7",
        "generation": 1,
        "annotations": {"revision": "7"},
        "labels": {"app": "a"},
        "model": {"format": "onnx"},
        "logger": {"mode": "all", "metadata_headers": ["x-user"]},
        "matched_by": "node_labels",
    }


def test_the_kind_comes_from_the_version_where_the_match_could_not_tell() -> None:
    found = attach(Match("models", "llama", None, "", "path"), version(kind="LLMInferenceService"))
    assert found["kind"] == "LLMInferenceService"
    assert "component" not in found


def test_a_service_that_was_not_known_at_that_time_has_only_what_the_proxy_said() -> None:
    found = attach(OWN, None)
    assert found.keys() == {"namespace", "name", "kind", "component", "reason", "matched_by"}
    assert "no version" in found["reason"]


def test_an_unmatched_exchange_says_so_and_why() -> None:
    assert attach(Match(reason="why"), None) == {"matched_by": "unmatched", "reason": "why"}


def test_a_records_mappings_are_its_own() -> None:
    met = version()
    attach(OWN, met)["annotations"]["revision"] = "changed"
    assert met.annotations == {"revision": "1"}


BOTH = {"request", "response"}


@pytest.mark.parametrize(
    ("mode", "honoured", "required"),
    [("request", {"request"}, {"request"}), ("response", {"response"}, {"response"}), ("all", BOTH, BOTH), (None, BOTH, set())],
)
def test_the_loggers_mode_says_which_bodies_are_wanted(mode: str | None, honoured: set[str], required: set[str]) -> None:
    assert logged_parts(version(logger_mode=mode), "honour") == honoured
    assert logged_parts(version(logger_mode=mode), "require") == required


def test_an_unknown_service_is_as_one_without_a_logger() -> None:
    assert logged_parts(None, "honour") == BOTH
    assert logged_parts(None, "require") == set()
    assert attach(Match(reason="why"), None, "require")["logger"] == {"left_out": ["request", "response"]}


def test_the_record_says_which_bodies_the_mode_leaves_out_only_where_it_is_honoured() -> None:
    asks = version(logger_mode="request", metadata_headers=("x-user",))
    assert attach(OWN, asks)["logger"] == {"mode": "request", "metadata_headers": ["x-user"]}
    assert attach(OWN, asks, "honour")["logger"] == {"mode": "request", "metadata_headers": ["x-user"], "left_out": ["response"]}
    assert "logger" not in attach(OWN, version(), "honour")
