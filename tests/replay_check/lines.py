"""What comes out, as canonical lines: one for each event and each dead letter, with everything that a store or a topic would hold of it.

A line is JSON with sorted names, so two lines are equal if and only if what they tell is. Bytes are told as they are (Latin-1), so that
an event's data are compared byte for byte; the difference of two lines looks into data that are JSON.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from collector.dead_letters import DeadLetter
from collector.messages.event import Event, Output
from tests.replay_check import driven
from tests.replay_check.profiles import Profile

LETTER = "dead letter"


class Line(NamedTuple):
    """`number`: of the event in its output. `text`: all of it."""

    position: int
    ordinal: int
    number: int
    type: str
    text: str

    @property
    def digest(self) -> bytes:
        """Short: that one changed event is taken for the same has a chance of one in four thousand million."""
        return blake2b(self.text.encode(), digest_size=4).digest()


def replay(journal: Path, profile: Profile, take: Callable[[Line], None]) -> None:
    """Hands on all lines, in order. The journal's file stays as it is."""

    def take_output(output: Output, letter: DeadLetter | None) -> None:
        position, ordinal = output.place
        for number, event in enumerate(output.events):
            take(Line(position, ordinal, number, event.type, _text(_event(event))))
        if letter is not None:
            take(Line(position, ordinal, len(output.events), LETTER, _text(letter._asdict())))

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "journal.db"
        shutil.copy(journal, copy)
        driven.replay(copy, profile, take_output)


def _event(event: Event) -> dict[str, Any]:
    """Columns by name, of today's types and of the mappings that older code, which this may drive, has."""
    columns = event.columns if event.columns is not None else {}
    named = dict(columns) if isinstance(columns, Mapping) else columns._asdict()
    return {**event._asdict(), "extensions": dict(event.extensions), "columns": named}


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(f"{type(value).__name__} has no canonical form: name one in tests/replay_check/lines.py")


class Change(NamedTuple):
    """One field that differs. `path`: as `data.usage.total_tokens.value`, numbers for elements of lists."""

    path: str
    old: Any
    new: Any


ABSENT = "(absent)"


def changes(old: str, new: str) -> list[Change]:
    """Where two lines differ, innermost."""
    told = _opened(json.loads(old)), _opened(json.loads(new))
    found = list(_changes("", *told))
    if not found:  # the same values, spelled otherwise
        first, second = json.loads(old).get("data"), json.loads(new).get("data")
        found = [Change("data (bytes)", first, second)]
    return found


def _opened(line: dict[str, Any]) -> dict[str, Any]:
    """With data that are JSON as their value."""
    try:
        return {**line, "data": json.loads(line["data"].encode("latin-1"))}
    except (ValueError, KeyError, RecursionError):
        return line


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _changes(f"{path}.{name}" if path else name, old.get(name, ABSENT), new.get(name, ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changes(f"{path}.{number}", one, other)
    elif json.dumps(old) != json.dumps(new):  # 1, 1.0 and true are not the same
        yield Change(path, old, new)
