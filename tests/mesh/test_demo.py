"""`meshscribe demo`, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = [sys.executable, "-c", "import sys; from collector.demo import run; sys.exit(run(once=len(sys.argv) > 1))"]


def left_running(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder of this demo."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(folder) in line]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def test_once_records_every_request_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "once"], env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete, every body byte for byte" in done.stdout
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stays_up_until_it_is_told_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(DEMO, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        said = ""
        while " tail --url " not in said:  # the last line of what it says where things are
            line = demo.stdout.readline()
            assert line, said
            said += line
        demo.send_signal(number)
        rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, rest
    assert re.search(r"http://127\.0\.0\.1:\d+/v1/exchanges", said)
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_without_its_filter_it_says_what_to_do(tmp_path: Path) -> None:
    missing = {"MESHSCRIBE_TAP_WASM": str(tmp_path / "none.wasm")}
    done = subprocess.run([*DEMO, "once"], env={**environment(tmp_path), **missing}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "make wasm" in done.stdout
