"""The columns of events are written down once (collector/messages/columns.py): tables, rows, records and dead letters have these."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Table

import collector
from collector.dead_letters import letter
from collector.dead_letters.events import read_batch
from collector.kafka.cloudevents import decode, headers
from collector.messages.columns import Columns, ExchangeColumns, LedgerColumns, PayloadColumns
from collector.messages.event import COLUMNS, USAGE_TYPE, Event, Output
from collector.store.events import exchange_event, ledger_event, payload_event
from collector.store.migrate import migrate
from collector.store.rows import KEY_BYTES, RowMaker, Rows, fitted
from collector.store.schema import exchanges, ledger, payloads
from tests.support.events import JOURNAL
from tests.support.outputs import chats, outputs

EVENT = {"id", "source", "time_us", "data"}
PLACE = {"journal", "position", "ordinal"}
TABLES = [
    (exchanges, ExchangeColumns, {*EVENT, *PLACE, "subject", "superseded", "usage_key", "crc"}),
    (payloads, PayloadColumns, {*EVENT, "subject", "type", "extensions", "compression"}),
    (ledger, LedgerColumns, {*EVENT, *PLACE}),
]


@pytest.fixture(scope="module")
def made() -> list[Output]:
    return outputs(chats(3))


@pytest.mark.parametrize(("table", "of", "others"), TABLES, ids=lambda found: getattr(found, "name", ""))
def test_a_table_has_exactly_these_columns_and_migrations_make_them(
    tmp_path: Path, table: Table, of: type[Columns], others: set[str]
) -> None:
    path = tmp_path / "events.db"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        found = {name: not required for _, name, _, required, *_ in connection.execute(f"PRAGMA table_info({table.name})")}
    assert found.keys() == {*of._fields, *others}
    assert not others & set(of._fields)
    assert found == {column.name: column.nullable for column in table.columns}


def rows_of(made: list[Output]) -> list[tuple[Table, SimpleNamespace]]:
    """Each row, read by the names of its table's columns."""
    rows = RowMaker().rows(JOURNAL, made)
    return [
        (table, SimpleNamespace(**dict(zip(table.c.keys(), row, strict=True))))
        for table, found in zip((exchanges, payloads, ledger), rows, strict=True)
        for row in found
    ]


def events_of(made: list[Output]) -> list[tuple[Output, Event]]:
    return [(output, event) for output in made for event in output.events]


def test_every_kind_of_event_is_there(made: list[Output]) -> None:
    assert {event.type for _, event in events_of(made)} == {*COLUMNS, USAGE_TYPE}
    assert all(type(event.columns) is COLUMNS.get(event.type, type(None)) for _, event in events_of(made))


def test_rows_are_in_the_order_of_the_tables_and_give_the_same_events(made: list[Output]) -> None:
    again = {exchanges: exchange_event, payloads: payload_event, ledger: ledger_event}
    found = [again[table](row) for table, row in rows_of(made)]
    stored = [event for _, event in events_of(made) if event.columns is not None]
    assert sorted(found, key=lambda event: event.id) == sorted(stored, key=lambda event: event.id)
    places = {(row.journal, row.position, row.ordinal) for table, row in rows_of(made) if table is not payloads}
    assert places == {(JOURNAL, *output.place) for output in made}


def test_records_and_dead_letters_give_the_same_events(made: list[Output]) -> None:
    for output, event in events_of(made):
        assert decode(headers(event, JOURNAL, output.place), event.data).event == event
    for output in made:
        kept = letter("sink", JOURNAL, output, "why", 0)
        assert read_batch(kept.data, kept.columns) == output.events


def test_a_letter_of_an_older_version_is_counted_as_its_record_says(made: list[Output]) -> None:
    kept = letter("sink", JOURNAL, made[0], "why", 0)
    told = json.loads(kept.columns or b"")
    for beside in told:
        for name in ("consumer", "user", "protocol", "annotations", "billable", "usage"):
            beside["columns"].pop(name, None)
    assert read_batch(kept.data, json.dumps(told).encode()) == made[0].events


def test_a_key_that_no_index_holds_is_cut_and_another_text_is_not(made: list[Output]) -> None:
    long: Any = "x" * (KEY_BYTES + 1)
    own = made[0].events[0]
    assert isinstance(own.columns, ExchangeColumns)
    odd = own._replace(columns=own.columns._replace(node=long, path=long))
    (row,) = fitted(Rows(*RowMaker().rows(JOURNAL, [made[0]._replace(events=(odd,))]))).exchanges
    found = dict(zip(exchanges.c.keys(), row, strict=True))
    assert (found["node"], found["path"]) == (long[:KEY_BYTES], long)


EXPORTED = ("export_forms.py", "facts.py")


def test_no_other_file_lists_them() -> None:
    """Names that are no others' words stand in quotes nowhere: what is read by name is read as an attribute.

    But where they are the names of an export's own columns.
    """
    own = ("request_bytes", "response_bytes", "content_encoding", "away_from_us", "away_to_us")
    folder = Path(collector.__file__).parent
    assert [
        path for path in folder.rglob("*.py") if path.name not in EXPORTED and any(f'"{name}"' in path.read_text() for name in own)
    ] == []
