"""GET /v1/services and /v1/services/{namespace}/{name}/versions: what the catalogue of services holds, and how old that is."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Protocol

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Reach, Right
from collector.audit import documents
from collector.audit.asking import asked
from collector.audit.cursors import Cursor
from collector.audit.looking import reach, saw
from collector.audit.pages import answer
from collector.audit.parameters import Nothing, Services
from collector.audit.problems import BadParametersError, Fault, NotFoundError
from collector.audit.service_calls import with_calls
from collector.clock import Clock
from collector.enrich.status import Freshness
from collector.messages.service import KnownService
from collector.settings import Audit

_NAMED = 10
_NO_CATALOGUE = "This process keeps no catalogue of services: ask one that enriches."


class Known(Protocol):
    """The catalogue of services, as far as the API needs it. All of it answers from memory."""

    def services(self, namespace: str | None, behind: tuple[str, str, str], limit: int | None) -> list[KnownService]:
        """The newest version of each service that has not ended, by (namespace, name, kind), behind that key."""

    def versions(self, namespace: str, name: str) -> list[KnownService]:
        """All that is known of one service, oldest first; empty if there is no such."""

    def watch(self) -> Freshness | None:
        """How fresh that is; None: nothing is watched."""


def router(known: Known | None, engine: AsyncEngine, settings: Audit, clock: Clock) -> APIRouter:
    """The routes of services. Without a catalogue they say so."""
    routes = APIRouter(tags=["services"])

    @routes.get("/v1/services", responses=documents.SERVICES, summary="Services that are known now")
    async def list_services(request: Request, query: Services) -> Response:
        """The newest version of every service that has not ended, with its calls of late, and how fresh that is."""
        covered = reach(request, Right.SERVICES)
        page = asked(request, query, settings, covered)
        found = _within(_held(known), covered, query.namespace, _key(page.cursor), page.limit + 1)
        items, more = found[: page.limit], len(found) > page.limit
        following = page.next("/".join(_key_of(items[-1])) if more else None)
        saw(request, "services", len(items))
        told = await with_calls(engine, items, clock.now_us())
        return answer([msgspec.json.encode(item) for item in told], watch=_fresh(_held(known), covered), next=following)

    @routes.get("/v1/services/{namespace}/{name}/versions", responses=documents.VERSIONS, summary="What a service was, and since when")
    async def list_versions(request: Request, namespace: str, name: str, query: Nothing) -> Response:
        """Every version that is kept, oldest first, also of services that have ended."""
        del query
        covered = reach(request, Right.SERVICES)
        held = _held(known)
        found = held.versions(namespace, name) if covered.everything or namespace in covered.namespaces else []
        if not found:
            raise NotFoundError(_missing(held, covered, namespace, name))
        saw(request, "service", len(found))
        return answer([msgspec.json.encode(item) for item in found], watch=_fresh(held, covered))

    return routes


def _within(known: Known, reach: Reach, namespace: str | None, behind: tuple[str, str, str], limit: int | None) -> list[KnownService]:
    """Those within the reach, by (namespace, name, kind)."""
    if reach.everything:
        return known.services(namespace, behind, limit)
    found: list[KnownService] = []
    for one in sorted(reach.namespaces & {namespace} if namespace is not None else reach.namespaces):
        if one >= behind[0] and (limit is None or len(found) < limit):
            found += known.services(one, behind, None if limit is None else limit - len(found))
    return found


def _fresh(known: Known, reach: Reach) -> Freshness | None:
    """How fresh that is; the figures of the watch are of all namespaces together."""
    watch = known.watch()
    if watch is None or reach.everything:
        return watch
    told: Freshness = {"alive": watch["alive"], "synced": watch["synced"], "watches": []}
    return told


def _held(known: Known | None) -> Known:
    if known is None:
        raise NotFoundError(_NO_CATALOGUE)
    return known


def _key_of(item: KnownService) -> tuple[str, str, str]:
    return item["namespace"], item["name"], item["kind"]


def _key(cursor: Cursor | None) -> tuple[str, str, str]:
    """Kubernetes' names hold no slash."""
    parts = cursor.key.split("/") if cursor else ["", "", ""]
    if len(parts) != 3:
        raise BadParametersError([Fault("cursor", "not a cursor of this query")])
    return parts[0], parts[1], parts[2]


def _missing(known: Known, reach: Reach, namespace: str, name: str) -> str:
    """What is not there, what may have been meant, and whether it is too early to tell."""
    told = f"No service {name[:253]!r} is known in namespace {namespace[:63]!r}."
    others = _within(known, reach, None, ("", "", ""), None)
    near = {item["name"] for item in others if item["namespace"] == namespace}
    elsewhere = [item["namespace"] for item in others if item["name"] == name]
    if elsewhere:
        told += f" One of that name is in {_some(elsewhere)}."
    elif near:
        told += f" There are: {_some(get_close_matches(name, near, _NAMED) or sorted(near))}."
    else:
        told += f" Namespaces with services: {_some(sorted({item['namespace'] for item in others})) or 'none'}."
    return told + _early(_fresh(known, reach))


def _early(watch: Freshness | None) -> str:
    if watch is None:
        return " Nothing is watched (setting services.source): only what the store held is known."
    detail = f" ({watch['detail']})" if "detail" in watch else ""
    return "" if watch["synced"] else f" The services have not been listed yet{detail}: try again."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
