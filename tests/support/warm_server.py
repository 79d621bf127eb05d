"""A Python process that has loaded the collector and becomes, in forks of itself, the programs that tests start (warm_start.py asks it).

Loading is nine tenths of what a start costs. What a fork finds is what exec would give it: its arguments, environment, folder, umask,
session and standard files, and no other file. No thread runs here, no loop was made and no connection opened. Python seeds random numbers
anew. Only the seed of hashes is that of all forks of one server. A fork that comes to its end in order ends as the interpreter would, but
does not take apart what was loaded: that is most of what it costs. The server ends with the tester that holds the other end of its socket.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

# Roots, and what is loaded late by those who use it: a driver at its first connection, a protocol at the first client.
LOADED = (
    "aiosqlite",
    "anyio._backends._asyncio",
    "collector.cli",
    "collector.app",
    "collector.demo.audit",
    "collector.demo.envoy",
    "collector.receive.tap",
    "collector.roles.all",
    "collector.roles.audit",
    "collector.roles.behind",
    "collector.roles.both",
    "collector.roles.probes",
    "collector.roles.process",
    "collector.roles.receive",
    "collector.roles.store",
    "collector.roles.tap",
    "collector.settings",
    "collector.store.migrate",
    "encodings.idna",
    "pydantic.v1",
    "uvicorn.lifespan.off",
    "uvloop",
)
LENGTH = struct.Struct("!I")
FILES = 3  # standard input, output and error
ADOPTED_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


class Job(NamedTuple):
    """What to become. `command` is what follows `python`: a script's path or `-m module` or `-c code`, and arguments."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    session: bool  # a new one
    leashed: bool  # it dies with the tester, whatever that dies of
    tester: int  # whose child it is to be


def main(channel: socket.socket) -> None:
    """Serves until the tester is gone. Returns in forks too, when they are done."""
    for name in LOADED:
        import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not be there in a fork"
    gc.collect()
    gc.freeze()  # pages that nobody looks through stay shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tester, which ends it
    channel.sendall(b"\n")
    job = _serve(channel)
    if job is not None:
        code = 0
        try:
            _run(job.command)
        except SystemExit as asked:
            if not isinstance(asked.code, int | None):
                raise
            code = asked.code or 0
        _end(code)  # not before the frames that asked for it are gone, and what they held
        sys.exit(code)


def _serve(channel: socket.socket) -> Job | None:
    """In a fork, what it is to become; here, None at the end."""
    while True:
        head, files, _, _ = socket.recv_fds(channel, LENGTH.size, FILES)
        if not head:
            return None
        job = Job(*json.loads(_read(channel, LENGTH.unpack(head)[0])))
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)  # so that the tester adopts its child
            _prepare(job, files, channel)
            return job
        for file in files:
            os.close(file)
        os.waitpid(between, 0)


def _read(channel: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += channel.recv(size - len(found))
    return found


def _prepare(job: Job, files: list[int], channel: socket.socket) -> None:
    deadline = time.monotonic() + ADOPTED_SECONDS
    while os.getppid() != job.tester:
        if time.monotonic() > deadline:
            os._exit(125)
        time.sleep(0.0005)
    if job.leashed:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != job.tester:
            os._exit(125)
    if job.session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(job.folder)
    os.umask(job.umask)
    _environment(job.environment)
    for number, file in enumerate(files):
        os.dup2(file, number)
    channel.sendall(LENGTH.pack(os.getpid()))
    channel.detach()
    os.closerange(FILES, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _end(code: int) -> None:
    """As the interpreter ends: threads are waited for, then who asked to be told of the end is told, then what complains when it is
    garbage has been heard. Returns if an output cannot be written any more: the interpreter then says so.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.modules["__main__"] = ModuleType("__main__")
    gc.collect()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code & 0xFF)


def _environment(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    time.tzset()


def _run(command: list[str]) -> None:
    """As the interpreter would."""
    kind = command[0]
    if kind == "-m":
        sys.argv = command[1:]
        sys.path[0] = os.getcwd()
        sys.modules.pop(command[1], None)  # it becomes __main__, and may be here under its own name
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *command[2:]]
        sys.path[0] = ""
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(command[1], "<string>", "exec"), sys.modules["__main__"].__dict__)
    else:
        sys.argv = command
        sys.path[0] = os.path.dirname(kind)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
