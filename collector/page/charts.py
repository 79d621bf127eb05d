"""Where the shapes of charts lie, in the units of their view boxes; the pages' templates draw them. Pure.

Widths and heights are attributes of SVG, never styles: the pages' policy allows no style but that of the sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH = 1180.0
GAP = 2.0


class Bar(NamedTuple):
    """A rectangle. `kind` names its colour in the sheet, `title` says what it is."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str
    href: str = ""


class Stack(NamedTuple):
    """A column of several parts, from below."""

    parts: Sequence[tuple[str, float]]  # kind, value
    title: str
    href: str = ""


def stacks(columns: Sequence[Stack], height: float, left: float = 0.0, top: float | None = None) -> list[Bar]:
    """Columns side by side, the highest as high as the chart, or `top` as high."""
    if not columns:
        return []
    highest = top or max(sum(value for _, value in column.parts) for column in columns) or 1.0
    step = (WIDTH - left) / len(columns)
    found = []
    for number, column in enumerate(columns):
        y, x = height, left + number * step
        for kind, value in column.parts:
            tall = round(height * value / highest, 2)
            if value > 0:
                tall = max(tall, 1.0)
                y -= tall
                found.append(Bar(round(x, 2), round(y, 2), round(max(step - GAP, 1.0), 2), tall, kind, column.title, column.href))
    return found


def scale(highest: float, wanted: int = 4) -> list[float]:
    """Round numbers from above 0 to `highest` or a little more, about so many."""
    if highest <= 0:
        return []
    rough = highest / wanted
    power = 10.0 ** floor(log10(rough))
    step = next(times * power for times in (1.0, 2.0, 2.5, 5.0, 10.0) if times * power >= rough)
    return [step * number for number in range(1, ceil(highest / step) + 1)]


class Stall(NamedTuple):
    """A pause that is longer than the stream's own pace explains."""

    x: float
    width: float
    ms: float


class Strip(NamedTuple):
    """A stream in time: one path for all its ticks, the wait before the first, the pauses."""

    path: str
    first_x: float
    stalls: Sequence[Stall]
    end_x: float


STRIP_WIDTH, MOST_TICKS = 640.0, 640


def strip(times: Sequence[float], total_ms: float, stalls: Sequence[tuple[float, float]]) -> Strip | None:
    """`times`: of the events, in ms since the request's start, in order; `stalls`: (from, length). None: nothing to draw.

    Ticks of one and the same pixel are drawn once: 50,000 events make no longer path than 640.
    """
    whole = max(total_ms, times[-1] if times else 0.0)
    if not times or whole <= 0:
        return None
    by_pixel = sorted({round(at / whole * MOST_TICKS) for at in times})
    path = "".join(f"M{x:g} 10v20" for x in by_pixel)
    drawn = [Stall(round(at / whole * STRIP_WIDTH, 1), round(length / whole * STRIP_WIDTH, 1), length) for at, length in stalls]
    return Strip(path, round(times[0] / whole * STRIP_WIDTH, 1), drawn, STRIP_WIDTH)


def spread(values: Sequence[tuple[str, float]]) -> list[tuple[str, float, float]]:
    """(kind, from, width) in percent, side by side; parts of nothing are left out."""
    whole = sum(value for _, value in values)
    found, at = [], 0.0
    for kind, value in values:
        if value > 0 and whole > 0:
            wide = 100 * value / whole
            found.append((kind, round(at, 2), round(wide, 2)))
            at += wide
    return found
