"""An export in parts: each is asked for by the cursor of the one before, written whole, and noted; then the next.

The cursor of the first part says what the store held when it was asked. It is noted before anything else, so whoever goes on later goes on
with the same rows, in the same parts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from collector.commands.exits import InputError, UnreachableError

if TYPE_CHECKING:
    import httpx

    from collector.commands.client import AuditClient
    from collector.commands.export_place import ExportPlace

MANIFEST, NOTES = "manifest.json", "export.unfinished.json"
_ID = re.compile(rb"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_END = re.compile(rb'(?:\{"meshscribe_export":(?P<json>.*)\}|#meshscribe_export (?P<csv>.*?))\r?\n', re.DOTALL)


class Patience(NamedTuple):
    """How often a part that was cut is asked for again, and how long that waits, in seconds: each time twice as long, up to the longest."""

    tries: int = 8
    first_wait: float = 0.5
    longest_wait: float = 10.0

    def waits(self) -> Iterator[float]:
        for number in range(self.tries):
            yield min(self.first_wait * 2**number, self.longest_wait)


PATIENT = Patience()


class Job(msgspec.Struct, frozen=True):
    """What is asked for: the API's parameters, the files' format, rows in a file."""

    query: dict[str, str]
    format: str
    part_rows: int

    @property
    def asked(self) -> dict[str, str]:
        """The parameters, with the format that the API is asked for."""
        return {**self.query, "format": "csv" if self.format == "csv" else "ndjson"}


class PartFile(msgspec.Struct, frozen=True):
    """A file that is written."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct):
    """What is written. `cursor`: where the next part begins; in the end, where the first one began."""

    job: Job
    cursor: str
    rows: int = 0
    parts: list[PartFile] = []
    begin: str = ""


class End(msgspec.Struct):
    """An answer's last line."""

    rows: int
    bytes: int
    sha256: str = ""
    next: str | None = None
    ended: str | None = None  # why, before its time


class Progress(NamedTuple):
    """`share`: of the export's time, where it is known."""

    rows: int
    share: float | None


def run(api: AuditClient, place: ExportPlace, job: Job, told: Callable[[Progress], None], patience: Patience = PATIENT) -> Manifest:
    """Begins or goes on, to the end. Raises InputError: there is another export; UnreachableError: the API stays away."""
    notes = _notes(place, job)
    clock = _Clock(told)
    while True:
        number = len(notes.parts) + 1
        name = f"part-{number:06}.{job.format}"
        with place.making(name) as draft:
            end = _patiently(lambda: _fetch(api, place, notes, draft, clock), patience)
            size, hashed = _measured(draft)
        notes.parts.append(PartFile(name, end.rows, size, hashed))
        notes.rows += end.rows
        if end.next is None:
            notes.cursor = ""
            place.write(MANIFEST, _written(notes))
            place.remove(NOTES)
            return notes
        notes.cursor = end.next
        place.write(NOTES, _written(notes))


def _notes(place: ExportPlace, job: Job) -> Manifest:
    if place.read(MANIFEST) is not None:
        raise InputError(f"{place.name(MANIFEST)}: there is an export already, and it is whole: name another place")
    noted = place.read(NOTES)
    if noted is None:
        return Manifest(job, "")
    try:
        notes = msgspec.json.decode(noted, type=Manifest)
    except msgspec.DecodeError as error:
        raise InputError(f"{place.name(NOTES)}: {error}: name another place") from None
    if notes.job != job:
        raise InputError(f"{place.name(NOTES)}: an export with other options was begun there: go on with them, or name another place")
    return notes


def _written(notes: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(notes), indent=2) + b"\n"


def _fetch(api: AuditClient, place: ExportPlace, notes: Manifest, draft: Path, clock: _Clock) -> End:
    """One part into a file. Raises UnreachableError: it did not come whole."""
    asked = {**notes.job.asked, "limit": notes.job.part_rows, "cursor": notes.cursor or None}
    with api.stream("/v1/export", asked) as answer:
        if not notes.cursor:
            notes.cursor = notes.begin = answer.headers["meshscribe-cursor"]
            place.write(NOTES, _written(notes))
        with _writer(notes.job, draft) as writer:
            return _copied(answer, writer.write, clock.from_row(notes.rows))


def _copied(answer: httpx.Response, write: Callable[[bytes], object], at: Callable[[bytes, int], None]) -> End:
    """The last line is held back, and must tell what came before it."""
    hashed, size, rows, held = sha256(), 0, 0, bytearray()
    for piece in answer.iter_bytes():
        held += piece
        last = held.rfind(b"\n", 0, len(held) - 1) + 1 if b"\n" in piece else 0
        if last:
            ready = bytes(held[:last])
            del held[:last]
            hashed.update(ready)
            size, rows = size + len(ready), rows + ready.count(b"\n")
            write(ready)
            at(ready, rows)
    found = _END.fullmatch(held)
    if found is None:
        raise UnreachableError("the answer was cut")
    end = msgspec.json.decode(found["json"] or found["csv"], type=End)
    if end.ended is not None:
        raise UnreachableError(f"the answer was ended: {end.ended}")
    if (end.bytes, end.sha256) != (size, hashed.hexdigest()):
        raise UnreachableError("the answer does not fit its checksum")
    return end


class Writer(Protocol):
    """Takes whole lines; a context manager that ends the file."""

    def __enter__(self) -> Writer: ...
    def __exit__(self, kind: object, /, *error: object) -> None: ...
    def write(self, lines: bytes) -> object: ...


def _writer(job: Job, draft: Path) -> Writer:
    if job.format == "parquet":
        from collector.commands.export_parquet import ParquetFile

        return ParquetFile(draft, bodies="bodies" in job.query)
    return _Plain(draft)


class _Plain:
    """Lines as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Plain:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, kind: object, /, *_: object) -> None:
        self._file.close()

    def write(self, lines: bytes) -> None:
        self._file.write(lines)


def _measured(path: Path) -> tuple[int, str]:
    hashed, size = sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hashed.update(piece)
            size += len(piece)
    return size, hashed.hexdigest()


def _patiently(work: Callable[[], End], patience: Patience) -> End:
    """A part that was cut is asked for again: its cursor gives the same rows."""
    waits = patience.waits()
    while True:
        try:
            return work()
        except UnreachableError:
            wait = next(waits, None)
            if wait is None:
                raise
            time.sleep(wait)


class _Clock:
    """How far it is, by the times that ids begin with."""

    def __init__(self, told: Callable[[Progress], None]) -> None:
        self._told = told
        self._first: int | None = None
        self._now = time.time_ns() // 1_000_000

    def from_row(self, before: int) -> Callable[[bytes, int], None]:
        """Takes lines, and how many there were in this part."""

        def at(lines: bytes, rows: int) -> None:
            found = _ID.search(lines, lines.rfind(b"\n", 0, len(lines) - 1) + 1)
            share = None
            if found is not None:
                when = int(found[1] + found[2], 16)
                self._first = when if self._first is None else self._first
                whole = abs(self._now - self._first)
                share = min(abs(when - self._first) / whole, 1.0) if whole else None
            self._told(Progress(before + rows, share))

        return at
