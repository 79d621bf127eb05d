"""Ranges of numbers as parameters: `>4000`, `<=2s`, `10..20`, `1M`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor

_ONE = r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s?([a-zA-Z]{0,2})"
_COMPARED = re.compile(rf"(>=|<=|>|<|=)?\s?{_ONE}")
_BETWEEN = re.compile(rf"{_ONE}\.\.{_ONE}")
_TIMES: Mapping[str, int] = {"": 1000, "us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_SIZES: Mapping[str, int] = {"": 1, "B": 1, "k": 1000, "K": 1000, "kB": 1000, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9}
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers from `low` to `high`, both inside. None: open."""

    low: int | None = None
    high: int | None = None

    def holds(self, value: int | None) -> bool:
        """Whether the number is known, and in it."""
        return value is not None and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def plain(text: str) -> Range:
    """Of a number. Raises ValueError that says what is expected, as the others do."""
    return _read(text, {"": 1, "k": 1000, "M": 10**6}, "a number: 4000, >4000, <=4k, 1000..4000")


def time_us(text: str) -> Range:
    """Of a time, in microseconds; without a unit it is milliseconds."""
    return _read(text, _TIMES, "a time: >2s, <=250ms, 1s..2m; without a unit ms")


def size(text: str) -> Range:
    """Of a number of bytes."""
    return _read(text, _SIZES, "a size: >1M, <=512k, 10k..20k")


def _read(text: str, units: Mapping[str, int], expected: str) -> Range:
    if found := _BETWEEN.fullmatch(text):
        low, high = _value(found[1], found[2], units, expected), _value(found[3], found[4], units, expected)
        if low > high:
            raise ValueError(f"ends before it begins; expected {expected}")
        return Range(_up(low), _down(high))
    found = _COMPARED.fullmatch(text)
    if not found:
        raise ValueError(f"expected {expected}")
    value = _value(found[2], found[3], units, expected)
    match found[1]:
        case ">":
            return Range(low=min(_down(value) + 1, _LARGEST))
        case ">=":
            return Range(low=_up(value))
        case "<":
            return Range(high=_up(value) - 1)
        case "<=":
            return Range(high=_down(value))
        case _:
            return Range(_up(value), _down(value))


def _value(digits: str, unit: str, units: Mapping[str, int], expected: str) -> Decimal:
    if unit not in units:
        raise ValueError(f"{unit!r} is no unit; expected {expected}")
    return Decimal(digits) * units[unit]


def _up(value: Decimal) -> int:
    return min(ceil(value), _LARGEST)


def _down(value: Decimal) -> int:
    return min(floor(value), _LARGEST)
