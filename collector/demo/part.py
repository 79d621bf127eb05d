"""A part of the demo as the lab sees it: something to start, to look after, and to stop."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from collector.demo.child import Child, ChildError, leashed

COMMAND_SECONDS = 120.0


def _nothing() -> None:
    pass


class Part(NamedTuple):
    """`start` returns when it works and raises MeshscribeError if it does not get there; `check` raises ChildError if it has ended."""

    what: str  # what is being done, for people: "starting Envoy"
    start: Callable[[], None]
    stop: Callable[[], None] = _nothing
    check: Callable[[], None] = _nothing


def process(what: str, start: Callable[[], None], child: Child) -> Part:
    """A part that is a child process."""
    return Part(what, start, child.stop, child.check)


def command(what: str, arguments: Sequence[str], environment: Mapping[str, str], seconds: float = COMMAND_SECONDS) -> Part:
    """A part that is done when its command has ended with 0, within so long. Otherwise `start` raises ChildError with what it said."""

    def run() -> None:
        try:
            done = subprocess.run(
                leashed(arguments),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        except subprocess.TimeoutExpired:
            raise ChildError(f"{what} was not done within {seconds:.0f} s") from None
        if done.returncode:
            raise ChildError(f"{what} failed with exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")

    return Part(what, run)
