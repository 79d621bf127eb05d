"""`verify` holds each window to its own account: what one window or sender has too much of makes up for no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects import sqlite

from collector.audit import ledger_queries
from collector.audit.moments import Span
from collector.audit.parameters import LedgerQuery
from collector.messages.ledger_data import LARGEST
from collector.upkeep.verify import Finding
from collector.upkeep.verify.ledger import sums, windows
from tests.audit.rows import MINUTE, NOW, Store, away, window


async def found(folder: Path, *rows: dict[str, object]) -> list[Finding]:
    store = Store(folder / "events.db")
    store.ledger(*rows)
    engine = store.opened()
    try:
        return await sums(engine, Span())
    finally:
        await engine.dispose()
        store.close()


async def test_windows_that_are_off_in_opposite_ways_are_both_found(tmp_path: Path) -> None:
    few, many = window(NOW, "a", received=5, missing=2), window(NOW + MINUTE, "a", received=5)
    few["announced"], many["announced"] = 5, 7
    finding, _ = await found(tmp_path, few, many, window(NOW, "a", sender="s"))
    assert finding.missing == 4
    assert "off by 4" in finding.said


async def test_senders_are_told_apart_and_absences_are_no_proxy(tmp_path: Path) -> None:
    findings = await found(tmp_path, window(NOW, "a"), window(NOW, "a", sender="spiffe://s"), away(NOW, NOW + 1))
    assert [one[1:3] for one in findings] == [("a", 0), ("a (spiffe://s)", 0)]


async def test_numbers_that_no_column_holds_are_said_to_be_unknown(tmp_path: Path) -> None:
    rows = [window(NOW + n, "a", received=LARGEST, missing=LARGEST, dropped={"x": LARGEST}) for n in range(2)]
    (finding,) = await found(tmp_path, *rows)
    assert finding.missing == 0
    assert "2 windows hold numbers beyond 64 bits" in finding.said


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\x00", "no JSON object"), (b'{"node":"a"}', "no window"), (None, "another number in its column: received, dropped")],
)
async def test_each_window_is_decoded_and_held_against_its_columns(tmp_path: Path, data: bytes | None, said: str) -> None:
    rows = [window(NOW + n * MINUTE, "a", received=5, dropped={"x": 1}) for n in range(3)]
    rows[1] |= {"data": data} if data is not None else {"received": 7, "dropped": 0}
    store = Store(tmp_path / "events.db")
    store.ledger(*rows, away(NOW, NOW + 1))
    engine = store.opened()
    (finding,) = await windows(engine, Span())
    await engine.dispose()
    store.close()
    assert finding.missing == 1
    assert finding.said.startswith("4 read")
    assert f"{rows[1]['id']} ({said}" in finding.said


async def test_a_window_of_before_that_counted_less_than_nothing_is_no_damage(tmp_path: Path) -> None:
    """Its row was migrated, its JSON stays what was written."""
    old = window(NOW, "a", received=13)
    said = json.loads(old["data"]) | {"announced": 10, "received": 13, "missing": -3}
    old |= {"announced": 10, "received": 10, "missing": 0, "data": json.dumps(said).encode()}
    store = Store(tmp_path / "events.db")
    store.ledger(old)
    engine = store.opened()
    (of_windows,), (of_sums,) = await windows(engine, Span()), await sums(engine, Span())
    await engine.dispose()
    store.close()
    assert (of_windows.missing, of_windows.said) == (0, "1 read")
    assert of_sums.missing == 0


@pytest.mark.parametrize("index", ["ix_ledger_cured", "ix_ledger_away"])
def test_what_is_rare_is_found_by_an_index_of_its_own(tmp_path: Path, index: str) -> None:
    span = Span(NOW - MINUTE, NOW)
    statement = ledger_queries.cures(LedgerQuery(), span, None) if index.endswith("cured") else ledger_queries.away(span, 9)
    sql = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    store, plans = Store(tmp_path / "events.db"), list[str]()

    def explain(connection: Connection) -> None:
        plans.extend(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}".replace(":", "\\:"))))

    store.transact(explain)
    store.close()
    assert any(index in plan for plan in plans), plans
