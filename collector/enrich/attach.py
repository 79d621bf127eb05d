"""Makes a record's ``service`` from a match and the version that was in force when the request began. Pure.

The result is the ``service`` object of the record's format: absent means not known. It goes to `describe` with the
record.
"""

from __future__ import annotations

from typing import cast

from collector.enrich.match import Match
from collector.enrich.version import ServiceVersion
from collector.messages.service import Service, ServiceLogger, ServiceModel, Side

BODIES: frozenset[Side] = frozenset({"request", "response"})


def attach(match: Match, version: ServiceVersion | None, logger_mode: str = "ignore") -> Service:
    """The record's ``service``.

    Without a match it holds ``matched_by: unmatched`` and the reason. With a match but no version (the service was not
    known at that time) it holds what the proxy itself said. ``logger_mode`` is the setting ``services.logger_mode``.
    """
    service = _service(match, version)
    if logger_mode != "ignore":
        left_out = sorted(BODIES - logged_parts(version, logger_mode))
        if left_out:
            service.setdefault("logger", {})["left_out"] = left_out
    return service


def _service(match: Match, version: ServiceVersion | None) -> Service:
    if not match.matched:
        return {"matched_by": match.matched_by, "reason": match.reason}
    service: Service = {"namespace": match.namespace, "name": match.name}
    kind = match.kind or (version.kind if version is not None else None)
    if kind:
        service["kind"] = kind
    if match.component:
        service["component"] = match.component
    if version is None:
        service["reason"] = "no version of this service is known for the time at which the request began"
    else:
        _add_version(service, version)
    service["matched_by"] = match.matched_by
    return service


def _add_version(service: Service, version: ServiceVersion) -> None:
    service["uid"] = version.uid
    service["resource_version"] = version.resource_version
    service["generation"] = version.generation
    service["annotations"] = dict(version.annotations)
    service["labels"] = dict(version.labels)
    if version.model:
        service["model"] = cast(ServiceModel, dict(version.model))
    if version.logger_mode is not None or version.metadata_headers:
        logger: ServiceLogger = {}
        service["logger"] = logger
        if version.logger_mode is not None:
            logger["mode"] = version.logger_mode
        if version.metadata_headers:
            logger["metadata_headers"] = list(version.metadata_headers)


def logged_parts(version: ServiceVersion | None, logger_mode: str) -> frozenset[Side]:
    """Which of ``request`` and ``response`` may be stored as bodies, where `services.logger_mode` is ``honour`` or ``require``.

    A logger without a mode wants both, as KServe has it. Where no logger is known (none is set, the service or its
    version is unknown) ``honour`` gives both and ``require`` none.
    """
    mode = version.logger_mode if version is not None else None
    if mode is None:
        return frozenset() if logger_mode == "require" else BODIES
    return BODIES if mode == "all" else frozenset({mode})
