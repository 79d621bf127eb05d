"""The command line in a process whose clock can be set: `python -m tests.support.stepped serve`.

The file that MESHSCRIBE_TEST_STEP names holds by how many microseconds the clock is ahead of the machine's. Only the wall clock is: what
libfaketime does with FAKETIME_DONT_FAKE_MONOTONIC, without a library to install.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import collector.clock
from collector.cli import main

STEP = "MESHSCRIBE_TEST_STEP"
HOLD_SECONDS = 2.0  # instead of the minute


def _stepped(file: Path) -> None:
    def now_us(self: collector.clock.SystemClock) -> int:
        return time.time_ns() // 1000 + int(file.read_text() or 0)

    collector.clock.SystemClock.now_us = now_us  # type: ignore[method-assign]
    collector.clock.HOLD_US = int(HOLD_SECONDS * 1e6)


if __name__ == "__main__":
    _stepped(Path(os.environ.pop(STEP)))
    main()
