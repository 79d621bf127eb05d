"""Numbers, sizes, times and flags as people read them. Pure.

No false digits: three that count are enough to look at; the exact value stands in a title beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

NONE = "–"
_MILLION = 1_000_000
_UNITS = ("B", "kB", "MB", "GB", "TB")

Level = str  # good, gap, bad, quiet: what a reader is to make of it

# In the order in which they matter to a reader: the first that is set is the record's one word.
_FLAGS: Sequence[tuple[str, str, Level, str]] = (
    ("upstream_reset", "upstream reset", "bad", "The server, or the connection to it, broke off before the answer was whole."),
    ("client_aborted", "client left", "gap", "The client left before the end. What passed until then is here."),
    ("unfinished", "unfinished", "bad", "Nobody told its end: the proxy stopped, or its last messages were lost."),
    ("request_body_gap", "request lost in part", "bad", "Pieces of the request's body were lost on their way to the collector."),
    ("response_body_gap", "answer lost in part", "bad", "Pieces of the answer's body were lost on their way to the collector."),
    ("headers_gap", "headers lost", "bad", "Headers that the tap saw were lost on their way to the collector."),
    ("tap_missing", "tap missing", "gap", "The tap was expected to tell of this exchange and did not: there are no bodies."),
    ("access_log_missing", "log missing", "gap", "Envoy's access log was expected to tell of this exchange and did not."),
    ("not_tapped", "not tapped", "quiet", "No filter saw it, by policy or by its nature: there are no bodies."),
    ("request_truncated", "request cut", "quiet", "The request was longer than what is captured: its middle is not kept."),
    ("response_truncated", "answer cut", "quiet", "The answer was longer than what is captured: its middle is not kept."),
    ("complete", "complete", "good", "Its witnesses told all of it."),
)

ABSENCES = {
    "withheld": "a redaction rule took the body",
    "unknown_protocol": "the protocol is not known",
    "capture_limit": "the part that tells it was not captured",
    "aborted_before_usage": "the call broke off before it was told",
    "not_asked": "the client did not ask for it",
    "not_told": "the server did not tell it",
}
PROVENANCES = {
    "reported": "told by the server",
    "last_cumulative": "running totals of the server",
    "estimated": "estimated by the tokenizer",
}


# What exchanges are that never made a model work themselves.
PASSING = ("gateway", "waypoint", "client", "transformer", "explainer", "prefill")
_NOT_BILLED = {
    "not-answered": "it was not answered",
    "mirrored": "a route made this copy",
    "billed-before": "this answer was billed before",
}
LOOKS = {
    "list": "in a list",
    "record": "the record",
    "conversation": "what was said",
    "timeline": "the stream in time",
    "request body": "the request's body",
    "response body": "the response's body",
    "call": "with its call",
    "events": "its events",
    "export": "in an export",
    "tail": "live",
}


def billing(role: str, billable: bool, rule: str) -> str:
    """Whether an exchange of a call is billed, and why."""
    configured, name = rule.startswith("configured:"), rule.removeprefix("configured:")
    by = ", by the setting usage.billable_hops" if configured else ""
    if billable:
        return f"billed here{by}"
    if name in _NOT_BILLED:
        return f"not billed: {_NOT_BILLED[name]}"
    if role in PASSING:
        return f"not billed: the {role} passes it on{by}"
    return f"not billed: it asked for nothing that costs{by}"


def counted(value: object, unit: str) -> str:
    """`1 row`, `2 rows`; `unit` is the plural."""
    return f"{number(value)} {unit.removesuffix('s') if value == 1 and len(unit) > 1 else unit}"


def number(value: object) -> str:
    """`3,911`, `265 M`; a dash for what is not known."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return NONE
    if abs(value) >= 10 * _MILLION:
        return _scaled(value)
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _scaled(value: float) -> str:
    for unit in ("M", "G", "T", "P"):
        value /= _MILLION if unit == "M" else 1000
        if abs(value) < 999.5:
            break
    return f"{value:.1f} {unit}" if abs(value) < 99.95 else f"{value:,.0f} {unit}"


def duration(ms: object) -> str:
    """Milliseconds as `11 ms`, `2.9 s`, `3 min 20 s`."""
    if not isinstance(ms, int | float) or isinstance(ms, bool):
        return NONE
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: object) -> str:
    """Bytes as `162 B`, `1.2 GB` (powers of 1,000)."""
    if not isinstance(count, int | float) or isinstance(count, bool):
        return NONE
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.1f} {_UNITS[unit]}"


def share(part: float, whole: float) -> str:
    """`1.1 %`; what is little is not told as nothing."""
    if whole <= 0:
        return NONE
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return "0 %" if percent == 0 else "100 %" if percent == 100 else f"{percent:.1f} %"


def clock(stamp: object) -> str:
    """The time of day of an RFC 3339 time."""
    return str(stamp)[11:19] if isinstance(stamp, str) else NONE


def day_and_clock(stamp: object) -> str:
    """`29 Nov 2026 16:42:05` of an RFC 3339 time."""
    if not isinstance(stamp, str):
        return NONE
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC).strftime("%-d %b %Y %H:%M:%S")
    except ValueError:
        return stamp


def person(principal: object) -> str:
    """A SPIFFE id as `namespace/account`; anything else as it is."""
    if not isinstance(principal, str):
        return NONE
    parts = principal.split("/")
    if principal.startswith("spiffe://") and len(parts) >= 7 and parts[3] == "ns" and parts[5] == "sa":
        return f"{parts[4]}/{parts[6]}"
    return principal


def state(flags: Sequence[str]) -> tuple[str, Level]:
    """The record's completeness in one word, and its level."""
    return next(((word, level) for flag, word, level, _ in _FLAGS if flag in flags), ("not known", "quiet"))


def told(flags: Sequence[str]) -> list[str]:
    """Each flag as a sentence, the gravest first."""
    return [sentence for flag, _, _, sentence in _FLAGS if flag in flags]


def status_level(status: object) -> Level:
    """How grave a status is."""
    if not isinstance(status, int):
        return "quiet"
    return "bad" if status >= 500 else "gap" if status >= 400 else "plain"


def seconds(stamp: str) -> float:
    """An RFC 3339 time as seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(stamp).timestamp()
