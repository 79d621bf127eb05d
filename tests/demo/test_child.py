"""A child's start is awaited, its failure explained, and its end certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collector.demo.child import Child, ChildError

pytestmark = pytest.mark.slow  # it starts processes

IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def python(code: str, folder: Path) -> Child:
    return Child("the child", [sys.executable, "-c", code], folder / "child.log")


def said_up(child: Child) -> bool:
    return "up" in child.log.read_text()


def test_a_child_that_ends_before_it_is_ready_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    child = python("import sys; sys.exit('port taken')", tmp_path)
    with pytest.raises(ChildError, match=r"the child ended with exit code 1(?s:.*)port taken"):
        child.start(lambda: False)


def test_a_command_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    child = Child("the child", ["/nowhere/envoy"], tmp_path / "child.log")
    with pytest.raises(ChildError, match="No such file"):
        child.start(lambda: False)


def test_a_child_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    child = python("import time; time.sleep(60)", tmp_path)
    with pytest.raises(ChildError, match="not ready within"):
        child.start(lambda: False, seconds=0.2)
    assert not child.running


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = python(IGNORES_SIGTERM, tmp_path)
    child.start(lambda: said_up(child))
    child.stop(grace_seconds=0.1)
    assert not child.running
    with pytest.raises(ChildError, match="SIGKILL"):
        child.check()


def test_a_stopped_child_can_be_ended(tmp_path: Path) -> None:
    child = python("import time; print('up', flush=True); time.sleep(60)", tmp_path)
    child.start(lambda: said_up(child))
    child.send(signal.SIGSTOP)
    child.stop(grace_seconds=10.0)
    assert not child.running


def test_a_child_is_started_again_with_its_log_continued(tmp_path: Path) -> None:
    child = python("import time; print('up', flush=True); time.sleep(60)", tmp_path)
    for times in (1, 2):
        child.start(lambda times=times: child.log.read_text().count("up") == times)
        child.kill()


PARENT = """
import sys, time
from pathlib import Path
from collector.demo.child import Child
child = Child("the child", [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"], Path(sys.argv[1]))
child.start(lambda: "up" in child.log.read_text())
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Whether it runs; what nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
