"""Services: what is known of each now, and how it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from fastapi import Request, Response

from collector.audit.documents import KnownServices
from collector.enrich.status import Freshness
from collector.messages.service import KnownService, ServiceCalls
from collector.page import words
from collector.page.render import Pages, link
from collector.views.api import Api, RefusedError
from collector.views.view import frame

LIMIT = 100
_NOT_SHOWN = ("uid", "resource_version", "since", "namespace", "name", "versions", "generation", "deleted")


class Version(NamedTuple):
    """A version, and what it changed."""

    since: str
    version: str
    changes: list[str]


async def show(request: Request, api: Api, pages: Pages) -> Response:
    """The list."""
    view = await frame("Services", request, api)
    try:
        found = await api.get(KnownServices, "/v1/services", {"limit": LIMIT, "cursor": request.query_params.get("cursor")})
    except RefusedError as error:
        if error.status != 404:
            raise
        return pages.answer("services.html", {"view": view, "rows": [], "freshness": "", "nothing": str(error)})
    rows = [{**one, **_hrefs(one), **_without(one.get("calls"))} for one in found["items"]]
    older = link("/services", cursor=found.get("next")) if found.get("next") else ""
    nothing = "Set services.source, or apply an InferenceService: the collector watches for them."
    return pages.answer(
        "services.html", {"view": view, "rows": rows, "freshness": freshness(found.get("watch")), "older": older, "nothing": nothing}
    )


def _hrefs(one: KnownService) -> dict[str, str]:
    return {
        "href": link("/", {"namespace": one["namespace"], "service": one["name"]}),
        "versions_href": f"/services/{one['namespace']}/{one['name']}",
    }


def _without(calls: ServiceCalls | None) -> dict[str, str]:
    """How many of its calls tell no usage, and why."""
    if calls is None:
        return {"without": words.NONE, "without_why": ""}
    reasons = calls.get("without_usage", {})
    why = "; ".join(f"{words.ABSENCES.get(name, name)}: {count:,}" for name, count in reasons.items())
    return {"without": words.share(sum(reasons.values()), calls["billed"]), "without_why": why}


def freshness(watch: Freshness | None) -> str:
    """Whether one may rely on the list."""
    if watch is None:
        return "Nothing is watched (setting services.source): this is what the store holds."
    if not watch.get("alive") or not watch.get("synced"):
        return f"The watch does not work now: {watch.get('detail', 'it has not been listed yet')}. This is what was known before."
    return "Watched: changes appear here within seconds."


async def show_one(request: Request, api: Api, pages: Pages, namespace: str, name: str) -> Response:
    """One service's versions, the newest first. Raises RefusedError."""
    view, found = await asyncio.gather(frame("Services", request, api), api.get(KnownServices, f"/v1/services/{namespace}/{name}/versions"))
    exchanges = link("/", {"namespace": namespace, "service": name})
    return pages.answer(
        "service.html", {"view": view, "namespace": namespace, "name": name, "versions": versions(found["items"]), "exchanges": exchanges}
    )


def versions(items: list[KnownService]) -> list[Version]:
    """Each version with what it changed, the newest first."""
    before: Mapping[str, str] = {}
    found = []
    for item in items:
        now = _flat(item)
        found.append(Version(item.get("since", ""), item.get("resource_version", "–"), _changes(before, now, item)))
        before = now
    return found[::-1]


def _flat(item: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """All values by their path."""
    flat: dict[str, str] = {}
    for name, value in item.items():
        if not prefix and name in _NOT_SHOWN:
            continue
        flat |= _flat(value, f"{prefix}{name} ") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


def _changes(before: Mapping[str, str], now: Mapping[str, str], item: KnownService) -> list[str]:
    if item.get("deleted"):
        return ["the service was deleted"]
    changed = [f"{name}: {before[name]} → {value}" for name, value in now.items() if name in before and before[name] != value]
    added = [f"{name}: {value}" for name, value in now.items() if name not in before]
    return [*changed, *added, *(f"{name}: gone (was {before[name]})" for name in before if name not in now)]
