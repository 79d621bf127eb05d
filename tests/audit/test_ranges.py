"""A range of values gives the same pages whichever way SQLite brings it into the order of time."""

from __future__ import annotations

import pytest

from collector.audit.pages import Portions
from tests.audit.conftest import Api, serving
from tests.audit.rows import NOW, Store, exchange

FILTERS = [
    {"path": "/v1*"},
    {"status": "5xx"},
    {"status": "200,503"},
    {"method": "GET,POST"},
    {"path": "/v1*", "status": "4xx,5xx"},
    {"status": "503", "model": "llama-3"},
]


@pytest.mark.slow
@pytest.mark.parametrize("filters", FILTERS)
async def test_few_rows_and_many_rows_give_the_same_pages(store: Store, filters: dict[str, str]) -> None:
    paths, statuses = ("/v1/a", "/v2/b", "/v1/c"), (200, 503, 404, 500)
    store.exchanges(
        *(exchange(NOW - n, str(n), path=paths[n % 3], status=statuses[n % 4], method="GET" if n % 5 else "PUT") for n in range(60))
    )
    pages = []
    for many, looked_at in ((10_000, 25_000), (1, 25_000), (1, 9)):  # sorted; looked through; looked through in vain, then sorted
        async with serving(store, Portions(sorted_rows=many, looked_at=looked_at)) as api:
            pages.append([await paged(api, filters, order) for order in ("desc", "asc")])
    assert pages[0] == pages[1] == pages[2]
    assert pages[0][0]
    assert pages[0][0] == pages[0][1][::-1]


async def paged(api: Api, filters: dict[str, str], order: str) -> list[str]:
    """The ids of all pages of seven."""
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        answer = await api.exchanges(**filters, order=order, limit=7, **more)
        found += [item["id"] for item in answer["items"]]
        if "next" not in answer:
            return found
        more = {"cursor": answer["next"]}
