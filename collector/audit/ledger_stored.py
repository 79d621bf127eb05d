"""What a stored window's JSON says. A damaged one costs itself alone: the row's columns, which stand apart from it, still count. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
REASONS_DAMAGED = "reasons_damaged"  # stands for the reasons that nobody can read any more


class Cures(msgspec.Struct):
    """What a window says of earlier ones: the count, the start of the window that counted it, and how many came after all."""

    cured: dict[str, dict[datetime, int]] = {}


_window = msgspec.json.Decoder(dict[str, Any]).decode
_cures = msgspec.json.Decoder(Cures).decode


def read_window(data: object) -> dict[str, Any] | None:
    """All that the window says; None: it is damaged."""
    return _read(_window, data)


def read_cures(data: object) -> Cures | None:
    """What the window takes back; None: it is damaged."""
    return _read(_cures, data)


def _read(decode: Callable[[bytes], T], data: object) -> T | None:
    if not isinstance(data, bytes):  # SQLite reads text, a number or nothing where a bit of the row's head is flipped
        return None
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
