"""`meshscribe demo` as a user runs it: on each store it checks itself, and whatever ends it, nothing of it is left running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.demo import run

MESHSCRIBE = str(Path(sysconfig.get_path("scripts")) / "meshscribe")
MARK = "DEMO_UNDER_TEST"

Start = Callable[..., "Demo"]


class Demo:
    """One run. Its processes are known by a variable that they all inherit, its files by the folder that they lie in."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        mark = str(uuid.uuid4())
        self.folder, self._mark, self.output = folder, f"{MARK}={mark}".encode(), ""
        self.process = subprocess.Popen(
            [MESHSCRIBE, "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, MARK: mark, "TMPDIR": str(folder)},
        )

    def read_until(self, text: str) -> None:
        """Reads its output up to a line with this text, or to its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return

    def end(self) -> int:
        """Its exit code, when it has ended."""
        assert self.process.stdout is not None
        self.output += self.process.stdout.read()
        return self.process.wait(60)

    def commands(self) -> list[str]:
        """The command lines of its processes that run now."""
        return [command for command in map(self._command, Path("/proc").glob("[0-9]*")) if command]

    def left(self) -> list[str]:
        """Those that still run when all had time to die: the leash kills them, and a killed process takes a moment."""
        deadline = time.monotonic() + 30
        while (found := self.commands()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _command(self, process: Path) -> str:
        try:
            ours = self._mark in (process / "environ").read_bytes()
            return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode() if ours else ""
        except OSError:
            return ""  # somebody else's, or just gone

    def postgres_folder(self) -> Path:
        """Of the server that runs now."""
        return Path(next(found[1] for command in self.commands() if (found := re.search(r"/postgres -D \S+ -k (\S+)", command))))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a demo. What a failed test leaves is ended."""
    started: list[Demo] = []

    def begin(*arguments: str) -> Demo:
        started.append(Demo(tmp_path, *arguments))
        return started[-1]

    yield begin
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        assert demo.process.stdout is not None
        demo.process.stdout.close()


def test_a_store_that_the_demo_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(once=True, store="oracle") == 2
    assert "sqlite, postgres, kafka" in capsys.readouterr().out


@pytest.mark.mesh
@pytest.mark.slow
@pytest.mark.parametrize("store", ["postgres", "kafka"])
def test_the_demo_checks_itself_on_the_store_and_leaves_nothing(start: Start, store: str) -> None:
    demo = start("--once", "--store", store)
    demo.read_until("sending")
    running = demo.commands()
    assert demo.end() == 0, demo.output
    assert any({"postgres": "/postgres -D", "kafka": "kafka.Kafka"}[store] in command for command in running)
    assert "every body byte for byte" in demo.output
    assert ("every billable one billed once" in demo.output) == (store == "kafka")
    assert "…" not in demo.output
    assert demo.left() == []
    assert list(demo.folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_demo_with_all_its_parts(start: Start, number: signal.Signals) -> None:
    demo = start("--once", "--store", "postgres")
    demo.read_until("starting Postgres")
    postgres = demo.postgres_folder()
    demo.process.send_signal(number)
    assert demo.end() == 1, demo.output
    assert demo.output.endswith("stopped before it was checked\n")
    assert demo.left() == []
    assert not postgres.exists()
    assert list(demo.folder.iterdir()) == []


@pytest.mark.slow
def test_a_part_that_dies_ends_the_demo_with_its_last_words(start: Start) -> None:
    demo = start("--once", "--store", "postgres")
    demo.read_until("starting Postgres")
    postgres = demo.postgres_folder()
    os.kill(int((postgres / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert demo.end() == 1
    assert "meshscribe migrate failed" in demo.output or "was not ready" in demo.output
    assert demo.left() == []
    assert not postgres.exists()


@pytest.mark.slow
def test_a_demo_that_is_killed_leaves_nothing_running(start: Start) -> None:
    demo = start("--store", "postgres")
    demo.read_until("starting Postgres")
    postgres = demo.postgres_folder()
    demo.process.kill()
    demo.process.wait()
    assert demo.left() == []
    shutil.rmtree(postgres)
