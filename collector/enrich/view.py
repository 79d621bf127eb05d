"""What the catalogue holds and how old it is, as JSON for ``GET /v1/services`` and ``meshscribe services``. Pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import cast

from collector.enrich.catalogue import Catalogue
from collector.enrich.status import Freshness, WatchedKind, WatchStatus
from collector.enrich.version import ServiceVersion
from collector.messages.service import KnownService, ServiceModel


def services_view(
    catalogue: Catalogue,
    namespaces: frozenset[str] | None = None,
    behind: tuple[str, str, str] = ("", "", ""),
    limit: int | None = None,
) -> list[KnownService]:
    """The newest version of every service that has not ended, by (namespace, name, kind); of ``namespaces`` only, where
    the reader may not see all. At most ``limit`` of them, ``behind`` this key.
    """
    wanted = (
        version
        for version in catalogue.services()
        if (namespaces is None or version.namespace in namespaces) and (version.namespace, version.name, version.kind) > behind
    )
    return [
        {**version_view(version), "versions": len(catalogue.versions(version.namespace, version.name))} for version in islice(wanted, limit)
    ]


def versions_view(catalogue: Catalogue, namespace: str, name: str) -> list[KnownService]:
    """All kept versions of one service, oldest first; empty if there is no such service."""
    return [version_view(version) for version in catalogue.versions(namespace, name)]


def version_view(version: ServiceVersion) -> KnownService:
    """One version; ``since`` is an RFC 3339 time, absent for a version that counts from ever."""
    view: KnownService = {
        "namespace": version.namespace,
        "name": version.name,
        "kind": version.kind,
        "uid": version.uid,
        "resource_version": version.resource_version,
        "generation": version.generation,
    }
    if version.since_us:
        view["since"] = _time(version.since_us)
    if version.deleted:
        view["deleted"] = True
        return view
    view["annotations"] = dict(version.annotations)
    view["labels"] = dict(version.labels)
    view["model"] = cast(ServiceModel, dict(version.model))
    if version.logger_mode is not None:
        view["logger_mode"] = version.logger_mode
    if version.metadata_headers:
        view["metadata_headers"] = list(version.metadata_headers)
    return view


def watch_view(status: WatchStatus, now_us: int) -> Freshness:
    """How fresh the catalogue is: ``age_s`` is the time since the API server last told anything, absent if it never
    did.
    """
    view: Freshness = {"alive": status.alive, "synced": status.synced, "requests": status.requests}
    if status.detail:
        view["detail"] = status.detail
    if status.last_heard_us is not None:
        view["age_s"] = round(max(now_us - status.last_heard_us, 0) / 1e6, 3)
    each = (asdict(reflector) for reflector in status.reflectors)
    view["watches"] = [cast(WatchedKind, {key: value for key, value in figures.items() if value not in (None, "")}) for figures in each]
    return view


def _time(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    return moment.isoformat().replace("+00:00", "Z")
