"""People who look, and the API as they see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.access.look_writer import LookWriter
from collector.access.looker import EVERYTHING, Looker, Person, Reach, Right
from collector.access.open import Opened
from collector.audit.app import NO_SEARCH, AuditApp, create_app
from collector.audit.services import Known
from collector.clock import SystemClock
from collector.enrich.status import Freshness
from collector.health import Component
from collector.messages.service import KnownService
from collector.settings import Access, Search
from collector.store.schema import looks
from collector.views.app import mount
from tests.audit.rows import Clock, Store, patient

ADA = Person("ada", "token")


class Front:
    """Stands where people are asked who they are, and knows."""

    def __init__(self, app: ASGIApp, looker: Looker | None) -> None:
        self._app, self._looker = app, looker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._looker is not None:
            scope.setdefault("state", {})["looker"] = self._looker
        await self._app(scope, receive, send)


class Ticking(Clock):
    """A millisecond later each time, whoever looks, so that looks have an order."""

    ticks = count()

    def now_us(self) -> int:
        return self.us + next(Ticking.ticks) * 1000


class Well:
    """Nothing is wrong."""

    def components(self) -> list[Component]:
        return [Component("sink", True)]


class Catalogue:
    """A catalogue of these services, each with one version."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self._names = sorted(names)

    def services(self, namespace: str | None, behind: tuple[str, str, str], limit: int | None) -> list[KnownService]:
        found = [self._service(*one) for one in self._names if namespace in (None, one[0]) and (*one, "InferenceService") > behind]
        return found[:limit]

    def versions(self, namespace: str, name: str) -> list[KnownService]:
        return [self._service(namespace, name)] if (namespace, name) in self._names else []

    def watch(self) -> Freshness:
        count = {"kind": "InferenceService", "state": "watching", "synced": True, "objects": len(self._names)}
        return {"alive": True, "synced": True, "requests": len(self._names), "age_s": float(len(self._names)), "watches": [count]}  # type: ignore[typeddict-item]

    def _service(self, namespace: str, name: str) -> KnownService:
        return {"namespace": namespace, "name": name, "kind": "InferenceService", "uid": f"{namespace}-{name}"}


def looker(*rights: Right, reach: Reach = EVERYTHING) -> Looker:
    """Somebody with these rights, all within one reach."""
    return Looker(ADA, dict.fromkeys(rights, reach))


@asynccontextmanager
async def whole_over(
    store: Store, known: Known | None = None, looks: LookWriter | None = None, reason_required: bool = False, search: Search = NO_SEARCH
) -> AsyncIterator[AuditApp]:
    """The API, and the pages on it."""
    engine = store.opened()
    clock = Clock() if looks is None else Ticking()
    access = Opened(Access(reason="required" if reason_required else "off"))
    app = create_app(engine, Well(), CollectorRegistry(), patient(page_limit=500), clock, known, access, looks, search)
    mount(app, clock, 500)
    yield app
    await app.tails.stop()
    await engine.dispose()
    await _connections_closed()


async def _connections_closed() -> None:
    """SQLAlchemy closes a connection whose question was given up in a task of its own. If that is cancelled while aiosqlite's thread has
    not closed it yet, as the end of a loop cancels all, it waits for ever for a thread that is gone.
    """
    closing = [task for task in asyncio.all_tasks() if "_terminate_graceful_close" in getattr(task.get_coro(), "__qualname__", "")]
    if closing:
        await asyncio.wait(closing, timeout=2)


def shown_to(who: Looker | None, app: ASGIApp) -> httpx.AsyncClient:
    """A client of the API that is taken for this person."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(Front(app, who)), base_url="http://audit")


@asynccontextmanager
async def seen_by(
    store: Store,
    who: Looker | None,
    known: Known | None = None,
    looks: LookWriter | None = None,
    reason_required: bool = False,
    search: Search = NO_SEARCH,
) -> AsyncIterator[httpx.AsyncClient]:
    """The API, and the pages on it, as this person sees them."""
    async with whole_over(store, known, looks, reason_required, search) as app, shown_to(who, app) as client:
        yield client


@asynccontextmanager
async def written_down(store: Store, seconds: float = 5.0) -> AsyncIterator[LookWriter]:
    """What writes looks into this store."""
    engine = store.opened()
    writer = LookWriter(engine, SystemClock(), CollectorRegistry(), seconds)
    writer.start()
    yield writer
    await writer.stop()
    await engine.dispose()


def looks_in(store: Store) -> list[dict[str, Any]]:
    """The looks in it, in the order in which they were written."""
    found: list[dict[str, Any]] = []

    def read(connection: Connection) -> None:
        found.extend(dict(row._mapping) for row in connection.execute(select(looks).order_by(looks.c.id)))

    store.transact(read)
    return found
