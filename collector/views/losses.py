"""Did we lose anything: a sentence, a map of proxies and time, and what to do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from fastapi import Request, Response

from collector.audit.ledger_documents import Away, LedgerItem, LedgerMapDocument, LedgerPage, MapCell, MapLine, Totals
from collector.messages.ledger import ANNOUNCED, WITHOUT_ACCESS_LOG, WITHOUT_TAP
from collector.page import words
from collector.page.charts import WIDTH
from collector.page.render import Pages
from collector.views.api import Api
from collector.views.view import ALL_TIME, LEVELS, SPANS, frame

STEPS = 48
LEFT = 220.0
NAME = 30  # characters of a proxy's name that find room
MOST_ROWS = 40
MOST_TROUBLES = 30
SOON_SECONDS = 120.0  # after the collector came back: what was given up meanwhile is told with the next batch
_NODE = re.compile(r"\b[a-z_]+~[^~\s]*~([^.~\s]+)[^~\s]*~[^\s,;)]+")
KINDS = {"nothing_lost": "good", "lost": "bad", "gaps": "gap"}

CURES = {
    "dropped": "The tap's buffer was full or its collector away: give the collector more CPU, or raise queue_bytes of the filter.",
    "missing": "Batches were sent and never came. If the collector was not away: did that proxy crash, is there a network policy between?",
    "refused": "The collector refused log entries: see ingest shares in /readyz, and the setting ingest.max_waiting_bytes.",
    "malformed": "Messages could not be read: `meshscribe dead-letters list` shows them.",
    WITHOUT_TAP: "The tap told nothing: is the WasmPlugin applied to this pod, and its image pulled?",
    WITHOUT_ACCESS_LOG: "The access log told nothing: is there a Telemetry resource for this namespace? A restart loses its last second.",
}
WHAT = {
    "dropped": "dropped by the tap",
    "missing": "sent, never arrived",
    "refused": "log entries refused",
    "malformed": "unreadable",
    WITHOUT_TAP: "tap missing",
    WITHOUT_ACCESS_LOG: "log missing",
}


class Cell(NamedTuple):
    """A stretch of time of one proxy."""

    x: float
    width: float
    kind: str
    title: str


class Line(NamedTuple):
    """A proxy."""

    name: str
    node: str
    cells: list[Cell]


class Mark(NamedTuple):
    """A word on the axis of time."""

    x: float
    text: str
    stamp: str


class Trouble(NamedTuple):
    """What was lost at a proxy, why, and what to do."""

    start: str
    name: str
    node: str
    level: str
    what: str
    sent: int | None
    here: int | None
    why: str
    cure: str


async def show(request: Request, api: Api, pages: Pages) -> Response:
    """The page. Raises RefusedError."""
    since = request.query_params.get("since") or "1d"
    view, table, drawn = await asyncio.gather(
        frame("Losses", request, api),
        _proxies(api, since),
        api.get(LedgerMapDocument, "/v1/ledger/map", {"since": since, "steps": STEPS, "limit": MOST_ROWS}),
    )
    totals, items = table
    found = troubles(items, totals.get("away") or ())
    return pages.answer(
        "losses.html",
        {
            "view": view,
            "verdict": sentence(totals, items),
            "account": account(totals),
            "rows": [line(one, drawn) for one in drawn["items"]],
            "marks": marks(drawn),
            "more_proxies": _more(drawn["proxies"], len(drawn["items"]), "proxies reported; those that lost most are shown"),
            "troubles": found[:MOST_TROUBLES],
            "more_troubles": _more(len(found), MOST_TROUBLES, "lines; `meshscribe ledger` shows all"),
            "spans": [one for one in SPANS if one[0] != ALL_TIME],
            "since": since,
            "cli": f"meshscribe ledger --since {since}",
        },
    )


async def _proxies(api: Api, since: str) -> tuple[Totals, list[LedgerItem]]:
    """The ledger's sums, and all proxies: they come by their names, and the last may be the one that lost."""
    asked: dict[str, str | int | None] = {"since": since, "group": "proxy", "limit": 1000}
    page = await api.get(LedgerPage, "/v1/ledger", asked)
    totals, items = page["totals"], list(page["items"])
    while "next" in page:
        page = await api.get(LedgerPage, "/v1/ledger", {**asked, "cursor": page["next"]})
        items += page["items"]
    return totals, items


def sentence(totals: Totals, items: list[LedgerItem]) -> str:
    """What was lost, and whose, in one sentence."""
    lost, gaps = totals.get("lost", 0), totals.get("gaps", 0)
    held = f"{gaps:,} gap{' is' if gaps == 1 else 's are'} in what we have"
    if totals.get("state") == "nothing_reported":
        return "Nothing was reported, so nothing is known."
    if lost:
        whose = [_short(item["node"]) for item in sorted(items, key=lambda one: -one["lost"]) if item["lost"]]
        of = f" at {', '.join(whose[:3])}" + (f" and {len(whose) - 3} more" if len(whose) > 3 else "")
        return f"{lost:,} record{' was' if lost == 1 else 's were'} lost{of}. " + (f"Besides, {held}." if gaps else "Nothing else was.")
    unknown = totals.get("log_only", 0)
    rest = f" Of {unknown:,} prox{'y' if unknown == 1 else 'ies'} without a tap it is not known." if unknown else ""
    return (f"Nothing was lost; {held}." if gaps else "Nothing was lost.") + rest


def plain(verdict: str) -> str:
    """The ledger's own sentence, with the pods of proxies by their names. Up to when it speaks stands beside it."""
    return _NODE.sub(lambda found: found[1], verdict.partition("; as of ")[0])


