"""Starts the collector, and programs of the tests, as forks of a process that has loaded them (warm_server.py): at a sixth of the cost.

`Popen` and `run` are those of `subprocess`. What they start is a true child of the tester, with a number, signals and an exit code of its
own. What cannot be a fork (another program, another user, a terminal, variables that Python itself reads) is started as ever, and so is all
that a test with the mark `cold` starts: tests of the start itself, and of memory. COLD_STARTS=1 makes every test such, to find out
whether a failure comes from here. Two servers take turns, so that who starts again has another seed of hashes, as it would have.
"""

from __future__ import annotations

import ctypes
import inspect
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import collector.demo.child
from tests.support.warm_server import LENGTH, Job

ROOT = Path(__file__).parents[2]
SCRIPT = str(Path(sysconfig.get_path("scripts")) / "meshscribe")
LEASH = [sys.executable, "-m", "collector.demo.leash"]
ALWAYS_COLD = os.environ.get("COLD_STARTS") == "1"
SERVERS = 2
START_SECONDS = 120.0
# Variables that a program of ours, or Python, reads before it has anything to do. The others may differ from the server's.
READ_EARLY = re.compile(r"PYTHON|LC_|LANG|LD_|GRPC_|MALLOC_|SSL_|OPENSSL_|NO_COLOR|FORCE_COLOR|TERM|_TYPER|COVERAGE|SQLALCHEMY|UV_")
_PR_SET_CHILD_SUBREAPER = 36
_SIGNATURE = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
_PLAIN = {"executable": None, "preexec_fn": None, "shell": False, "umask": -1, "process_group": -1, "uid": None, "gid": None, "gids": None}


class Server:
    """One warm process. It is started when it is first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def become(self, job: Job, files: Sequence[int]) -> int:
        """The number of the new process, which is a child of this one."""
        with self._lock:
            channel = self._channel or self._start()
            packed = json.dumps(job).encode()
            _adopt(True)
            try:
                socket.send_fds(channel, [LENGTH.pack(len(packed))], list(files))
                channel.sendall(packed)
                return int(LENGTH.unpack(_exactly(channel, LENGTH.size))[0])
            finally:
                _adopt(False)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.support.warm_server", str(theirs.fileno())]
            # Pipes, as a program has whose output is read: what a file is decides how Python writes to it.
            self._process = subprocess.Popen(
                command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
            )
        ours.settimeout(START_SECONDS)
        _exactly(ours, 1)
        self._channel = ours
        return ours

    @property
    def pid(self) -> int | None:
        """Its number, if it runs."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """It ends."""
        if self._channel is not None and self._process is not None:
            self._channel.close()
            self._process.communicate()
            self._channel = self._process = None


class Starts:
    """Which server is asked next, and whether one may be asked."""

    def __init__(self) -> None:
        self.warm = not ALWAYS_COLD
        self.servers = [Server() for _ in range(SERVERS)]
        self._turns = itertools.cycle(self.servers)

    def next(self) -> Server:
        return next(self._turns)


STARTS = Starts()


class Popen(subprocess.Popen[Any]):
    """A fork of a warm process where that can be. How it was started is all that is different from subprocess.Popen."""

    def _execute_child(self, *received: Any) -> None:
        how = _SIGNATURE.bind(self, *received).arguments
        files = [how["p2cread"], how["c2pwrite"], how["errwrite"]]
        files = [number if file == -1 else file for number, file in enumerate(files)]
        job = _job(how, files) if STARTS.warm else None
        if job is None:
            super()._execute_child(*received)  # type: ignore[misc]
            return
        self.pid = STARTS.next().become(job, files)
        self._child_created = True
        self._close_pipe_fds(*(how[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")))  # type: ignore[attr-defined]


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """See subprocess.run, of which these options are taken: capture_output, text, timeout, check, env, cwd, stdin."""
    check, seconds = options.pop("check", False), options.pop("timeout", None)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
    if check:
        done.check_returncode()
    return done


def _job(how: Mapping[str, Any], files: Sequence[int]) -> Job | None:
    """What a fork would have to become; None if it must be exec."""
    plain = all(how[name] == value for name, value in _PLAIN.items()) and not how["pass_fds"]
    command = [os.fspath(word) for word in how["args"]] if isinstance(how["args"], list | tuple) else []
    leashed = command[: len(LEASH)] == LEASH
    if leashed:
        plain = plain and command[len(LEASH)] == str(os.getpid())
        command = command[len(LEASH) + 1 :]
    command = _python(command)
    environment = dict(os.environ if how["env"] is None else how["env"])
    if not plain or not command or _early(environment) != _early(os.environ) or any(map(os.isatty, files)):
        return None
    folder = os.fspath(how["cwd"] or os.getcwd())
    return Job(command, environment, folder, _umask(), bool(how["start_new_session"]), leashed, os.getpid())


def _python(command: Sequence[str]) -> list[str]:
    """What follows `python` if it is that, or nothing."""
    if command[:1] == [SCRIPT]:
        return list(command)
    return list(command[1:]) if command[:1] == [sys.executable] and command[1:2] in (["-m"], ["-c"]) else []


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MESHSCRIBE_")}


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if READ_EARLY.match(name)}


def _umask() -> int:
    found = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1], 8) if found else 0o022


def _adopt(whether: bool) -> None:
    """Whether what our children leave behind becomes ours."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0)


def _exactly(channel: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = channel.recv(size - len(found))
        if not part:
            raise RuntimeError("the warm process is gone: what it said is above, or in the output of this test")
        found += part
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    warm, STARTS.warm = STARTS.warm, STARTS.warm and item.get_closest_marker("cold") is None
    try:
        return (yield)
    finally:
        STARTS.warm = warm


def pytest_configure() -> None:
    collector.demo.child.Popen = Popen  # type: ignore[misc]


def pytest_unconfigure() -> None:
    collector.demo.child.Popen = subprocess.Popen  # type: ignore[misc]
    for server in STARTS.servers:
        server.close()
