"""For random histories of proxies, losses and what came late, the ledger says what somebody knows who saw everything."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import delete

from collector.audit.app import create_app
from collector.audit.moments import rfc3339
from collector.audit.pages import PORTIONS, Portions
from collector.store.schema import ledger
from tests.audit.conftest import Parts
from tests.audit.rows import MINUTE, Clock, Store, away, patient, window

START = 1_763_800_000_000_000 // MINUTE * MINUTE
PROXIES = [("a", ""), ("a", "spiffe://m/ns/x/sa/y"), ("b", ""), ("b\n1:", "s"), ("é", "")]
CURABLE = ("missing", "without_tap", "without_access_log")


class Loss(NamedTuple):
    """What happened to one proxy in one minute, and how much of it came after all, some minutes later."""

    proxy: tuple[str, str]
    minute: int
    counted: tuple[int, int, int]
    dropped: dict[str, int]
    refused: dict[str, int]
    malformed: dict[str, int]
    late: tuple[int, int, int]
    later: int


few = st.integers(0, 4)
losses = st.builds(
    Loss,
    st.sampled_from(PROXIES),
    st.integers(0, 5),
    st.tuples(few, few, few),
    st.dictionaries(st.sampled_from(["queue_full", "too_old"]), few),
    st.dictionaries(st.sampled_from(["journal_full", "share"]), few),
    st.dictionaries(st.sampled_from(["batch", "dead_letter_decode"]), few),
    st.tuples(few, few, few),
    st.integers(1, 9),
)
histories = st.lists(losses, max_size=12, unique_by=lambda loss: (loss.proxy, loss.minute))


def cured(loss: Loss) -> dict[str, int]:
    return {name: min(late, counted) for name, late, counted in zip(CURABLE, loss.late, loss.counted, strict=True)}


def rows(history: Sequence[Loss]) -> list[dict[str, Any]]:
    """The windows that a correlator writes of it."""
    back: dict[tuple[tuple[str, str], int], dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for loss in history:
        for name, number in cured(loss).items():
            if number:
                back[loss.proxy, loss.minute + loss.later][name][START + loss.minute * MINUTE] = number
    lost = {(loss.proxy, loss.minute): loss for loss in history}
    made = []
    for key in sorted({*lost, *back}):
        (node, sender), minute = key
        loss = lost.get(key)
        counts: dict[str, Any] = {}
        if loss is not None:
            counts = dict(zip(CURABLE, loss.counted, strict=True))
            counts |= {"dropped": loss.dropped, "refused": loss.refused, "malformed": loss.malformed, "received": 7}
        made.append(window(START + minute * MINUTE, node, sender=sender, cured=dict(back.get(key, {})), **counts))
    return made


class Seen(NamedTuple):
    """What the observer knows of a span."""

    lost: Counter[tuple[str, str]]
    gaps: Counter[tuple[str, str]]


def observer(history: Sequence[Loss], since: int, until: int) -> Seen:
    """Counts one by one what happened in these minutes and was never put right."""
    seen = Seen(Counter(), Counter())
    for loss in history:
        if since <= loss.minute < until:
            back = cured(loss)
            ever = sum(sum(of.values()) for of in (loss.dropped, loss.refused, loss.malformed))
            seen.lost[loss.proxy] += ever + loss.counted[0] - back["missing"]
            seen.gaps[loss.proxy] += sum(loss.counted[1:]) - back["without_tap"] - back["without_access_log"]
    return seen


async def _all(client: httpx.AsyncClient, limit: int, **query: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    items: list[dict[str, Any]] = []
    totals: dict[str, Any] = {}
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get("/v1/ledger", params={**query, "limit": limit, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        totals = totals or page["totals"]
        if "next" not in page:
            return items, totals
        cursor = {"cursor": page["next"]}


def _by_proxy(items: Sequence[dict[str, Any]], name: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for item in items:
        found[item["node"], item.get("sender", "")] += item[name]
    return found


class Kept(NamedTuple):
    """A store, the API over it, and the loop in which that is asked: made once, they take longer than a history."""

    store: Store
    client: httpx.AsyncClient
    loop: asyncio.Runner

    def judge(self, history: Sequence[Loss], absent: bool, since: int, until: int, limit: int) -> None:
        self.loop.run(_judge(self.store, self.client, history, absent, since, until, limit))


@contextmanager
def keeping(folder: Path, portions: Portions = PORTIONS) -> Iterator[Kept]:
    store = Store(folder / "events.db")
    engine = store.opened()
    app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock(), portions=portions)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit")
    with asyncio.Runner() as loop:
        yield Kept(store, client, loop)
        loop.run(client.aclose())
        loop.run(engine.dispose())
    store.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with keeping(tmp_path_factory.mktemp("observer")) as made:
        yield made


async def _judge(
    store: Store, client: httpx.AsyncClient, history: Sequence[Loss], absent: bool, since: int, until: int, limit: int
) -> None:
    made = rows(history) + ([away(START + MINUTE, START + 2 * MINUTE)] if absent else [])
    store.transact(lambda connection: connection.execute(delete(ledger)))
    if made:
        store.ledger(*made)
    span = {"since": rfc3339(START + since * MINUTE), "until": rfc3339(START + until * MINUTE)}
    found = {group: await _all(client, limit, group=group, **span) for group in ("proxy", "window")}
    known = observer(history, since, until)
    away_then = int(absent and since <= 2 and until > 1)
    reported = any(START + since * MINUTE <= row["time_us"] < START + until * MINUTE for row in made if row["away_from_us"] is None)
    for items, totals in found.values():
        assert +_by_proxy(items, "lost") == +known.lost
        assert +(_by_proxy(items, "gaps") - _by_proxy(items, "times_away")) == +known.gaps
        lost, gaps = known.lost.total(), known.gaps.total() + away_then
        assert (totals["lost"], totals["gaps"]) == (lost, gaps)
        expected = "lost" if lost else "nothing_reported" if not reported else "gaps" if gaps else "nothing_lost"
        assert totals["state"] == expected


@pytest.mark.slow
@settings(deadline=None)
@given(history=histories, absent=st.booleans(), since=st.integers(0, 6), length=st.integers(1, 16), limit=st.integers(1, 4))
def test_the_ledger_says_what_an_observer_knows_who_saw_everything(
    kept: Kept, history: list[Loss], absent: bool, since: int, length: int, limit: int
) -> None:
    kept.judge(history, absent, since, since + length, limit)


@pytest.mark.slow
def test_also_where_there_are_more_late_arrivals_than_are_looked_up_at_once(tmp_path: Path) -> None:
    history = [Loss(proxy, minute, (4, 2, 1), {}, {}, {}, (3, 1, 1), 1 + minute) for proxy in PROXIES for minute in range(6)]
    with keeping(tmp_path, Portions(cured_windows=1, cured_starts=1)) as kept:
        kept.judge(history, True, 0, 20, 3)
