"""A SQL store of either kind with its tables, for fixtures with the parameters `sqlite` and `postgres`."""

from __future__ import annotations

import pytest

from collector.settings import Sink
from collector.store.migrate import migrate
from tests.support.postgres import Database


def migrated(request: pytest.FixtureRequest) -> Sink:
    """An empty one, of the kind that the fixture's parameter names."""
    if request.param == "postgres":
        database: Database = request.getfixturevalue("database")
        return Sink(url=database.url)
    made = Sink(url=f"sqlite:///{request.getfixturevalue('tmp_path')}/events.db")
    migrate(made.url)
    return made
