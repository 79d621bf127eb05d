"""How a version is written down: the JSON that both stores keep beside its identity. Pure.

What a newer program added and what an older one left out is absent; nothing else is lost with it.
"""

from __future__ import annotations

from typing import Any

import orjson

from collector.enrich.version import ServiceVersion
from collector.errors import DamagedError


def data_of(version: ServiceVersion) -> bytes:
    """All but the identity (namespace, name, kind, uid, resource version, deleted) and the times, as JSON."""
    data = {
        "generation": version.generation,
        "annotations": dict(version.annotations),
        "labels": dict(version.labels),
        "model": dict(version.model),
        "metadata_annotations": list(version.metadata_annotations),
        "metadata_headers": list(version.metadata_headers),
        "logger_mode": version.logger_mode,
    }
    return orjson.dumps(data)


def version_from(data: bytes, **identity: Any) -> ServiceVersion:
    """The version of `data_of`; ``identity`` are the other fields of `ServiceVersion`. Raises `DamagedError`."""
    try:
        told = orjson.loads(data)
        return ServiceVersion(
            generation=identity.pop("generation", told.get("generation", 0)),
            annotations=told["annotations"],
            labels=told["labels"],
            model=told["model"],
            metadata_annotations=tuple(told.get("metadata_annotations", ())),
            metadata_headers=tuple(told["metadata_headers"]),
            logger_mode=told["logger_mode"],
            **identity,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"a stored version of {identity.get('namespace')}/{identity.get('name')} cannot be read: {error!r}") from error
