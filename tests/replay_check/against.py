"""Field by field: another commit's code and the present one on the very same journal file, which the other one wrote."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.replay_check import recording as recordings
from tests.replay_check.lines import Change, Line, changes, replay
from tests.replay_check.on_purpose import Purpose, is_on_purpose
from tests.replay_check.profiles import PROFILES, Profile
from tests.replay_check.recording import Recording

ROOT = Path(__file__).parents[2]
MODULE = "tests.replay_check"
WHOLE_EVENT = "*"  # the path of a change that is the event's being there or not


class Found(NamedTuple):
    """How one event, or dead letter, differs. `id`: the old one's, or the new one's if there was none."""

    profile: str
    type: str
    place: str
    id: str
    changes: Sequence[Change]


def compare(commit: str, recording: Recording, purposes: Sequence[Purpose], profiles: Sequence[Profile] = PROFILES) -> Iterator[Found]:
    """What is not on purpose, in order. Raises RuntimeError: the commit is not there, or its code cannot replay."""
    with tempfile.TemporaryDirectory(prefix="replay-check-") as folder:
        old, journal = Path(folder) / "old", Path(folder) / "journal" / "journal.db"
        _check_out(commit, old)
        recordings.write(recording, Path(folder) / "recording.zst")
        _run(old, "journal", f"{folder}/recording.zst", str(journal))
        for profile in profiles:
            lines = Path(folder) / f"{profile.name}.old"
            _run(old, "lines", str(journal), str(lines), profile.name)
            yield from _compared(profile, lines, journal, purposes)
            lines.unlink()


def write_lines(journal: Path, path: Path, profiles: Sequence[Profile]) -> None:
    """All lines of these profiles, as JSON arrays. What `compare` has the other commit's code do."""
    with path.open("wb") as file:

        def take(line: Line) -> None:
            file.write(msgspec.json.encode(line) + b"\n")

        for profile in profiles:
            replay(journal, profile, take)


def _check_out(commit: str, folder: Path) -> None:
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        raise RuntimeError(f"commit {commit} is not here: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    if not (folder / "tests/replay_check/__main__.py").exists():
        raise RuntimeError(f"commit {commit} has no tests/replay_check yet: name one that has")


def _run(folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", MODULE, *arguments], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the other commit's `{MODULE} {arguments[0]}` failed:\n{done.stderr.decode()[-4000:]}")


def _compared(profile: Profile, lines: Path, journal: Path, purposes: Sequence[Purpose]) -> Iterator[Found]:
    old, new = dict[tuple[int, int, int, str], str](), dict[tuple[int, int, int, str], str]()
    with lines.open("rb") as file:
        for packed in file:
            line = msgspec.json.decode(packed, type=Line)
            old[line[:4]] = line.text
    replay(journal, profile, lambda line: new.__setitem__(line[:4], line.text))
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        position, ordinal, number, type_ = key
        found = _differing(before, after)
        if left := [change for change in found if not is_on_purpose(purposes, type_, change.path)]:
            identity = msgspec.json.decode(before or after or "")["id"]
            yield Found(profile.name, type_, f"{position}/{ordinal}/{number}", identity, left)


def _differing(before: str | None, after: str | None) -> list[Change]:
    if before is None:
        return [Change(WHOLE_EVENT, "(no event)", "a new event")]
    if after is None:
        return [Change(WHOLE_EVENT, "an event", "(no event)")]
    return changes(before, after)
