"""Errors that carry meaning between stages. Whether a failure is worth a retry is decided where it is raised."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from pathlib import Path


class MeshscribeError(Exception):
    """The root of all errors that this package raises on purpose."""


class SettingsError(MeshscribeError):
    """The settings are wrong. `faults` names each fault: which setting, where it came from, what is expected."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


class RetryableError(MeshscribeError):
    """It may work later: the target is down, busy or full. `progressed`: some of what was to be done was done before it failed."""

    progressed = False


class PermanentError(MeshscribeError):
    """It will never work with this input."""


class FencedError(MeshscribeError):
    """Another process has taken over what this one wrote. It must stop: nothing of it may be written any more, nor thrown away."""


class DamagedInPartError(RetryableError):
    """Parts of a file of ours cannot be read or written. The rest can be used meanwhile."""


class JournalFullError(RetryableError):
    """The journal is at its quota, or too much waits to be written."""


class DiskError(RetryableError):
    """A file of ours cannot be written now. What is in memory, or in other files, is as good as before."""


class OverShareError(RetryableError):
    """The sender holds more than its share; others are served meanwhile."""


class BadInputError(PermanentError):
    """Input from outside has the wrong shape. The message says what and where, and what was expected."""


class DamagedError(PermanentError):
    """What we stored ourselves cannot be read back: a foreign or damaged file."""


def blamed(error: BaseException) -> str:
    """What was raised, and where in our code. Never the error's own text, which may hold what was in a body."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "collector/" in frame.filename]
    where = f" in {frames[-1].filename.rpartition('collector/')[2]}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def unusable(setting: str, path: Path | None, error: Exception) -> SettingsError:
    """What to raise in place of the system's or a library's error. The file that the error names wins over `path`."""
    why, where = str(error), str(path)
    if isinstance(error, OSError) and error.strerror:
        why, where = error.strerror, str(error.filename or path)
    if isinstance(error, FileExistsError | NotADirectoryError):
        why = "it is a file, and a folder is needed"
    elif path is not None and os.path.isdir(path):  # noqa: PTH112 - the path's own method raises where it may not look
        why, where = "it is a folder, and a file is needed", str(path)
    return SettingsError([f"{setting}: {where} cannot be used: {why}"])
