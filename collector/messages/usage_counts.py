"""What one exchange adds to the sums of usage, by the names of the sums: made of its record, and of nothing else.

The store keeps it beside the exchange (ExchangeColumns.usage), so that sums can be made anew, and taken back when a revision comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import orjson

from collector.messages.record import Record
from collector.messages.usage import ClassName, UsageAbsence

TOKENS: Final[tuple[str, ...]] = get_args(ClassName)
REASONS: Final[tuple[str, ...]] = get_args(UsageAbsence)
ABSENT: Final[tuple[str, ...]] = tuple(f"absent_{reason}" for reason in REASONS)
CALLS, REVISED, LATE = "calls", "revised", "late"
ESTIMATED, UNCLASSED, UNITS = "estimated", "unclassed", "units"
OF_A_CALL: Final[tuple[str, ...]] = (ESTIMATED, UNCLASSED, UNITS, *ABSENT, *TOKENS)
SUMS: Final[tuple[str, ...]] = (CALLS, REVISED, LATE, *OF_A_CALL)

LARGEST = (1 << 32) - 1  # tokens of one class in one call: sums of what is beyond do not fit 64 bits some day, so it is unclassed
_TOLD_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


def usage_counts(record: Record) -> Mapping[str, int]:
    """Its tokens by class; or 1 for why there are none. Empty: it used nothing that is counted, or is not read as inference."""
    classes = record.get("usage_classes")
    usage = record.get("usage")
    if classes and usage:
        counts: dict[str, int] = dict(classes)  # type: ignore[arg-type]
        if _fit(counts):
            return {ESTIMATED: 1, **counts} if _estimated(usage) else counts
        return {UNCLASSED: 1}
    if (why := record.get("usage_absent")) is not None:
        return {f"absent_{why}": 1} if why in REASONS else {}
    if not usage:
        return {}
    if any(name in usage for name in _TOLD_TOKENS):
        return {UNCLASSED: 1, ESTIMATED: 1} if _estimated(usage) else {UNCLASSED: 1}
    return {UNITS: 1}


def usage_text(record: Record) -> str | None:
    """The same as JSON, as the store keeps it; None: there is nothing."""
    counts = usage_counts(record)
    return orjson.dumps(counts).decode() if counts else None


def annotations_text(record: Record) -> str | None:
    """The service's copied annotations as JSON; None: there are none."""
    found = record.get("service", {}).get("annotations")
    return orjson.dumps(found).decode() if found else None


def _fit(counts: Mapping[str, Any]) -> bool:
    """Whether all are numbers of classes that are known, such as can be added up. A record may come from a topic, and say anything."""
    return all(type(value) is int and 0 <= value <= LARGEST and name in TOKENS for name, value in counts.items())


def _estimated(usage: Mapping[str, Any]) -> bool:
    return any(name in usage and usage[name].get("provenance") == "estimated" for name in _TOLD_TOKENS)
