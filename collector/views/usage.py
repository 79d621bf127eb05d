"""Usage: what was billed, over time and by whatever one groups by, and how sure each number is. No sum stands alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Request, Response

from collector.audit.ledger_documents import LedgerMapDocument
from collector.audit.usage_documents import UsageGroup, UsagePage
from collector.clock import Clock
from collector.page import words
from collector.page.render import Pages, link
from collector.views.api import Api, RefusedError
from collector.views.usage_chart import OTHERS, Chart, Classes, by_class, chart, classes_of, of_classes, of_groups, unit_of
from collector.views.view import ALL_TIME, SPANS, Chip, frame

DEFAULT_SINCE, DEFAULT_GROUP = "30d", "service"
GROUPS = (
    ("service", "service"),
    ("model", "model"),
    ("namespace", "namespace"),
    ("caller", "caller"),
    ("consumer", "consumer"),
    ("user", "user"),
    ("protocol", "protocol"),
)
LIMIT, MOST = 200, 10_000  # lines of the table; sums that the API gives at once
STACK, BY_GROUP = "stack", "group"  # the parameter that says what columns are made of: price classes if it is absent


@dataclass(frozen=True, slots=True)
class Group:
    """A line of the table."""

    name: str
    href: str
    calls: int
    classes: list[int]
    tokens: int
    level: str
    without: str


async def show(request: Request, api: Api, pages: Pages, clock: Clock, annotations: Sequence[str] = ()) -> Response:
    """The page. `annotations`: names that one may group by. Raises RefusedError: not for this person."""
    filters = {name: value for name, value in request.query_params.items() if value}
    since = (
        filters.setdefault("since", DEFAULT_SINCE)
        if "since" in request.query_params or "until" not in filters
        else filters.get("since", "")
    )
    group = filters.setdefault("group_by", DEFAULT_GROUP)
    now = datetime.fromtimestamp(clock.now_us() // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
    narrowed = {name: value for name, value in filters.items() if name not in ("group_by", "cursor", STACK)}
    common = {
        "view": await frame("Usage", request, api),
        "groups": [*GROUPS, *((f"annotation:{name}", name) for name in annotations)],
        "group": group,
        "group_name": group.removeprefix("annotation:").capitalize(),
        "spans": [one for one in SPANS if one[0] != ALL_TIME],
        "since": since,
        "stack": filters.get(STACK, ""),
        "kept": [(name, value) for name, value in narrowed.items() if name not in ("since", "until")],
        "chips": [Chip(name, value, _without(filters, name)) for name, value in narrowed.items() if name != "since"],
    }
    try:
        asked = {"until": now, **narrowed}
        found = await api.get(UsagePage, "/v1/usage", {**asked, "group_by": group, "limit": LIMIT})
    except RefusedError as error:
        if error.status != 400:
            raise
        return pages.answer("usage.html", {**common, "rows": [], "fault": str(error)}, error.status)
    classes = classes_of(found["totals"]["tokens"])
    drawn = await _drawn(api, asked, found, group if filters.get(STACK) == BY_GROUP else None, classes)
    return pages.answer(
        "usage.html",
        {
            **common,
            "classes": classes,
            "rows": [line(one, group, filters, classes) for one in found["items"]],
            "chart": drawn,
            "facts": facts(found),
            "as_of": as_of(found),
            "export": link("/v1/usage", {**asked, "group_by": group, "limit": MOST, "format": "csv"}),
        },
    )


async def _drawn(api: Api, asked: Mapping[str, str], found: UsagePage, group: str | None, classes: Classes) -> Chart:
    """The columns: of the groups, or of the classes."""
    unit, _ = unit_of(found)
    over_time, grouped, lost = await asyncio.gather(
        api.get(UsagePage, "/v1/usage", {**asked, "group_by": unit, "limit": MOST}),
        _by_group(api, asked, group, unit),
        _lost(api, found, asked.get("namespace")),
    )
    if group is None or grouped is None:
        return chart(over_time, found, lost, classes, of_classes(over_time, unit, classes))
    return chart(over_time, found, lost, *of_groups(over_time, grouped, unit, lambda one: name_of(one, group)))


async def _by_group(api: Api, asked: Mapping[str, str], group: str | None, unit: str) -> UsagePage | None:
    return await api.get(UsagePage, "/v1/usage", {**asked, "group_by": f"{group},{unit}", "limit": MOST}) if group else None


def _without(filters: Mapping[str, str], name: str) -> str:
    return link("/usage", {key: value for key, value in filters.items() if key != name})


async def _lost(api: Api, found: UsagePage, namespace: str | None) -> dict[int, int] | None:
    """Losses of the ledger by the number of the column; None where that is not known, or columns are months."""
    since, until = (datetime.fromisoformat(found[name]) for name in ("since", "until"))
    unit, step = unit_of(found)
    if unit == "month":
        return None
    first = since.replace(hour=0, minute=0, second=0, microsecond=0) if unit == "day" else since  # cells are of the same time as columns
    steps = min(max(1, -(-(until - first) // step)), 500)
    edges = {name: at.isoformat().replace("+00:00", "Z") for name, at in (("since", first), ("until", first + steps * step))}
    asked = {**edges, "steps": steps, "limit": 1000, "namespace": namespace}
    drawn = await api.get_if_allowed(LedgerMapDocument, "/v1/ledger/map", asked)
    if drawn is None:
        return None
    lost: dict[int, int] = {}
    for proxy in drawn["items"]:
        for cell in proxy["cells"]:
            lost[cell["start"]] = lost.get(cell["start"], 0) + cell.get("lost", 0)
    return lost


def line(one: UsageGroup, group: str, filters: Mapping[str, str], classes: Classes) -> Group:
    """A group's line. It leads to the same group by model, or of a model by service."""
    value, tokens, coverage = one["group"].get(group), one["tokens"], one["coverage"]
    calls, without = one["calls"], coverage["without_usage"]
    level = "good" if not without else "gap" if without < calls * 0.1 else "bad"
    deeper = {"annotation": f"{group.removeprefix('annotation:')}={value}"} if group.startswith("annotation:") else {group: value}
    href = link("/usage", {**filters, **deeper}, group_by="service" if group == "model" else "model") if value else ""
    return Group(name_of(one, group), href, calls, by_class(tokens, classes), sum(tokens.values()), level, words.share(without, calls))


