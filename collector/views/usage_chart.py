"""Tokens over time as columns of price classes or of groups, each with how sure it is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from collector.audit.usage_documents import UsageGroup, UsagePage
from collector.page import words
from collector.page.charts import WIDTH, Bar, Stack, scale, stacks

CLASSES = (("input_uncached", "c1", "input"), ("input_cached", "c2", "from cache"), ("output", "c3", "output"))
REST = ("c5", "other classes")
COLOURS = ("c1", "c2", "c3", "c4")  # of the groups with the most tokens; the others share that of REST
OTHERS = "all others"
HEIGHT, LEFT = 220.0, 44.0
MOST_BARS = 120
MARK = 48.0  # the width of a date
UNITS = (("hour", timedelta(hours=1), timedelta(days=2)), ("day", timedelta(days=1), timedelta(days=MOST_BARS)))
MARKED = 0.01  # of the calls: from here on it matters that they told nothing
Classes = Sequence[tuple[str, str]]  # colour, name
Values = Mapping[str, Sequence[int]]  # tokens of each colour, by the column's start


class Mark(NamedTuple):
    """A word on the axis of time; `anchor`: which end of it stands at `x`."""

    x: float
    text: str
    anchor: str = "start"


class Sure(NamedTuple):
    """How sure a column's sum is."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Tokens over time. `classes`: (colour, name) of those that there are."""

    bars: list[Bar]
    sure: list[Sure]
    lines: list[tuple[float, str]]
    marks: list[Mark]
    classes: list[tuple[str, str]]
    label: str


def unit_of(found: UsagePage) -> tuple[str, timedelta]:
    """The unit of the columns: hours, days, or months where it would be too many of these."""
    length = datetime.fromisoformat(found["until"]) - datetime.fromisoformat(found["since"])
    return next(((unit, step) for unit, step, most in UNITS if length <= most), ("month", timedelta(days=31)))


def classes_of(tokens: Mapping[str, int]) -> list[tuple[str, str]]:
    """(colour, name) of the classes that there are any of; the known ones apart, all others together."""
    found = [(colour, name) for key, colour, name in CLASSES if tokens.get(key)]
    return [*found, REST] if set(tokens) - {key for key, _, _ in CLASSES} else found


def by_class(tokens: Mapping[str, int], classes: Classes) -> list[int]:
    """The tokens of each of these classes, in their order."""
    known = {name: tokens.get(key, 0) for key, _, name in CLASSES}
    rest = sum(tokens.values()) - sum(known.values())
    return [known.get(name, rest) for _, name in classes]


def of_classes(over_time: UsagePage, unit: str, classes: Classes) -> Values:
    """The tokens of each column by price class."""
    return {one["group"].get(unit, ""): by_class(one["tokens"], classes) for one in over_time["items"]}


def of_groups(
    over_time: UsagePage, grouped: UsagePage, unit: str, name: Callable[[UsageGroup], str]
) -> tuple[list[tuple[str, str]], Values]:
    """The tokens of each column by group: (colour, name) of those with the most tokens and of the others together, and the values.

    `grouped`: sums by unit and group, perhaps not all; what they lack of a column is with the others. `name`: of a group's sums.
    """
    sums: dict[str, int] = {}
    for one in grouped["items"]:
        sums[name(one)] = sums.get(name(one), 0) + sum(one["tokens"].values())
    most = [one for one in sorted(sums, key=lambda each: (-sums[each], each)) if sums[one]][: len(COLOURS)]
    values = {one["group"].get(unit, ""): [*[0] * len(most), sum(one["tokens"].values())] for one in over_time["items"]}
    for one in grouped["items"]:
        start = one["group"].get(unit, "")
        if name(one) in most and start in values:
            tokens = sum(one["tokens"].values())
            values[start][most.index(name(one))] += tokens
            values[start][-1] -= tokens
    kinds = [*zip(COLOURS, most, strict=False), *([(REST[0], OTHERS)] if any(told[-1] for told in values.values()) else [])]
    return kinds, {start: told[: len(kinds)] for start, told in values.items()}


def chart(over_time: UsagePage, found: UsagePage, lost: Mapping[int, int] | None, kinds: Classes, values: Values) -> Chart:
    """Columns of the whole span, those without a call too: a day of nothing is seen as one. `values` are those of `kinds`."""
    unit, step = unit_of(found)
    known = {one["group"].get(unit, ""): one for one in over_time["items"]}
    starts = _starts(found, unit, step, known)
    losses = [None if lost is None else lost.get(number, 0) for number in range(len(starts))]
    columns = [_column(start, known.get(start), kinds, values.get(start, ())) for start in starts]
    highest = max((sum(value for _, value in column.parts) for column in columns), default=0.0)
    rules = scale(highest)
    top = rules[-1] if rules else 1.0
    wide = (WIDTH - LEFT) / max(1, len(columns))
    every = max(1, len(columns) // 10)
    return Chart(
        stacks(columns, HEIGHT, LEFT, top),
        [_sure(known.get(start), losses[number], LEFT + number * wide, wide) for number, start in enumerate(starts)],
        [(round(HEIGHT - HEIGHT * rule / top, 1), words.number(rule)) for rule in rules],
        [_mark(LEFT + number * wide, _date(start, unit)) for number, start in enumerate(starts) if number % every == 0],
        list(kinds),
        f"Tokens per {unit}, {len(columns)} columns of {', '.join(name for _, name in kinds)}; below each how sure it is. "
        "The table has the sums.",
    )


def _mark(x: float, text: str) -> Mark:
    """Near the end the word ends where the chart does."""
    return Mark(WIDTH, text, "end") if x > WIDTH - MARK else Mark(round(x, 1), text)


def _starts(found: UsagePage, unit: str, step: timedelta, known: Mapping[str, UsageGroup]) -> list[str]:
    """The columns' starts, as the API writes them."""
    if unit == "month":
        return sorted(start for start in known if start)
    since, until = (datetime.fromisoformat(found[name]) for name in ("since", "until"))
    first = since.replace(hour=0) if unit == "day" else since
    count = min(-(-(until - first) // step), 500)
    return [(first + number * step).strftime("%Y-%m-%d" if unit == "day" else "%Y-%m-%dT%H:%M:%SZ") for number in range(count)]


def _column(start: str, one: UsageGroup | None, kinds: Classes, values: Sequence[int]) -> Stack:
    told = ", ".join(f"{name} {value:,}" for (_, name), value in zip(kinds, values, strict=False) if value)
    calls = one["calls"] if one else 0
    return Stack(
        [(colour, float(value)) for (colour, _), value in zip(kinds, values, strict=False)],
        f"{start}: {calls:,} calls, {told or 'no tokens'}",
    )


def _sure(one: UsageGroup | None, lost: int | None, x: float, wide: float) -> Sure:
    without, calls = (one["coverage"]["without_usage"], one["calls"]) if one else (0, 0)
    kind = "bad" if lost else "gap" if without > calls * MARKED else "good" if one and lost is not None else "none"
    told = [f"{lost:,} records lost"] if lost else []
    told += [f"{without:,} of {calls:,} calls told nothing"] if without else []
    told += ["whether records were lost is not known here"] if lost is None else []
    return Sure(round(x, 1), round(max(wide - 2, 1), 1), kind, "; ".join(told) or ("all known" if one else "no calls"))


def _date(start: str, unit: str) -> str:
    moment = datetime.fromisoformat(start if unit != "month" or len(start) > 7 else f"{start}-01")
    return moment.strftime({"hour": "%H:%M", "day": "%-d %b", "month": "%b %Y"}[unit])
