"""Temporary files in memory, where there is room: most tests begin with a store of their own, and a disk takes longer to make one durable
than the test takes for all the rest. What is asked of the files stays the same; only a loss of power would show the difference.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 6 << 30  # of which a whole run takes a third


def keep_in_memory() -> None:
    """For this process and those that it starts. TMPDIR, where it is set, holds."""
    if "TMPDIR" not in os.environ and _fits():
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _fits() -> bool:
    if not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return available is not None and min(shutil.disk_usage(MEMORY).free, int(available[1]) << 10) >= ROOM