def name_of(one: UsageGroup, group: str) -> str:
    """What a group is called."""
    value = one["group"].get(group)
    if one.get("folded") and value is None:
        return OTHERS
    return words.person(value) if value and group == "caller" else str(value or "none")


def facts(found: UsagePage) -> list[tuple[str, str, str]]:
    """The sums, each with what it does not say: (value, name, exact)."""
    totals, losses = found["totals"], found.get("losses")
    tokens, calls, coverage = sum(totals["tokens"].values()), totals["calls"], totals["coverage"]
    told = [
        (words.number(tokens), "tokens billed", f"{tokens:,}"),
        (words.number(calls), "calls", f"{calls:,}"),
        (words.share(calls - coverage["without_usage"], calls), "of the calls told their usage", ""),
    ]
    told += [
        (words.share(number, calls), f"did not: {words.ABSENCES.get(reason, reason)}", f"{number:,}")
        for reason, number in coverage.get("reasons", {}).items()
    ]
    if losses is not None:
        told.append((words.number(losses["lost"]), "records lost in this time", f"the collector was away {losses['times_away']} times"))
    return told


def as_of(found: UsagePage) -> str:
    """What the numbers speak of, and what they leave out."""
    told = [f"From {words.day_and_clock(found['since'])} to {words.day_and_clock(found['until'])} UTC, in whole hours."]
    if found.get("left_out"):
        told.append(f"{found['left_out']:,} more groups are in the sums and not in the table.")
    if found.get("uncounted_before"):
        told.append(f"Calls before {words.day_and_clock(found['uncounted_before'])} UTC are not counted yet.")
    return " ".join(told)
