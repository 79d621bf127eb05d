"""Field by field: another commit's code and the present one on the very same journal file, which the other one wrote."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
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
PLACE = "place"  # that of one by which the same event comes out elsewhere
Key = tuple[int, int, int, str]  # position, ordinal, number, type


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
    old, new = dict[Key, str](), dict[Key, str]()
    with lines.open("rb") as file:
        for packed in file:
            line = msgspec.json.decode(packed, type=Line)
            old[line[:4]] = line.text
    replay(journal, profile, lambda line: new.__setitem__(line[:4], line.text))
    for key, now, before, after in sorted(pairs(old, new)):
        position, ordinal, number, type_ = key
        found = _differing(before, after) if before != after else []
        if now != key:
            found.append(Change(PLACE, "/".join(map(str, key[:3])), "/".join(map(str, now[:3]))))
        if left := [change for change in found if not is_on_purpose(purposes, type_, change.path)]:
            identity = msgspec.json.decode(before or after or "")["id"]
            yield Found(profile.name, type_, f"{position}/{ordinal}/{number}", identity, left)


def pairs(old: Mapping[Key, str], new: Mapping[Key, str]) -> Iterator[tuple[Key, Key, str | None, str | None]]:
    """What differs: (the place, the place now, the old line, the new one). What stands elsewhere now is found by its id, all else by its
    place.
    """
    gone = {key: text for key, text in old.items() if new.get(key) != text}
    come = {key: text for key, text in new.items() if old.get(key) != text}
    by_id: dict[tuple[str, str], deque[Key]] = {}
    for key in sorted(come):
        by_id.setdefault(_named(key, come[key]), deque()).append(key)
    for key in sorted(gone):
        if found := by_id.get(_named(key, gone[key])):
            now = found.popleft()
            yield key, now, gone.pop(key), come.pop(now)
    for key in {*gone, *come}:
        yield key, key, gone.get(key), come.get(key)


def _named(key: Key, text: str) -> tuple[str, str]:
    return key[3], str(msgspec.json.decode(text)["id"])


def _differing(before: str | None, after: str | None) -> list[Change]:
    if before is None:
        return [Change(WHOLE_EVENT, "(no event)", "a new event")]
    if after is None:
        return [Change(WHOLE_EVENT, "an event", "(no event)")]
    return list(changes(before, after))
