"""A statement is written and compiled when it is asked for the first time, and not for each request: that took longer than its answer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Reach, Right
from collector.audit.app import create_app
from tests.audit.conftest import Parts
from tests.audit.lookers import looker, shown_to
from tests.audit.rows import NOW, SECOND, Clock, Store, exchange, patient
from tests.audit.test_marks import filled
from tests.bench.bench_queries import COUNTED, MARKED, QUERIES

PAGES = [("/v1/exchanges", asked) for asked in (QUERIES | MARKED).values()]
COUNTS = [(route, asked) for route in ("/v1/facets", "/v1/histogram") for asked in COUNTED.values()]
SOME = Reach(namespaces=frozenset({"models", "other"}), consumers=frozenset({"c1"}))


def compiled(engine: AsyncEngine) -> Counter[str]:
    """By statement, how often it had to be compiled."""
    found = Counter[str]()

    def asked(_connection: object, _cursor: object, statement: str, _parameters: object, context: Any, _many: object) -> None:
        if context.compiled is not None and context.cache_hit.name != "CACHE_HIT":
            found[statement] += 1

    event.listen(engine.sync_engine, "before_cursor_execute", asked)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("who", [looker(*Right), looker(*Right, reach=SOME)], ids=["sees all", "sees some"])
async def test_no_question_is_compiled_again(store: Store, who: Any) -> None:
    filled(store, 40)
    store.exchanges(
        *(exchange(NOW - number * SECOND, f"s{number}", status=404 + 33 * (number % 5), namespace="models") for number in range(20))
    )
    engine = store.opened()
    found = compiled(engine)
    app = create_app(engine, Parts(), CollectorRegistry(), patient(page_limit=500), Clock())
    async with shown_to(who, app) as client:
        await all_asked(client)
        found.clear()
        await all_asked(client)
    await engine.dispose()
    assert not found


async def all_asked(client: httpx.AsyncClient) -> None:
    for path, asked in PAGES + COUNTS:
        answer = await client.get(path, params=asked)
        assert answer.status_code == 200, answer.text
