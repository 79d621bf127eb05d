"""One version of an inference service: what was in force from a moment on.

A version never changes. It is made from a Kubernetes object by `resource`, kept by `catalogue`, stored by a
`VersionStore` and written into records by `attach`. Annotations and labels in it have already passed the allow-list:
nothing else of the object's metadata goes further than `resource`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from collector.messages.service import LoggerMode

INFERENCE_SERVICE = "InferenceService"
LLM_INFERENCE_SERVICE = "LLMInferenceService"


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """What one InferenceService or LLMInferenceService was from ``since_us`` on, until its next version.

    ``since_us`` is in microseconds since the epoch. ``resource_version`` is Kubernetes' and orders the versions of one
    ``uid``. A ``deleted`` version is a tombstone: from ``since_us`` on the service is no more.
    ``metadata_annotations`` and ``metadata_headers`` are what the service's own logger names.
    ``model`` holds ``name``, ``format``, ``runtime`` and ``storage_uri``, each only where the object says it.
    """

    namespace: str
    name: str
    kind: str
    uid: str
    resource_version: str
    generation: int
    since_us: int
    deleted: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    logger_mode: LoggerMode | None = None
    metadata_annotations: tuple[str, ...] = ()
    metadata_headers: tuple[str, ...] = ()
    model: Mapping[str, str] = field(default_factory=dict)

    @property
    def order(self) -> int:
        """The resource version as a number (Kubernetes compares them so since 1.35); 0 if it is none."""
        return int(self.resource_version) if self.resource_version.isascii() and self.resource_version.isdigit() else 0

    def says_the_same(self, other: ServiceVersion) -> bool:
        """Whether a record would read the same with either version, but for its resource version."""
        return replace(self, since_us=0, resource_version="") == replace(other, since_us=0, resource_version="")

    def tombstone(self, resource_version: str, since_us: int) -> ServiceVersion:
        """The end of this service: nothing of its annotations, labels or model is kept in it."""
        return ServiceVersion(
            namespace=self.namespace,
            name=self.name,
            kind=self.kind,
            uid=self.uid,
            resource_version=resource_version,
            generation=self.generation,
            since_us=since_us,
            deleted=True,
        )
