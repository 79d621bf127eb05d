"""The demo's Postgres runs for whoever starts the demo, answers on its socket, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from collector.demo import postgres as module
from collector.demo.child import ChildError
from collector.demo.postgres import Postgres, PostgresMissingError, _reachable, postgres_home


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path)
    yield server
    server.stop()


@pytest.mark.slow
async def test_it_answers_on_its_socket_and_is_gone_afterwards(server: Postgres, tmp_path: Path) -> None:
    server.start()
    connection = await asyncpg.connect(server.url)
    folder = Path(await connection.fetchval("SHOW data_directory")).parent
    assert await connection.fetchval("SHOW listen_addresses") == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server.check()
    server.stop()  # with a client still there
    connection.terminate()
    assert not folder.exists()
    assert "fast shutdown" in (tmp_path / "postgres.log").read_text()
    with pytest.raises(ChildError, match="Postgres ended"):
        server.check()


@pytest.mark.slow
async def test_it_runs_from_an_installation_that_others_cannot_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = postgres_home().parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, tmp_path / "closed" / folder.name, symlinks=True)
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(module, "postgres_home", lambda: tmp_path / "closed" / package.name / "pginstall")
    server = Postgres(tmp_path)
    try:
        server.start()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    finally:
        server.stop()


def test_a_server_that_was_not_started_can_be_stopped(server: Postgres) -> None:
    server.check()
    server.stop()


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(PostgresMissingError, match="pip install"):
        postgres_home()


def test_an_installation_that_others_cannot_reach_is_copied(tmp_path: Path) -> None:
    home = tmp_path / "closed" / "pginstall"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "postgres").write_text("program")
    os.chmod(home / "bin" / "postgres", 0o700)
    os.chmod(tmp_path / "closed", 0o700)
    copy = _reachable(home, tmp_path)
    assert copy == tmp_path / "installation" / "closed" / "pginstall"
    assert stat.S_IMODE((copy / "bin" / "postgres").stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as somebody else")
def test_an_installation_that_others_reach_is_used_as_it_is(tmp_path: Path) -> None:
    folder = Path("/usr/lib")
    assert _reachable(folder, tmp_path) == folder
