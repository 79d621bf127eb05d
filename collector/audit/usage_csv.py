"""Sums of usage as comma-separated values (RFC 4180), in the cells of an export: a line for each group. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from collector.audit.export_forms import cell
from collector.messages.usage_counts import ESTIMATED, LATE, TOKENS, UNCLASSED, UNITS

END = "#meshscribe_usage"  # what the last line begins with
_UNTOLD = (UNCLASSED, UNITS, ESTIMATED, LATE)


def csv_of(items: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """`items` of GET /v1/usage; `names`: what they are grouped by."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, "folded", "calls", *TOKENS, "without_usage", "share_without_usage", *_UNTOLD])
    for item in items:
        tokens, coverage = item["tokens"], item["coverage"]
        known = [cell(item["group"].get(name)) for name in names]
        counts = [coverage[name] for name in ("without_usage", "share_without_usage")]
        more = [coverage.get(name, 0) for name in _UNTOLD]
        writer.writerow([*known, int(item.get("folded", False)), item["calls"], *(tokens.get(name, 0) for name in TOKENS), *counts, *more])
    return text.getvalue()


def end_of(told: Mapping[str, Any]) -> str:
    """The last line: the time, the totals, and what the sums do not tell, as JSON."""
    return f"{END} {msgspec.json.encode({name: value for name, value in told.items() if value is not None}).decode()}\r\n"
