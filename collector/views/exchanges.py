"""The list of exchanges: filters with their counts, time to choose from, and lines to open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import Request, Response

from collector.audit import counted_documents
from collector.audit.documents import ExchangePage
from collector.page import words
from collector.page.charts import WIDTH, Bar, Stack, stacks
from collector.page.render import Pages, link
from collector.views import columns
from collector.views.api import Api, D, RefusedError
from collector.views.brief import Row, filled, row
from collector.views.view import ALL_TIME, SPANS, Chip, frame

LIMIT = 50
DEFAULT_SINCE = "1d"
FACETS = (
    ("service", "Service"),
    ("model", "Model"),
    ("status", "Status"),
    ("completeness", "Record"),
    ("caller", "Caller"),
    ("user", "User"),
    ("annotation", "Annotation"),
    ("protocol", "Protocol"),
)
_BARS = {"buckets": "96"}
SHOWN_OF_FACET = 8
_NOT_OF_THE_TAIL = ("since", "until", "order", "limit", "revisions")
_WANTED = {"fields": ",".join(name for name, _ in FACETS), "values": str(SHOWN_OF_FACET)}
SPAN = "/"  # between the ends of a time, as in ISO 8601


@dataclass(frozen=True, slots=True)
class Counted:
    """A value of a facet."""

    text: str
    count: int
    share: float
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter and how many exchanges have each of its values."""

    title: str
    values: list[Counted]


class When(NamedTuple):
    """A word on the axis of time."""

    x: float
    y: float
    text: str
    stamp: str


class Histogram(NamedTuple):
    """Exchanges over time."""

    bars: list[Bar]
    marks: list[When]
    label: str
    since: str
    until: str


async def show(request: Request, api: Api, pages: Pages, annotations: Sequence[str] = ()) -> Response:
    """The page. `annotations`: those that can be columns."""
    filters = dict(request.query_params)
    filters.setdefault("since", DEFAULT_SINCE)
    if SPAN in filters["since"]:
        filters["since"], _, filters["until"] = filters["since"].partition(SPAN)
    across, strange = columns.chosen(request.query_params.getlist(columns.PARAMETER), annotations)
    filters[columns.PARAMETER] = columns.parameter(across)
    shown = {name: value for name, value in filters.items() if value and name != "cursor"}
    asked = asked_of(shown)
    view, found, counts, times = await asyncio.gather(
        frame("Exchanges", request, api),
        _list(api, filters),
        _optional(api, counted_documents.Facets, "/v1/facets", {**asked, **_WANTED}),
        _optional(api, counted_documents.Histogram, "/v1/histogram", {**asked, **_BARS}),
    )
    listed, fault, status = found
    records = [filled(record) for record in listed.get("items", ())]
    rows = [row(record, shown) for record in records]
    lines = [
        (one, [told(record, one) if (told := column.told) else "" for column in across]) for record, one in zip(records, rows, strict=True)
    ]
    return pages.answer(
        "exchanges.html",
        {
            "view": view,
            "rows": lines,
            "columns": across,
            "offered": [(column, column in across) for column in columns.known(annotations)],
            "fault": fault or (f"There is no column {', '.join(strange)}." if strange else ""),
            "is_wrong": bool(fault),
            "facets": facets(counts, filters) if counts else [],
            "uncounted": "Counts are not known for this view." if counts is None else "Nothing is there to choose from.",
            "histogram": histogram(times, filters) if times else None,
            "chips": chips(filters),
            "summary": summary(times, rows),
            "spans": spans(filters),
            "since": span(filters),
            "typed": filters.get("q", ""),
            "hint": "Filter: service:llama status:5xx tokens:>4000",
            "nothing": nothing(filters),
            "older": link("/", filters, cursor=listed["next"]) if "next" in listed else "",
            "newest": link("/", shown) if "cursor" in filters else "",
            **ways(shown, asked),
        },
        status,
    )


def ways(shown: Mapping[str, str], asked: Mapping[str, str]) -> dict[str, object]:
    """Where one can go from here, and what its forms keep."""
    return {
        "here": link("/", shown),
        "live": link("/v1/tail", {name: value for name, value in asked.items() if name not in _NOT_OF_THE_TAIL}),
        "export": link("/v1/export", asked, format="csv"),
        "kept": [(name, value) for name, value in shown.items() if name not in ("since", "until", "q")],
        "kept_by_columns": [(name, value) for name, value in shown.items() if name != columns.PARAMETER],
    }


def span(filters: Mapping[str, str]) -> str:
    """The time that is looked at, as one value: a search keeps both of its ends."""
    return filters["since"] + (SPAN + filters["until"] if filters.get("until") else "")


def spans(filters: Mapping[str, str]) -> list[tuple[str, str]]:
    """The times to choose from: (value, name), with the one that is looked at."""
    here = span(filters)
    if here in dict(SPANS):
        return list(SPANS)
    return [*SPANS, (here, " to ".join(_moment(end) for end in here.split(SPAN)))]


def _moment(told: str) -> str:
    try:
        return f"{words.day_and_clock(told)} UTC"
    except ValueError:
        return told


