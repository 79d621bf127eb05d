"""A child process of the demo: its log in a file, its start awaited, its end certain.

It ends with `stop`, with this process (leash.py), or with the interpreter (atexit), whichever comes first.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired

from collector.demo.leash import USER_OPTION
from collector.errors import MeshscribeError


class ChildError(MeshscribeError):
    """A part of the demo did not start, or ended by itself. The message holds the end of its log."""


def leashed(command: Sequence[str], user: str | None = None) -> list[str]:
    """The command as one that dies with this process. `user`: whose process it is to be, if not ours; only root can choose."""
    option = [f"{USER_OPTION}{user}"] if user is not None else []
    return [sys.executable, "-m", "collector.demo.leash", str(os.getpid()), *option, *command]


class Child:
    """One process, started by `start`. Its standard output and error go to `log`, which restarts append to. `user`: see leashed."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command, self._user = list(command), user
        self._environment = dict(environment or {})
        self._process: Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process. Raises ChildError if it was not started."""
        if self._process is None:
            raise ChildError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Start it and wait until `ready` says so. Raises ChildError if it ends before, or is not ready in time."""
        with self.log.open("ab") as log:
            self._process = Popen(
                leashed(self._command, self._user),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,  # Ctrl-C is for the parent, which stops its parts in order
            )
        atexit.register(self.stop, 0.0)
        self._await(ready, time.monotonic() + seconds, seconds)

    def _await(self, ready: Callable[[], bool], deadline: float, seconds: float) -> None:
        while not ready():
            if not self.running:
                raise ChildError(f"{self.name} ended with {self._code()} before it was ready.\n{self.tail()}")
            if time.monotonic() > deadline:
                self.stop(0.0)
                raise ChildError(f"{self.name} was not ready within {seconds:.0f} s.\n{self.tail()}")
            time.sleep(0.02)

    def _code(self) -> str:
        code = self._process.poll() if self._process else None
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def check(self) -> None:
        """Raises ChildError if it is not running any more."""
        if not self.running:
            raise ChildError(f"{self.name} ended with {self._code()}.\n{self.tail()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, e.g. SIGSTOP and SIGCONT."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.stop(0.0)

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Ask it to end (SIGTERM), and after the grace make it (SIGKILL). Safe to repeat."""
        atexit.unregister(self.stop)
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            if grace_seconds > 0:
                process.send_signal(signal.SIGCONT)  # a stopped process does not see SIGTERM
                process.terminate()
                process.wait(grace_seconds)
        except TimeoutExpired:
            pass
        finally:  # also if a second Ctrl-C does not want to wait
            process.kill()
            process.wait()

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join([f"The end of {self.log}:", *(f"  {line}" for line in text.splitlines()[-lines:])])
