"""`meshscribe config check --connect`: says what cannot be used before `serve` would find out, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.cli import app
from collector.demo.ports import Ports
from collector.journal.file import open_file
from collector.settings import Settings, Sink
from collector.store.migrate import migrate
from collector.upkeep import trials
from collector.upkeep.trials.choose import choose
from tests.support import warm_start
from tests.support.postgres import Database


def settings(folder: Path, **more: str) -> dict[str, str]:
    free = {f"MESHSCRIBE_{name}": "0" for name in ("INGEST__PORT", "INGEST__GRPC_PORT", "AUDIT__PORT")}
    paths = {"MESHSCRIBE_JOURNAL__PATH": f"{folder}/new/journal.db", "MESHSCRIBE_SINK__URL": f"sqlite:///{folder}/new/events.db"}
    return {**free, **paths, **{f"MESHSCRIBE_{name}": value for name, value in more.items()}}


def check(environment: dict[str, str]) -> tuple[int, dict[str, str]]:
    """The exit code, and the line of each setting."""
    done = CliRunner().invoke(app, ["config", "check", "--connect"], env=environment)
    return done.exit_code, {line.split()[0]: line for line in done.output.splitlines() if line.strip()}


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_what_can_be_used_is_ok_and_nothing_is_made(tmp_path: Path) -> None:
    code, lines = check(settings(tmp_path))
    assert code == 0, lines
    assert " ok " in lines["journal.path"]
    assert "will be made" in lines["sink.url"]
    assert list(tmp_path.iterdir()) == []


def test_what_serve_made_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    migrate(f"sqlite:///{tmp_path}/new/events.db")
    opened = open_file(tmp_path / "new" / "journal.db")
    opened.connection.close()
    os.close(opened.lock)
    before = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    code, lines = check(settings(tmp_path))
    assert code == 0, lines
    assert "can be written" in lines["sink.url"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before


def test_each_fault_has_its_line_and_the_others_theirs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "text.db").write_text("no SQLite file, but long enough to be one")
    with silent() as port:
        faults = {
            "INGEST__PORT": str(port),
            "JOURNAL__PATH": f"{tmp_path}/file/journal.db",
            "SINK__URL": f"sqlite:///{tmp_path}/text.db",
        }
        code, lines = check(settings(tmp_path, **faults))
    assert code == 2
    assert "in use" in lines["ingest.port"]
    assert "is a file, expected a folder" in lines["journal.path"]
    assert "no SQLite file" in lines["sink.url"]
    assert " ok " in lines["audit.port"]
    assert "3 of 5 cannot be used." in " ".join(lines.values())


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/events.db")
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    code, lines = check(settings(tmp_path, SINK__URL=f"sqlite:///{tmp_path}/events.db"))
    assert code == 2
    assert "newer" in lines["sink.url"]


def test_a_server_with_its_tables_and_one_without(database: Database, empty_database: Database, tmp_path: Path) -> None:
    assert check(settings(tmp_path, SINK__URL=database.url))[0] == 0
    code, lines = check(settings(tmp_path, SINK__URL=empty_database.url))
    assert code == 2
    assert "meshscribe migrate" in lines["sink.url"]


def test_who_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with silent() as port:
        named = Settings(sink=Sink(url=f"postgresql://u:s3cret@127.0.0.1:{port}/d"))
        found = {one.setting: one for one in trials.run(choose(named), 0.3)}
    told = found["sink.url"]
    assert (told.ok, told.detail) == (False, "no answer within 0.3 s")
    assert "s3cret" not in told.where


def test_relays_are_tried(tmp_path: Path) -> None:
    with silent() as port, Ports() as ports:
        relays = f'[{{"name": "good", "to": "http", "url": "http://127.0.0.1:{port}/x"}},'
        relays += f'{{"name": "bad", "to": "http", "url": "http://127.0.0.1:{ports.take()}/x"}}]'
        code, lines = check(settings(tmp_path, RELAYS=relays))
    assert code == 2
    assert " ok " in lines["relays.good"]
    assert " FAILS " in lines["relays.bad"]


def test_brokers_that_are_not_there_are_told(tmp_path: Path) -> None:
    with Ports() as ports:
        kafka = {"SINK__URL": "kafka:", "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{ports.take()}"}
        code, lines = check(settings(tmp_path, **kafka))
    assert code == 2
    assert " FAILS " in lines["kafka.bootstrap_servers"]


def test_a_bug_in_one_trial_is_its_result() -> None:
    async def broken() -> str:
        raise ZeroDivisionError("oh")

    async def fine() -> str:
        await asyncio.sleep(0)
        return "fine"

    found = trials.run([trials.Trial("a", "x", broken), trials.Trial("b", "y", fine)])
    assert [(one.ok, one.detail) for one in found] == [(False, "ZeroDivisionError: oh"), (True, "fine")]


@pytest.mark.slow
def test_a_trial_that_hangs_in_its_loop_holds_up_no_other() -> None:
    mended = threading.Event()

    async def hangs() -> str:
        return str(mended.wait())

    async def fine() -> str:
        return "fine"

    found = trials.run([trials.Trial("a", "x", hangs), trials.Trial("b", "y", fine)], 0.1)
    mended.set()
    assert [(one.ok, one.detail) for one in found] == [(False, "no answer within 0.1 s"), (True, "fine")]


HUNG_NAMES = "import socket, threading; socket.getaddrinfo = lambda *_, **__: threading.Event().wait()"
COMMAND = "from collector.cli import main; main()"


@pytest.mark.slow
def test_a_process_ends_whatever_hangs(tmp_path: Path) -> None:
    """Neither a read of a dead disk, here a pipe without a writer, nor a name lookup can be cancelled."""
    os.mkfifo(tmp_path / "pipe")
    hung = {
        "SERVICES__SOURCE": "file",
        "SERVICES__FILE": f"{tmp_path}/pipe",
        "SINK__URL": "postgresql://u@names.hang/d",
    }
    environment = {**os.environ, **settings(tmp_path, **hung), "COLUMNS": "200"}
    arguments = [sys.executable, "-c", f"{HUNG_NAMES}\n{COMMAND}", "config", "check", "--connect"]
    done = warm_start.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    late = {line.split()[0] for line in done.stdout.splitlines() if "no answer within 5 s" in line}
    assert late >= {"services.file", "sink.url"}, done.stdout
    assert any(line.startswith("journal.path") and " ok " in line for line in done.stdout.splitlines())


def test_who_may_look_is_tried_too(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"alice {'0' * 64}\nbob\n", encoding="utf-8")
    (tmp_path / "config").write_text("{}", encoding="utf-8")
    more = {
        "ACCESS__TOKENS_FILE": str(tmp_path / "tokens"),
        "ACCESS__OIDC__ISSUER": "http://127.0.0.1:1",
        "ACCESS__OIDC__AUDIENCE": "meshscribe",
        "ACCESS__KUBERNETES__ENABLED": "true",
        "ACCESS__KUBERNETES__KUBECONFIG": str(tmp_path / "config"),
    }
    code, lines = check(settings(tmp_path, **more))
    assert code == 2
    assert "line 2 is not NAME SHA256" in lines["access.tokens_file"]
    assert "FAILS" in lines["access.oidc"]
    assert "FAILS" in lines["access.kubernetes"]
