"""What the store's file and the audit API say of the neighbour."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from collector.messages.completeness import Completeness
from tests.fuzz.neighbour import NODE, Case

SECONDS = 60.0  # a busy machine's
AS_SENT = {Completeness.COMPLETE}
DISTURBED = {Completeness.COMPLETE, Completeness.ACCESS_LOG_MISSING}


class Store:
    """An SQLite store that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seen(self, request_ids: Iterable[str]) -> set[str]:
        """Which of these exchanges are there. None, while there is no store."""
        wanted = list(request_ids)
        found: set[str] = set()
        try:
            with self._open() as connection:
                for start in range(0, len(wanted), 500):
                    some = wanted[start : start + 500]
                    marks = ",".join("?" * len(some))
                    query = f"SELECT request_id FROM exchanges WHERE request_id IN ({marks}) AND node = ?"
                    found.update(row[0] for row in connection.execute(query, (*some, NODE)))
        except sqlite3.OperationalError:  # being made, or started
            return found
        return found

    def faults(self, cases: Mapping[str, Case]) -> list[str]:
        """What is not as it was sent: missing, twice, cut, with other bodies, or not sent at all."""
        rows = self._rows()
        times = Counter(request_id for request_id, _, _ in rows)
        found = [f"{name}: acknowledged and not stored" for name in cases.keys() - times.keys()]
        found += [f"{name}: stored {number} times" for name, number in times.items() if number > 1]
        prefixes = {name.rpartition("-")[0] for name in cases}  # several neighbours may have shared this store, one after the other
        found += [f"{name}: stored and never sent" for name in times.keys() - cases.keys() if name.rpartition("-")[0] in prefixes]
        for request_id, completeness, data in rows:
            if request_id in cases:
                found += _unlike(cases[request_id], Completeness(completeness), json.loads(data))
        return found

    def _rows(self) -> list[tuple[str, int, bytes]]:
        query = "SELECT request_id, completeness, data FROM exchanges WHERE node = ? AND NOT superseded"
        with self._open() as connection:
            rows: list[tuple[str, int, bytes]] = connection.execute(query, (NODE,)).fetchall()
        return rows

    def _open(self) -> Any:
        return closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=SECONDS))


def _unlike(case: Case, completeness: Completeness, record: Mapping[str, Any]) -> list[str]:
    found = []
    if completeness not in (DISTURBED if case.disturbed else AS_SENT):
        found.append(f"{case.request_id}: {completeness!r}")
    for side, wanted in (("request", case.request_sha256), ("response", case.response_sha256)):
        body = record.get(side, {}).get("body", {}).get("sha256")
        if body != wanted:
            found.append(f"{case.request_id}: its {side}'s body has sha256 {body}")
    if record.get("response", {}).get("status") != 200:
        found.append(f"{case.request_id}: status {record.get('response', {}).get('status')}")
    return found


def get(url: str) -> Any:
    """The JSON of a page. Raises OSError or ValueError if there is none."""
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return json.load(answer)


def ledger_of_neighbour(url: str) -> dict[str, int]:
    """announced, received, dropped, missing, summed over its windows; empty: nothing yet."""
    for item in _items(f"{url}/v1/ledger?group=proxy&limit=1000"):
        if item["node"] == NODE:
            dropped = item["dropped"]["total"] if isinstance(item["dropped"], dict) else item["dropped"]
            numbers = {name: item[name] for name in ("announced", "received", "missing")}
            return {**numbers, "dropped": dropped}
    return {}


def api_faults(url: str, cases: Mapping[str, Case]) -> list[str]:
    """What the audit API does not answer, or answers otherwise than it was sent, of a few cases and of its lists."""
    found = []
    names = sorted(cases)
    for name in names[:: max(1, len(names) // 10)]:
        items = get(f"{url}/v1/exchanges?request_id={name}&node={NODE}")["items"]
        if len(items) != 1:
            found.append(f"{name}: the API lists it {len(items)} times")
    for page in ("/v1/exchanges?limit=1000", "/v1/exchanges?limit=1000&order=asc", "/v1/ledger?limit=1000", "/v1/ledger?group=proxy"):
        try:
            get(url + page)
        except (OSError, ValueError) as error:
            found.append(f"{page}: {error}")
    return found


def _items(url: str) -> Iterable[Any]:
    cursor = ""
    while True:
        page = get(url + cursor)
        yield from page["items"]
        if "next" not in page:
            return
        cursor = f"&cursor={page['next']}"
