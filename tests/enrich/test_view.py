from __future__ import annotations

from collector.enrich.catalogue import Catalogue
from collector.enrich.status import ReflectorStatus, WatchStatus
from collector.enrich.view import services_view, versions_view, watch_view
from tests.enrich.versions import SECOND, tombstone, version


def catalogue() -> Catalogue:
    made = Catalogue()
    made.apply(version(1_795_341_600 * SECOND + 500, 1, logger_mode="all", metadata_headers=("x-user",)))
    made.apply(version(0, 1, namespace="lab", name="iris", uid="uid-2"))
    made.apply(tombstone(1_795_341_700 * SECOND, 2, namespace="lab", name="gone", uid="uid-3"))
    return made


def test_services_in_force_are_shown_with_the_number_of_their_versions() -> None:
    iris, llama = services_view(catalogue())
    assert "since" not in iris
    assert llama == {
        "namespace": "models",
        "name": "llama",
        "kind": "InferenceService",
        "uid": "uid-1",
        "resource_version": "1",
        "generation": 1,
        "since": "2026-11-22T10:00:00.000500Z",
        "annotations": {"revision": "1"},
        "labels": {},
        "model": {},
        "logger_mode": "all",
        "metadata_headers": ["x-user"],
        "versions": 1,
    }


def test_a_reader_of_some_namespaces_sees_only_those() -> None:
    assert [view["namespace"] for view in services_view(catalogue(), frozenset({"lab"}))] == ["lab"]


def test_versions_show_deletions() -> None:
    (gone,) = versions_view(catalogue(), "lab", "gone")
    assert gone["deleted"] is True
    assert versions_view(catalogue(), "lab", "nobody") == []


def test_the_watch_says_how_old_its_knowledge_is() -> None:
    status = WatchStatus(True, True, "", 10 * SECOND, 5, (ReflectorStatus("InferenceService", "", events=3),))
    view = watch_view(status, 12 * SECOND)
    assert view["age_s"] == 2.0
    assert view["watches"][0]["events"] == 3
    assert "detail" not in view
