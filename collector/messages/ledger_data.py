"""A ledger window as an event's data, and the columns that are read off these data (messages/columns.py). Pure.

The data are made by describe; the columns are read off the data, there and wherever an event comes from a topic, so both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest

from collector.messages.columns import LedgerColumns
from collector.messages.exchange import LedgerWindow
from collector.messages.ledger import BY_REASON, COUNTS, DROPPED, MALFORMED, MISSING, RECEIVED, REFUSED
from collector.messages.times import microseconds, timestamp

LARGEST = (1 << 63) - 1  # what a column holds; a number beyond stands still there
REASONS_KEPT = 64  # of one kind, in one window; the smallest of more are put together
OTHER = "other"


def data(window: LedgerWindow) -> dict[str, object]:
    """What the event says. Numbers and names are bounded whatever the window holds; times are RFC 3339, as `window.start` is."""
    node = window.node
    said: dict[str, object] = {
        "node": node.id,
        "namespace": node.namespace,
        "workload": node.workload,
        "window": {"start": timestamp(window.start_us), "seconds": window.window_us / 1_000_000},
        **_bounded(window.counts),
        DROPPED: _bounded(window.dropped),
        "abandoned": _bounded(window.abandoned),
        REFUSED: _bounded(window.refused),
        MALFORMED: _bounded(window.malformed),
    }
    if node.sender:
        said["sender"] = node.sender
    if window.cured:
        said["cured"] = {
            name: {timestamp(start): _fit(number) for start, number in of.items() if number} for name, of in window.cured.items()
        }
    if window.away_us is not None:
        start, end = window.away_us
        away: dict[str, object] = {"from": timestamp(start), "to": timestamp(end)}
        if window.away_reason:
            away["reason"] = window.away_reason
        if window.away_suspect:
            away["clock_suspect"] = True
        said["away"] = away
    return said


def columns(said: Mapping[str, object]) -> LedgerColumns:
    """The columns of an event with these data. No number is below 0, so none makes up for another: where an old window has fewer than none
    `missing`, because some came late, these are not `received` in it (migration 0008 does the same to its row).

    Raises ValueError, KeyError, TypeError: the data do not have the shape.
    """
    lies, away = _members(said["window"]), _members(said.get("away") or {})
    counts = {name: _number(said.get(name, 0)) for name in COUNTS}
    counts[RECEIVED] += min(0, counts[MISSING])
    return LedgerColumns(
        node=_text(said["node"]),
        sender=_text(said.get("sender")),
        namespace=_text(said["namespace"]) or None,
        workload=_text(said["workload"]) or None,
        window_us=_fit(round(_length(lies["seconds"]) * 1_000_000)),
        **{name: max(0, number) for name, number in counts.items()},
        **{name: _total(said.get(name)) for name in BY_REASON},
        cured=_fit(sum(_total(of) for of in _pairs(said.get("cured")).values())),
        away_from_us=microseconds(_text(away["from"])) if away else None,
        away_to_us=microseconds(_text(away["to"])) if away else None,
    )


def _bounded(counts: Mapping[str, int]) -> dict[str, int]:
    if len(counts) <= REASONS_KEPT:
        return {name: _fit(number) for name, number in counts.items()}
    kept = dict(nlargest(REASONS_KEPT - 1, counts.items(), key=lambda item: (item[1], item[0])))
    rest = sum(number for name, number in counts.items() if name not in kept)
    kept[OTHER] = kept.get(OTHER, 0) + rest
    return {name: _fit(number) for name, number in kept.items()}


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"expected a number, not {type(value).__name__}")
    return _fit(value)


def _length(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number of seconds, not {type(value).__name__}")
    return value


def _text(value: object) -> str:
    """Empty where there is none."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"expected a text, not {type(value).__name__}")
    return value or ""


def _fit(number: int) -> int:
    return max(-LARGEST - 1, min(number, LARGEST))


def _total(of: object) -> int:
    return max(0, _fit(sum(_pairs(of).values())))


def _pairs(of: object) -> dict[str, int]:
    if of is None:
        return {}
    if not isinstance(of, dict):
        raise TypeError(f"expected counts by name, not {type(of).__name__}")
    return of


def _members(of: object) -> dict[str, object]:
    if not isinstance(of, dict):
        raise TypeError(f"expected members by name, not {type(of).__name__}")
    return of
