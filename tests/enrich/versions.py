"""Versions for tests."""

from __future__ import annotations

from typing import Any

from collector.enrich.version import ServiceVersion

SECOND = 1_000_000


def version(since_us: int = 0, revision: int = 1, **more: Any) -> ServiceVersion:
    facts: dict[str, Any] = {
        "namespace": "models",
        "name": "llama",
        "kind": "InferenceService",
        "uid": "uid-1",
        "resource_version": str(revision),
        "generation": 1,
        "since_us": since_us,
        "annotations": {"revision": str(revision)},
    }
    return ServiceVersion(**(facts | more))


def tombstone(since_us: int, revision: int, **more: Any) -> ServiceVersion:
    return version(since_us, revision, deleted=True, annotations={}, **more)
