"""Tools on a store whose tables an older version made: they say what to do, and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from typer.testing import CliRunner

from collector.cli import app
from collector.store import migrate as migrating
from collector.store.migrate import head, migrate
from tests.support.postgres import Database, in_thread

OLDER = "0008"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "postgres":
        database: Database = request.getfixturevalue("empty_database")
        made = database.url
    else:
        made = f"sqlite:///{request.getfixturevalue('tmp_path')}/events.db"
    in_thread(lambda: command.upgrade(migrating._config(made), OLDER))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["verify", "recount", "marks"])
def test_the_migration_is_asked_for(tmp_path: Path, url: str, tool: str) -> None:
    environment = {"MESHSCRIBE_SINK__URL": url, "MESHSCRIBE_JOURNAL__PATH": str(tmp_path / "journal.db")}
    told = CliRunner().invoke(app, [tool], env=environment)
    assert told.exit_code == 2
    assert f"is at revision {OLDER}, needed is {head()}: run `meshscribe migrate`" in told.output
    in_thread(lambda: migrate(url))
    assert CliRunner().invoke(app, [tool], env=environment).exit_code == 0
