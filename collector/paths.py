"""Files that cannot be used, told in one sentence: which setting, which file, why."""

from __future__ import annotations

import os
from pathlib import Path

from collector.errors import SettingsError


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
