"""What a fork of a loaded process finds is what a process of its own would find, and who started it cannot tell the difference."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector.demo.child import leashed
from tests.support import warm_start
from tests.support.waits import until

pytestmark = pytest.mark.slow  # it starts processes

ROOT = Path(__file__).parents[1]
FINDS = """
import json, os, signal, sys, threading
found = {
    "arguments": sys.argv,
    "path": sys.path[0],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "parent": os.getppid(),
    "leads its session": os.getsid(0) == os.getpid(),
    "group": os.getpgrp() if os.getpgrp() != os.getpid() else "its own",
    "umask": os.umask(0),
    "files": [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")],
    "threads": threading.active_count(),
    "signals": {number.name: str(signal.getsignal(number)).split(" at ")[0] for number in signal.Signals},
    "masked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "streams": [(one.fileno(), one.encoding, one.errors, one.line_buffering) for one in (sys.stdin, sys.stdout, sys.stderr)],
    "input": sys.stdin.read(),
    "main": __name__,
}
print(json.dumps(found))
print("this too", file=sys.stderr)
sys.exit(3)
"""
WAITS = "import time; print('up', flush=True); time.sleep(60)"
LOADED = "import sys; print('collector.roles.behind' in sys.modules, hash('a'))"
PARENT = f"""
import subprocess, sys, time
from collector.demo.child import leashed
from tests.support import warm_start
process = warm_start.Popen(leashed([sys.executable, "-c", {WAITS!r}]), stdout=subprocess.DEVNULL)
print(process.pid, *(server.pid for server in warm_start.STARTS.servers if server.pid), flush=True)
time.sleep(60)
"""
Kind = type[subprocess.Popen[Any]]
BOTH = pytest.mark.parametrize("popen", [subprocess.Popen, warm_start.Popen], ids=["exec", "fork"])


@pytest.fixture(autouse=True)
def warm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where COLD_STARTS is set."""
    monkeypatch.setattr(warm_start.STARTS, "warm", request.node.get_closest_marker("cold") is None)


def finds(popen: Kind, session: bool, folder: Path) -> tuple[dict[str, Any], str, int]:
    command = [sys.executable, "-c", FINDS, "one", "--two"]
    environment = {**os.environ, "MESHSCRIBE_ROLE": "all"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with popen(command, cwd=folder, env=environment, start_new_session=session, text=True, **pipes) as process:
        out, err = process.communicate("what is typed", timeout=60)
    return json.loads(out), err, process.returncode


@pytest.mark.parametrize("session", [False, True])
def test_it_finds_what_a_process_of_its_own_finds(tmp_path: Path, session: bool) -> None:
    found = finds(warm_start.Popen, session, tmp_path)
    assert found == finds(subprocess.Popen, session, tmp_path)
    assert found[0]["parent"] == os.getpid()
    assert found[0]["environment"]["MESHSCRIBE_ROLE"] == "all"


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "tests.fuzz", "--nothing"], [warm_start.SCRIPT, "--version"], [warm_start.SCRIPT, "nothing"]],
    ids=["module", "script", "script that fails"],
)
def test_modules_and_scripts_are_run_as_python_runs_them(command: list[str]) -> None:
    warm = warm_start.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    cold = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)


ENDS = {
    "with a code": "sys.exit(7)",
    "with a large code": "sys.exit(256 + 9)",
    "with a sentence": "sys.exit('not so')",
    "by a fault": "raise ValueError('so')",
    "by itself": "pass",
    "with an output that nobody reads": "os.close(1)",
}
ENDING = """
import asyncio, atexit, os, sys, threading, time
class Complains:
    def __del__(self):
        print("left behind", file=sys.stderr)
atexit.register(lambda: print("told of the end"))
threading.Thread(target=lambda: (time.sleep(0.1), print("waited for"))).start()
async def hangs():
    await asyncio.Event().wait()
async def forgets():
    asyncio.create_task(hangs())
    await asyncio.sleep(0)
forgotten = Complains()
forgotten.itself = forgotten
print("begun")
"""


@pytest.mark.parametrize("way", ENDS)
def test_it_ends_as_a_process_of_its_own_ends(way: str) -> None:
    command = [sys.executable, "-c", ENDING + ENDS[way]]
    warm = warm_start.run(command, capture_output=True, text=True, timeout=60)
    cold = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (warm.returncode, warm.stdout) == (cold.returncode, cold.stdout)
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


@contextmanager
def waiting(popen: Kind, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    with popen(leashed([sys.executable, "-c", WAITS]), stdout=subprocess.PIPE, text=True, **options) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def state(pid: int) -> str:
    """One letter of the kernel's; none for a process that is gone, or that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0].replace("Z", "")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@BOTH
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_is_told(popen: Kind, number: signal.Signals) -> None:
    with waiting(popen, stderr=subprocess.DEVNULL) as process:
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == -number
        assert not state(process.pid)


@BOTH
def test_it_can_be_stopped_and_goes_on(popen: Kind) -> None:
    with waiting(popen) as process:
        process.send_signal(signal.SIGSTOP)
        assert until(lambda: state(process.pid), lambda found: found == "T") == "T"
        process.send_signal(signal.SIGCONT)
        assert until(lambda: state(process.pid), lambda found: found == "S") == "S"


def test_nothing_is_left_when_the_tester_is_killed() -> None:
    environment = {**os.environ, "COLD_STARTS": ""}
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        started = [int(word) for word in parent.stdout.readline().split()]
        assert len(started) == 2
        assert all(map(state, started))
        parent.kill()
    assert until(lambda: [pid for pid in started if state(pid)], lambda left: not left) == []


def loaded(**options: Any) -> tuple[str, str]:
    """Whether the collector was there before it was asked for, and the hash of a text."""
    found, value = warm_start.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, **options).stdout.split()
    return found, value


def test_what_starts_again_has_another_seed_of_hashes() -> None:
    (first, one), (second, other) = loaded(), loaded()
    assert (first, second) == ("True", "True")
    assert one != other


def test_what_python_itself_reads_is_read() -> None:
    assert loaded(env={**os.environ, "PYTHONHASHSEED": "0"}) == ("False", loaded(env={**os.environ, "PYTHONHASHSEED": "0"})[1])


@pytest.mark.cold
def test_a_test_may_ask_for_processes_of_their_own() -> None:
    assert loaded()[0] == "False"


def test_a_terminal_is_a_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        code = "import os, sys; os.write(1, b'%d' % sys.stdin.isatty())"
        assert warm_start.run([sys.executable, "-c", code], stdin=theirs, stdout=subprocess.PIPE, timeout=60).stdout == b"1"
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_fails_to_start_is_told_as_ever() -> None:
    with pytest.raises(FileNotFoundError):
        warm_start.run(["/nowhere/program"], timeout=60)