def account(totals: Totals) -> str:
    """What the verdict stands on."""
    told = [f"The ledger says: {plain(str(totals['verdict']))}."]
    told += [f"{totals['proxies']:,} proxies announced {totals['announced']:,} ends of streams; {totals['received']:,} are here."]
    told.append(f"{totals['both']:,} exchanges have both witnesses.")
    away = totals.get("away") or []
    for one in away[:3]:
        why = f" ({one['reason']})" if "reason" in one else ""
        told.append(f"The collector was away from {words.day_and_clock(one['from'])} to {words.clock(one['to'])} UTC{why}.")
    if len(away) > 3:
        told.append(f"It was away {totals['times_away']:,} times in all.")
    if "as_of" in totals:
        told.append(f"All of this is known up to {words.day_and_clock(totals['as_of'])} UTC.")
    return " ".join(told)


def line(one: MapLine, drawn: LedgerMapDocument) -> Line:
    """A proxy's row of the map: every step has a cell, so that what was not reported is seen too."""
    wide = (WIDTH - LEFT) / drawn["steps"]
    known = {cell["start"]: cell for cell in one["cells"]}
    begin, step = datetime.fromisoformat(drawn["since"]), timedelta(seconds=drawn["step_seconds"])
    away = _away_steps(drawn)
    cells = []
    for number in range(drawn["steps"]):
        cell = known.get(number)
        kind = KINDS.get(cell["state"], "none") if cell else "none"
        if kind in ("good", "none") and number in away:
            kind = "gap"
        title = f"{words.day_and_clock((begin + number * step).isoformat())} UTC: {_cell_says(cell, number in away)}"
        cells.append(Cell(round(LEFT + number * wide, 1), round(max(wide - 3, 1), 1), kind, title))
    return Line(_short(one["node"]), one["node"], cells)


def _away_steps(drawn: LedgerMapDocument) -> set[int]:
    begin, step = words.seconds(drawn["since"]), drawn["step_seconds"]
    found: set[int] = set()
    for one in drawn["away"]:
        first, last = ((words.seconds(one[name]) - begin) // step for name in ("from", "to"))
        found |= set(range(max(0, int(first)), min(drawn["steps"] - 1, int(last)) + 1))
    return found


def _cell_says(cell: MapCell | None, away: bool) -> str:
    told = ["the collector was away"] if away else []
    if cell is None:
        return ", ".join([*told, "nothing reported"])
    told += [f"{number:,} {said}" for number, said in ((cell.get("lost"), "lost"), (cell.get("gaps"), "without a witness")) if number]
    return ", ".join([*told, f"{cell['received']:,} of {cell['announced']:,} here"])


def marks(drawn: LedgerMapDocument) -> list[Mark]:
    """Eight times along the axis."""
    begin, step = datetime.fromisoformat(drawn["since"]), timedelta(seconds=drawn["step_seconds"])
    wide, every = (WIDTH - LEFT) / drawn["steps"], max(1, drawn["steps"] // 8)
    stamps = [(number, (begin + number * step).isoformat()) for number in range(0, drawn["steps"], every)]
    return [Mark(round(LEFT + number * wide, 1), words.clock(stamp)[:5], stamp) for number, stamp in stamps]


def troubles(items: list[LedgerItem], away: Sequence[Away] = ()) -> list[Trouble]:
    """Each kind of loss and gap of each proxy, losses first. `away`: the times in which the collector was away."""
    found = [trouble for item in items if LEVELS.get(item["state"]) != "good" for trouble in _of_proxy(item, away)]
    return sorted(found, key=lambda one: (one.level != "bad", one.name))


def _while_away(item: LedgerItem, away: Sequence[Away]) -> str:
    """What is told as the reason where no other is known: the collector was away in the proxy's time, or up to it."""
    early, last = (words.seconds(item[name]) for name in ("first", "last"))
    near = any(words.seconds(one["to"]) >= early - SOON_SECONDS and words.seconds(one["from"]) <= last for one in away)
    return "the collector was away in this time" if near else "not known"


def _of_proxy(item: LedgerItem, away: Sequence[Away]) -> list[Trouble]:
    cured = item.get("cured", {})
    by_reason = {"dropped": item["dropped"], "refused": item["refused"], "malformed": item["malformed"]}
    gone = {"missing": item["missing"], WITHOUT_TAP: item[WITHOUT_TAP], WITHOUT_ACCESS_LOG: item[WITHOUT_ACCESS_LOG]}
    counts = {name: reasons["total"] for name, reasons in by_reason.items()}
    counts |= {name: max(0, number - cured.get(name, 0)) for name, number in gone.items()}
    found = []
    for name, count in counts.items():
        if count:
            reasons = by_reason.get(name, {})
            why = ", ".join(f"{reason.replace('_', ' ')} {number:,}" for reason, number in reasons.items() if reason != "total" and number)
            why = why or _while_away(item, away)
            level = "gap" if name.startswith("without") else "bad"
            sent, here = (item[ANNOUNCED], item["received"]) if name in ("dropped", "missing") else (None, None)
            what, node = f"{count:,} {WHAT[name]}", item["node"]
            found.append(Trouble(item.get("first", ""), _short(node), node, level, what, sent, here, why, CURES[name]))
    return found


def _short(node: str) -> str:
    """The pod of Istio's node id; another's as it is."""
    parts = node.split("~")
    name = parts[2].split(".")[0] if len(parts) == 4 else node
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def _more(count: int, shown: int, what: str) -> str:
    return f"{count:,} {what}." if count > shown else ""