def asked_of(filters: Mapping[str, str]) -> dict[str, str]:
    """What the API is asked for."""
    return {name: value for name, value in filters.items() if value and (name, value) != ("since", ALL_TIME) and name != columns.PARAMETER}


async def _list(api: Api, filters: Mapping[str, str]) -> tuple[ExchangePage, str, int]:
    """A page of records; else what was wrong with the question."""
    try:
        return await api.get(ExchangePage, "/v1/exchanges", {**asked_of(filters), "limit": LIMIT}), "", 200
    except RefusedError as error:
        return {}, str(error), error.status


async def _optional(api: Api, kind: type[D], path: str, asked: Mapping[str, str]) -> D | None:
    """What makes the page better, and is not waited for in vain."""
    try:
        return await api.get_if_allowed(kind, path, {name: value for name, value in asked.items() if name != "order"})
    except RefusedError:
        return None


def facets(counts: counted_documents.Facets, filters: Mapping[str, str]) -> list[Facet]:
    """The facets that have values, the most frequent first."""
    found = []
    for name, title in FACETS:
        values = counts["facets"].get(name, {}).get("values", [])
        most = max((one["count"] for one in values), default=0)
        shown = [_counted(name, one, most, filters) for one in values]
        if shown:
            found.append(Facet(title, shown))
    return found


def _counted(name: str, one: counted_documents.FacetValue, most: int, filters: Mapping[str, str]) -> Counted:
    value = str(one["value"])
    chosen = filters.get(name) == value
    rest = {key: kept for key, kept in filters.items() if key not in (name, "cursor")}
    href = link("/", rest) if chosen else link("/", rest, **{name: value})
    return Counted(_facet_text(name, value), one["count"], round(100 * one["count"] / most, 1) if most else 0, href, chosen)


def _facet_text(name: str, value: str) -> str:
    if name == "caller":
        return words.person(value)
    if name == "annotation":
        return value.partition("=")[0].rpartition("/")[2] + " " + value.partition("=")[2]
    return words.state([value])[0] if name == "completeness" else value


def chips(filters: Mapping[str, str]) -> list[Chip]:
    """The filters that are set, each with the address without it."""
    shown = [(name, value) for name, value in filters.items() if value and name not in ("cursor", "limit", "q", columns.PARAMETER)]
    return [
        Chip(name.replace("_", " "), words.person(value) if name == "caller" else value, _without(filters, name))
        for name, value in shown
        if (name, value) != ("since", DEFAULT_SINCE)
    ]


def _without(filters: Mapping[str, str], name: str) -> str:
    return link("/", {key: value for key, value in filters.items() if key not in (name, "cursor")})


HEIGHT = 70.0


def histogram(times: counted_documents.Histogram, filters: Mapping[str, str]) -> Histogram | None:
    """Bars of the counts; each leads to its own span of time."""
    buckets = times["items"]
    if not any(map(_count, buckets)):
        return None
    rest = {key: value for key, value in filters.items() if key not in ("since", "until", "cursor")}
    columns = [_column(bucket, rest) for bucket in buckets]
    step = WIDTH / len(buckets)
    every = max(1, len(buckets) // 8)
    marks = [
        When(round(number * step, 1), HEIGHT + 18, words.clock(bucket["start"])[:5], bucket["start"])
        for number, bucket in enumerate(buckets)
        if number % every == 0
    ]
    total = sum(_count(bucket) for bucket in buckets)
    label = f"{total:,} exchanges over time, from {buckets[0]['start']} to {buckets[-1]['end']}"
    return Histogram(stacks(columns, HEIGHT), marks, label, buckets[0]["start"], buckets[-1]["end"])


def _count(bucket: counted_documents.Spell) -> int:
    """How many there are, or may be."""
    return int(bucket.get("estimate") or sum(bucket["counts"].values()))


def _column(bucket: counted_documents.Spell, rest: Mapping[str, str]) -> Stack:
    counts, count = bucket["counts"], _count(bucket)
    failed = sum(number for name, number in counts.items() if name in ("5xx", "none"))
    if counted := sum(counts.values()):
        failed = round(failed * count / counted)
    title = f"{words.day_and_clock(bucket['start'])} UTC: {count:,} exchanges" + (f", {failed:,} failed" if failed else "")
    return Stack((("c1", count - failed), ("bad", failed)), title, link("/", rest, since=bucket["start"], until=bucket["end"]))


def summary(times: counted_documents.Histogram | None, rows: list[Row]) -> str:
    """How many there are, as far as it is known."""
    if times:
        total = sum(_count(bucket) for bucket in times["items"])
        about = "about " if any("estimate" in bucket for bucket in times["items"]) else "at least " if times.get("approximate") else ""
        return f"{about}{total:,} exchange{'' if total == 1 else 's'}"
    return f"{len(rows)} shown"


def nothing(filters: Mapping[str, str]) -> dict[str, str]:
    """What an empty list means, and what to do."""
    if {name for name, value in filters.items() if value} - {"since", "cursor", columns.PARAMETER}:
        return {"title": "No exchange matches.", "next": "Take a filter away, or choose a longer time."}
    return {
        "title": "No exchange yet.",
        "next": "Traffic appears here within a second of its end. Is the tap on? Losses says which proxies have reported; "
        "`kubectl get telemetry -A` says where the access log is switched on.",
    }
