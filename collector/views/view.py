"""What every page has: its name, the places to go to, the verdict on losses, and who looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastapi import Request

from collector.audit.ledger_documents import LedgerPage, Totals
from collector.views.api import Api, RefusedError

PLACES = (
    ("Exchanges", "/"),
    ("Usage", "/usage"),
    ("Losses", "/losses"),
    ("Services", "/services"),
    ("Access", "/access"),
    ("Status", "/status"),
)
ALL_TIME = "all"  # of addresses: empty values are left out of them
SPANS = (
    ("15m", "last 15 minutes"),
    ("1h", "last hour"),
    ("6h", "last 6 hours"),
    ("1d", "last 24 hours"),
    ("7d", "last 7 days"),
    ("30d", "last 30 days"),
    (ALL_TIME, "all time"),
)
LEVELS = {"nothing_lost": "good", "lost": "bad", "gaps": "gap", "nothing_reported": "gap"}


class Pill(NamedTuple):
    """A few words and how grave they are."""

    level: str
    text: str


class Chip(NamedTuple):
    """A filter that is set, and the address without it."""

    name: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class View:
    """The frame of a page."""

    name: str
    verdict: Pill | None
    person: str
    places: tuple[tuple[str, str], ...] = PLACES


async def frame(name: str, request: Request, api: Api) -> View:
    """The page's frame; the verdict is of the last 24 hours, and absent for whom the ledger is not open."""
    try:
        found = await api.get_if_allowed(LedgerPage, "/v1/ledger", {"since": "1d", "group": "proxy", "limit": 1})
    except RefusedError:
        found = None
    looker = getattr(request.state, "looker", None)
    person = getattr(getattr(looker, "person", None), "name", "")
    return View(name, pill(found["totals"]) if found else None, "" if person == "nobody" else str(person))


def pill(totals: Totals) -> Pill:
    """The ledger's verdict in a few words."""
    state = str(totals.get("state", ""))
    lost, gaps = totals.get("lost", 0), totals.get("gaps", 0)
    text = {
        "nothing_lost": "nothing lost",
        "lost": f"{lost:,} lost",
        "gaps": f"{gaps:,} gap{'' if gaps == 1 else 's'}",
        "nothing_reported": "nothing reported",
    }.get(state, "not known")
    return Pill(LEVELS.get(state, "quiet"), f"{text}, last 24 h")
