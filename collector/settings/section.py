"""What the groups of settings have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from collector.settings.quantities import UNITS

MIB = 1 << 20


class Section(BaseModel):
    """A group of settings: unknown names are refused; what ends with `_bytes`, `_seconds` or `_days` may be written with a unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _with_units(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    read = next((read for ending, (read, _) in UNITS.items() if name.endswith(ending)), None)
    return value if read is None else read(value)


def is_there(path: Path | None) -> Path | None:
    """The path. Raises ValueError if it names no file: better at start than at the first use."""
    if path is not None and not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path
