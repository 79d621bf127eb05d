"""A small client of the audit API: what the demo's check and the tests ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import httpx

from collector.audit.ledger_documents import LedgerItem, LedgerPage, Totals
from collector.messages.record import Record

Json = dict[str, object]  # an object as JSON reads it
D = TypeVar("D")


class Audit:
    """Speaks to the audit listener at `url`. Every method raises httpx.HTTPError if it does not answer, or answers an error."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def exchanges(self, **filters: str | int) -> Iterator[Record]:
        """All records that match, newest first, page after page."""
        return self._pages(Record, "/v1/exchanges", filters)

    def ledger(self, **filters: str | int) -> Iterator[LedgerItem]:
        """The ledger's items, newest window first."""
        return self._pages(LedgerItem, "/v1/ledger", filters)

    def totals(self, **filters: str | int) -> Totals:
        """The sum of the ledger over all proxies and windows that match; empty if it has none."""
        page: LedgerPage = self._get("/v1/ledger", filters).json()
        return page.get("totals", {})

    def record(self, exchange: str) -> Record:
        """One exchange, newest revision."""
        found: Record = self._get(f"/v1/exchanges/{exchange}", {}).json()
        return found

    def body(self, exchange: str, direction: str) -> bytes:
        """The stored bytes of its `request` or `response`; none stored: empty."""
        answer = self._client.get(f"/v1/exchanges/{exchange}/{direction}")
        if answer.status_code == 404:
            return b""
        return answer.raise_for_status().content

    def _get(self, path: str, filters: dict[str, str | int]) -> httpx.Response:
        return self._client.get(path, params=filters).raise_for_status()

    def _pages(self, kind: type[D], path: str, filters: dict[str, str | int]) -> Iterator[D]:
        del kind  # what the items are, for the type checker
        cursor: str | None = None
        while True:
            page = self._get(path, {**filters, **({"cursor": cursor} if cursor else {})}).json()
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return
