"""What one exchange adds to the sums of usage, by the names of the sums: made of its record, and of nothing else.

The store keeps it beside the exchange (ExchangeColumns.usage), so that sums can be made anew, and taken back when a revision comes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast, get_args

import orjson

from collector.messages.record import Record
from collector.messages.usage import ClassName, RecordedUsage, UsageAbsence

TOKENS: Final[tuple[str, ...]] = get_args(ClassName)
REASONS: Final[tuple[str, ...]] = get_args(UsageAbsence)
ABSENT: Final[tuple[str, ...]] = tuple(f"absent_{reason}" for reason in REASONS)
CALLS, REVISED, LATE = "calls", "revised", "late"
ESTIMATED, UNCLASSED, UNITS = "estimated", "unclassed", "units"
OF_A_CALL: Final[tuple[str, ...]] = (ESTIMATED, UNCLASSED, UNITS, *ABSENT, *TOKENS)
SUMS: Final[tuple[str, ...]] = (CALLS, REVISED, LATE, *OF_A_CALL)

LARGEST = (1 << 32) - 1  # tokens of one class in one call: sums of what is beyond do not fit 64 bits some day, so it is unclassed
_CLASSES, _ESTIMATE = frozenset(TOKENS), "estimated"
_PLAIN = re.compile(r'[{"a-z0-9_:,]+}', re.ASCII).fullmatch  # no number that is negative, a fraction, or none
_TOLD_TOKENS = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))
_ALONE = {name: orjson.dumps({name: 1}).decode() for name in OF_A_CALL}  # the text where one call has nothing but this
ALONE: Final[Mapping[str, str]] = {text: name for name, text in _ALONE.items()}  # so that most texts need not be read


def usage_text(record: Record) -> str | None:
    """Its tokens by class, or 1 for why there are none, as JSON. None: it used nothing that is counted, or is not read as inference.

    For most of the traffic it takes half a microsecond; a record that came from a topic, and may say anything, is not believed.
    """
    classes, usage = record.get("usage_classes"), record.get("usage")
    if classes and usage and not _estimated(usage):
        try:
            fit = classes.keys() <= _CLASSES and max(cast(Mapping[str, int], classes).values()) <= LARGEST
            counted = orjson.dumps(classes if fit else {UNCLASSED: 1}).decode()
        except TypeError:
            return _ALONE[UNCLASSED]
        return counted if _PLAIN(counted) else _ALONE[UNCLASSED]
    return _unusual(record)


def _unusual(record: Record) -> str | None:
    classes, usage, why = record.get("usage_classes"), record.get("usage"), record.get("usage_absent")
    if classes and usage:
        fit = all(type(value) is int and 0 <= value <= LARGEST and name in _CLASSES for name, value in classes.items())
        return orjson.dumps({ESTIMATED: 1, **classes} if fit else {ESTIMATED: 1, UNCLASSED: 1}).decode()
    if why is not None:
        return _ALONE[f"absent_{why}"] if why in REASONS else None
    if not usage:
        return None
    if _TOLD_TOKENS.isdisjoint(usage):
        return _ALONE[UNITS]
    return orjson.dumps({UNCLASSED: 1, ESTIMATED: 1}).decode() if _estimated(usage) else _ALONE[UNCLASSED]


def annotations_text(record: Record) -> str | None:
    """The service's copied annotations as JSON; None: there are none."""
    found = record.get("service", {}).get("annotations")
    return orjson.dumps(found).decode() if found else None


def _estimated(usage: RecordedUsage) -> bool:
    completion, prompt = usage.get("completion_tokens"), usage.get("prompt_tokens")
    return (completion is not None and completion["provenance"] == _ESTIMATE) or (prompt is not None and prompt["provenance"] == _ESTIMATE)
