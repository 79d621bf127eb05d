"""Starts that cannot work, with the real process where one is begun: one sentence that says what and where, an exit code, no traceback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.cli import app
from collector.demo.ports import Ports
from collector.store.migrate import migrate
from tests.support import warm_start

pytestmark = pytest.mark.slow

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "meshscribe")
NOBODY = 65534
# Root without the capabilities (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) that make permissions nothing to it; others have none of them.
CONFINED = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
USAGE = 2

Bad = Callable[[Path], dict[str, str]]


def journal(path: Path | str) -> dict[str, str]:
    return {"MESHSCRIBE_JOURNAL__PATH": str(path)}


def store(path: Path | str) -> dict[str, str]:
    return {"MESHSCRIBE_SINK__URL": f"sqlite:///{path}"}


def file(folder: Path, name: str, content: str = "a text that is long enough to be looked at as a file's head " * 9) -> Path:
    made = folder / name
    made.write_text(content)
    return made


def subfolder(folder: Path, name: str, mode: int = 0o700) -> Path:
    made = folder / name
    made.mkdir()
    made.chmod(mode)
    return made


BAD: dict[str, tuple[Bad, str]] = {
    "the journal's folder is a file": (
        lambda folder: journal(file(folder, "f") / "journal.db"),
        "journal.path: {folder}/f cannot be used: it is a file, and a folder is needed",
    ),
    "the store's folder is a file": (
        lambda folder: store(file(folder, "f") / "events.db"),
        "sink.url: {folder}/f cannot be used: it is a file, and a folder is needed",
    ),
    "journal.db is a folder": (
        lambda folder: journal(subfolder(folder, "journal.db")),
        "journal.path: {folder}/journal.db cannot be used: it is a folder, and a file is needed",
    ),
    "events.db is a folder": (
        lambda folder: store(subfolder(folder, "events.db")),
        "sink.url: {folder}/events.db cannot be used: it is a folder, and a file is needed",
    ),
    "the journal is no database": (lambda folder: journal(file(folder, "j")), "meshscribe: {folder}/j is damaged or no SQLite file"),
    "nothing can be written there (the journal)": (
        lambda _: journal("/sys/journal.db"),
        "journal.path: /sys/journal.db.lock cannot be used: ",
    ),
    "nothing can be written there (the store)": (lambda _: store("/sys/events.db"), "sink.url: /sys/events.db cannot be used: "),
    "an address of another machine": (
        lambda _: {"MESHSCRIBE_INGEST__HOST": "192.0.2.1"},
        "ingest.grpc_port: cannot listen on 192.0.2.1:",
    ),
}
SETTINGS: dict[str, tuple[Bad, str]] = {
    "an unknown variable": (lambda _: {"MESHSCRIBE_INGEST_PORT": "1"}, "MESHSCRIBE_INGEST_PORT: no such setting (did you mean"),
    "an unknown setting": (
        lambda folder: {"MESHSCRIBE_CONFIG": str(file(folder, "s.yaml", "ingest: {prot: 1}"))},
        "ingest.prot: no such setting (did you mean port?)",
    ),
    "no file of settings": (lambda folder: {"MESHSCRIBE_CONFIG": f"{folder}/none.yaml"}, "{folder}/none.yaml: cannot be read as YAML: "),
}


class Start:
    """`meshscribe serve` in a folder that other users can enter, on ports of its own."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self.folder = folder
        self.ports = ports

    def fails(self, more: dict[str, str], sentence: str, confined: bool = False) -> None:
        good = {**journal(self.folder / "good-journal.db"), **store(self.folder / "good-events.db"), "MESHSCRIBE_SERVICES__SOURCE": "none"}
        command = [*([sys.executable, "-c", CONFINED] if confined else []), SCRIPT, "serve"]
        run = subprocess.run if confined else warm_start.run
        environment = {**os.environ, **good, **self.ports, **more}
        done = run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        is_one_sentence(sentence, done.returncode, done.stdout, done.stderr)


def is_one_sentence(sentence: str, code: int, stdout: str, stderr: str) -> None:
    said = stderr.splitlines()
    assert said[0] == "meshscribe: starting"
    assert [line for line in said if line.startswith(sentence)] == [said[-1]], stderr
    assert code == USAGE, stderr
    assert "Traceback" not in stderr
    assert stdout == ""


@pytest.fixture
def start() -> Iterator[Start]:
    folder = Path(tempfile.mkdtemp(prefix="meshscribe-bad-start-"))
    folder.chmod(0o777)
    with Ports() as ports:
        names = ("INGEST__PORT", "INGEST__GRPC_PORT", "AUDIT__PORT")
        yield Start(folder, {f"MESHSCRIBE_{name}": str(ports.take()) for name in names})
    shutil.rmtree(folder)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_start_is_one_sentence(start: Start, bad: str) -> None:
    make, sentence = BAD[bad]
    start.fails(make(start.folder), sentence.format(folder=start.folder))


@pytest.mark.parametrize("bad", SETTINGS)
def test_a_bad_setting_is_one_sentence(tmp_path: Path, bad: str) -> None:
    """Nothing is started yet, so no process of its own is needed to tell."""
    make, sentence = SETTINGS[bad]
    done = CliRunner().invoke(app, ["serve"], env=dict(make(tmp_path)))
    is_one_sentence(sentence.format(folder=tmp_path), done.exit_code, done.stdout, done.stderr)


@pytest.mark.parametrize(("make", "setting"), [(journal, "journal.path"), (store, "sink.url")])
def test_a_folder_without_permission_is_one_sentence(start: Start, make: Callable[[Path], dict[str, str]], setting: str) -> None:
    closed = subfolder(start.folder, "closed", 0o500)
    if os.getuid() == 0:
        os.chown(closed, NOBODY, NOBODY)
    start.fails(make(closed / "x.db"), f"{setting}: {closed}", confined=True)


@pytest.mark.parametrize(("make", "setting"), [(journal, "journal.path"), (store, "sink.url")])
def test_a_file_of_another_user_that_can_only_be_read_is_one_sentence(
    start: Start, make: Callable[[Path], dict[str, str]], setting: str
) -> None:
    migrate(f"sqlite:///{start.folder}/x.db")
    foreign = start.folder / "x.db"
    foreign.chmod(0o444)
    if os.getuid() == 0:
        os.chown(foreign, NOBODY, NOBODY)
    start.fails(make(foreign), f"{setting}: {foreign}", confined=True)


@pytest.mark.parametrize(("make", "setting"), [(journal, "journal.path"), (store, "sink.url")])
def test_a_read_only_file_system_is_one_sentence(start: Start, make: Callable[[Path], dict[str, str]], setting: str) -> None:
    """With what was written there before."""
    disk = subfolder(start.folder, "disk")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=True)
    try:
        migrate(f"sqlite:///{disk}/x.db")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        start.fails(make(disk / "x.db"), f"{setting}: {disk}")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("name", ["INGEST__PORT", "INGEST__GRPC_PORT", "AUDIT__PORT"])
def test_a_port_that_is_taken_is_one_sentence(start: Start, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        setting = name.lower().replace("__", ".")
        start.fails({f"MESHSCRIBE_{name}": str(port)}, f"{setting}: cannot listen on 127.0.0.1:{port}: Address already in use")
