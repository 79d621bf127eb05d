"""`meshscribe demo`, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
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


class Staying:
    """A demo that stays up. Its temporary folder is its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.said = folder, ""
        self._process = stack.enter_context(
            subprocess.Popen(DEMO, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        stack.callback(self._process.kill)

    def await_up(self) -> None:
        assert self._process.stdout is not None
        while " tail --url " not in self.said:  # the last line of what it says where things are
            line = self._process.stdout.readline()
            assert line, self.said
            self.said += line

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Its exit code, and what it said at last."""
        self._process.send_signal(number)
        rest, _ = self._process.communicate(timeout=60)
        return self._process.returncode, rest


@pytest.fixture(scope="module")
def staying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[signal.Signals, Staying]]:
    """One for each signal, started at the same time: most of a start is waiting."""
    with ExitStack() as stack:
        yield {number: Staying(tmp_path_factory.mktemp(number.name), stack) for number in (signal.SIGTERM, signal.SIGINT)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stays_up_until_it_is_told_and_leaves_nothing_behind(staying: dict[signal.Signals, Staying], number: signal.Signals) -> None:
    demo = staying[number]
    demo.await_up()
    assert re.search(r"http://127\.0\.0\.1:\d+/v1/exchanges", demo.said)
    code, rest = demo.end(number)
    assert code == 0, rest
    assert left_running(demo.folder) == []
    assert list(demo.folder.iterdir()) == []


def test_without_its_filter_it_says_what_to_do(tmp_path: Path) -> None:
    missing = {"MESHSCRIBE_TAP_WASM": str(tmp_path / "none.wasm")}
    done = subprocess.run([*DEMO, "once"], env={**environment(tmp_path), **missing}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "make wasm" in done.stdout
