"""What the groups of settings have in common."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

MIB = 1 << 20


class Section(BaseModel):
    """A group of settings: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_there(path: Path | None) -> Path | None:
    """The path. Raises ValueError if it names no file: better at start than at the first use."""
    if path is not None and not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path
