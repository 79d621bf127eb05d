"""The differences that are on purpose: on_purpose.toml, which says how an entry looks."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent / "on_purpose.toml"


class Purpose(NamedTuple):
    """`type` and `path` may hold `*`. The path of an event that is there on one side only is `*` itself."""

    type: str
    path: str
    reason: str


def read(path: Path = FILE) -> list[Purpose]:
    """Raises TypeError: an entry lacks a field, or has one too many; ValueError: its reason says nothing."""
    found = [Purpose(**entry) for entry in tomllib.loads(path.read_text()).get("difference", [])]
    if any(not purpose.reason.strip() for purpose in found):
        raise ValueError(f"{path}: each difference needs its reason")
    return found


def is_on_purpose(purposes: Sequence[Purpose], type_: str, path: str) -> bool:
    """Whether one of them names this field."""
    return any(fnmatchcase(type_, one.type) and (path == one.path or (path != "*" and fnmatchcase(path, one.path))) for one in purposes)
