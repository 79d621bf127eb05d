"""Does the present code make the same events of the recorded journal?

    python -m tests.replay_check                             compare with the committed digests (`make replay-check`)
    python -m tests.replay_check check --against COMMIT      field by field, with what that commit's code makes of the same journal file
    python -m tests.replay_check accept                      new digests, if all that differs from the old ones' commit is on purpose
    python -m tests.replay_check record                      a new recording, and its digests

`journal` and `lines` are what another commit's copy of this is called with: keep their arguments.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import collector
from tests.replay_check import baseline, driven, on_purpose, recording
from tests.replay_check.against import ROOT, Found, compare, write_lines
from tests.replay_check.lines import replay
from tests.replay_check.profiles import PROFILES
from tests.replay_check.recording import Recording

SEED = 14
SHOWN, FIELDS_SHOWN, VALUE_SHOWN = 10, 6, 100
_NUMBER = re.compile(r"\.\d+")  # of an element of a list


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if something differs."""
    if Path(collector.__file__).parents[1] != ROOT:
        return _fail(f"the collector of {ROOT} is meant, not {collector.__file__}: run it there with python -m")
    options = _options(arguments)
    try:
        return int(options.run(options))
    except RuntimeError as error:
        return _fail(str(error))


def _options(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.replay_check", description="Does the code make the same events as before?")
    parser.set_defaults(run=_check, against=None)
    commands = parser.add_subparsers()
    check = commands.add_parser("check")
    check.add_argument("--against", metavar="COMMIT")
    check.set_defaults(run=_check)
    for name, run in (("accept", _accept), ("record", _record)):
        commands.add_parser(name).set_defaults(run=run)
    journal = commands.add_parser("journal")
    journal.add_argument("recording", type=Path)
    journal.add_argument("out", type=Path)
    journal.set_defaults(run=_journal)
    lines = commands.add_parser("lines")
    lines.add_argument("journal", type=Path)
    lines.add_argument("out", type=Path)
    lines.add_argument("profiles", nargs="*", default=[profile.name for profile in PROFILES])
    lines.set_defaults(run=_lines)
    return parser.parse_args(arguments)


def _check(options: Any) -> int:
    recorded = recording.read()
    if options.against:
        return _check_against(options.against, recorded)
    old = baseline.read()
    if old.recording != recorded.digest:
        return _fail("the digests are of another recording: make both anew, with the code of the old commit (`record`)")
    began, new = time.perf_counter(), digests(recorded)
    found = [one for name, stored in old.profiles.items() for one in baseline.differences(name, stored, new[name])]
    if found:
        print(f"{len(found)} events differ from those of commit {old.commit[:12]}. The first:")
        print(*(f"  {one}" for one in found[:SHOWN]), sep="\n")
        return _fail(f"which fields: python -m tests.replay_check check --against {old.commit[:12]}")
    _told(recorded, new, time.perf_counter() - began, "all as before")
    return 0


def _told(recorded: Recording, new: dict[str, baseline.Digests], seconds: float, how: str) -> None:
    by_type = sum((one.by_type() for one in new.values()), Counter[str]())
    print(f"{len(recorded.entries)} entries under {len(new)} settings: {by_type.total()} events, {how} ({seconds:.0f} s)")
    print(*(f"  {number:7} {name}" for name, number in by_type.most_common()), sep="\n")


def _check_against(commit: str, recorded: Recording) -> int:
    number, fields = 0, Counter[str]()
    for number, one in enumerate(compare(commit, recorded, on_purpose.read()), 1):
        fields.update({f"{one.type}: {_NUMBER.sub('.*', change.path)}" for change in one.changes})
        if number <= SHOWN:
            _show(one)
    if number:
        print("Events by field that differs:", *(f"  {events:7} {field}" for field, events in fields.most_common()), sep="\n")
        return _fail(f"{number} events differ from those of {commit}, and on_purpose.toml does not say why")
    print(f"nothing differs from {commit}, but for {len(on_purpose.read())} kinds of differences that are on purpose")
    return 0


def _show(found: Found) -> None:
    print(f"{found.profile}: {found.type} {found.id} at {found.place}")
    for path, old, new in found.changes[:FIELDS_SHOWN]:
        print(f"    {path}: {_short(old)} -> {_short(new)}")
    if len(found.changes) > FIELDS_SHOWN:
        print(f"    and {len(found.changes) - FIELDS_SHOWN} fields more")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= VALUE_SHOWN else f"{text[:VALUE_SHOWN]}… ({len(text)} characters)"


def _accept(options: Any) -> int:
    recorded, old = recording.read(), baseline.read()
    if found := _check_against(old.commit, recorded):
        return found
    return _write(recorded)


def _record(options: Any) -> int:
    from tests.replay_check.harvest import harvest  # these need the tests and their generators, which a check does not
    from tests.replay_check.make import make

    recording.write(make(SEED, harvest()), recording.FILE)
    return _write(recording.read())


def _write(recorded: Recording) -> int:
    if _git("status", "--porcelain", "--", "collector", "tests/replay_check/*.py"):
        return _fail("commit the code first: the digests name the commit that they are of")
    began, new = time.perf_counter(), digests(recorded)
    baseline.write(baseline.FILE, recorded.digest, _git("rev-parse", "HEAD"), new)
    _told(recorded, new, time.perf_counter() - began, "written down")
    return 0


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def digests(recorded: Recording) -> dict[str, baseline.Digests]:
    """Of what the present code makes of it, by profile."""
    found = {profile.name: baseline.Digests() for profile in PROFILES}
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.db"
        driven.write_journal(recorded, journal)
        for profile in PROFILES:
            replay(journal, profile, found[profile.name].add)
    return found


def _journal(options: Any) -> int:
    driven.write_journal(recording.read(options.recording), options.out)
    return 0


def _lines(options: Any) -> int:
    write_lines(options.journal, options.out, [profile for profile in PROFILES if profile.name in options.profiles])
    return 0


def _fail(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    logging.getLogger("meshscribe").setLevel(logging.CRITICAL)  # of damage, which is there on purpose
    sys.exit(main())
