"""A collector puts the index of marks in order beside its other work, of what was stored before it started too."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from collector.store import postings
from collector.store.migrate import migrate
from tests.audit.rows import name
from tests.support.cluster import collector_alone
from tests.support.waits import until

AGES_DAYS = (1, 1, 1, 2, 9)


@pytest.mark.slow
def test_batches_of_spans_that_are_over_become_runs(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    migrate(f"sqlite:///{path}")
    starts = [time.time_ns() // 1000 - age * 86_400_000_000 for age in AGES_DAYS]
    with closing(sqlite3.connect(path)) as connection:
        for number, start in enumerate(starts):
            rows = postings.postings([(name(start, str(number)), f"\ntrace:{number}\n")])
            connection.executemany(postings.SQLITE, rows)
        connection.commit()
    with ExitStack() as stack:
        collector_alone(tmp_path, stack, {"MESHSCRIBE_SINK__URL": f"sqlite:///{path}"})
        with closing(sqlite3.connect(path)) as connection:
            until(lambda: int(connection.execute("SELECT count(*) FROM marks").fetchone()[0]), lambda left: left == 0)
            assert connection.execute("SELECT sum(count) FROM mark_runs").fetchone() == (len(AGES_DAYS),)
