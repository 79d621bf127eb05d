"""What the groups of settings have in common: unknown names are refused, and sizes and times may be written as people write them (`4GiB`,
`1h30m`). Plain numbers stay what they are (bytes, seconds, days).
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d+)?\s*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_POWER = "kmgt"
MIB = 1 << 20


def size(text: str) -> int | str:
    """Bytes. `KiB` is 1024, `kB` is 1000. A text that is no size comes back as it is, for the setting's own check to refuse."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or _NUMBER.fullmatch(text):
        return text
    number, unit = found[1], (found[2] or "").lower()
    base = 1024 if unit.endswith("i") else 1000
    power = _POWER.index(unit[0]) + 1 if unit else 0
    return round(float(number) * float(base**power))


def seconds(text: str) -> float | str:
    """Seconds of one or several numbers with units, the largest first or not. Other texts come back as they are."""
    if _NUMBER.fullmatch(text):
        return text
    whole = text.strip().lower()
    found = _TIME.findall(whole)
    if not found or _TIME.sub("", whole).strip():
        return text
    return sum(float(number) * _SECONDS[unit] for number, unit in found)


def days(text: str) -> float | str:
    """Days, as `seconds`."""
    found = seconds(text)
    return found if isinstance(found, str) else found / 86400


UNITS = {
    "_bytes": (size, "a size such as 64MiB, or bytes"),
    "_seconds": (seconds, "a time such as 10s or 1h30m, or seconds"),
    "_days": (days, "a time such as 30d, or days"),
}


class Section(BaseModel):
    """A group of settings: unknown names are refused; what ends with `_bytes`, `_seconds` or `_days` may be written with a unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _with_units(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    read = next((read for ending, (read, _) in UNITS.items() if name.endswith(ending)), None)
    return value if read is None else read(value)


def is_there(path: Path | None) -> Path | None:
    """The path. Raises ValueError if it names no file: better at start than at the first use."""
    if path is not None and not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path
