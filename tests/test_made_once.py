"""What is made once for all tests of a tester is what each of them would have made."""

from __future__ import annotations

import sqlite3
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from collector.cli import app
from collector.errors import RetryableError
from collector.store import migrate as migrating
from collector.store.migrate import migrate, revisions
from tests.support import made_once


def found(path: Path) -> dict[str, Any]:
    """All that is in the file, and how it is kept."""
    with closing(sqlite3.connect(path)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        asked = ("page_size", "journal_mode", "auto_vacuum", "encoding", "user_version", "application_id", "integrity_check")
        return {
            "schema": store.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall(),
            "rows": {table: store.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables},
            "pragmas": {name: store.execute(f"PRAGMA {name}").fetchall() for name in asked},
            "mode": path.stat().st_mode,
        }


def test_a_new_store_gets_what_the_migrations_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert migrating._migrate is made_once.copied
    assert migrate(f"sqlite:///{tmp_path}/copied.db") == revisions()
    assert migrate(f"sqlite:///{tmp_path}/copied.db") == []
    monkeypatch.setattr(migrating, "_migrate", made_once._migrate)
    assert migrate(f"sqlite:///{tmp_path}/made.db") == revisions()
    assert found(tmp_path / "copied.db") == found(tmp_path / "made.db")


def test_a_store_that_holds_something_is_migrated(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "e.db")) as store:
        store.execute("CREATE TABLE of_others (a)")
        store.commit()
        migrate(f"sqlite:///{tmp_path}/e.db")
        assert store.execute("SELECT count(*) FROM of_others").fetchall() == [(0,)]
        assert store.execute("SELECT count(*) FROM exchanges").fetchall() == [(0,)]


@pytest.mark.slow  # it is waited for, 5 s
def test_a_new_store_that_somebody_writes_to_is_told(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "e.db", isolation_level=None)) as store:
        store.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetryableError, match="locked"):
            migrate(f"sqlite:///{tmp_path}/e.db")


def test_clients_trust_the_same_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    default = httpx.create_ssl_context()
    assert made_once.trusting().get_ca_certs() == default.get_ca_certs()
    assert made_once.trusting() is made_once.trusting()
    assert made_once.trusting(trust_env=False).get_ca_certs() == httpx.create_ssl_context(trust_env=False).get_ca_certs()
    assert made_once.trusting(trust_env=False) is made_once.trusting(trust_env=False)
    assert made_once.trusting(False).verify_mode == ssl.CERT_NONE
    own = httpx.create_ssl_context()
    assert made_once.trusting(own) is own
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with pytest.raises(FileNotFoundError):
        made_once.trusting()


def test_commands_are_the_same_each_time() -> None:
    first, second = (CliRunner().invoke(app, ["ledger", "--help"]) for _ in range(2))
    assert first.output == second.output
    assert "ledger" in first.output
