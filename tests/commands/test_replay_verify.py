"""`meshscribe replay` and `meshscribe verify`, over a journal and a store that the real pipeline filled, while it still runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from typer.testing import CliRunner, Result

from collector.cli import app
from collector.correlate import Correlator, Limits
from collector.dead_letters import damaged, undone
from collector.dead_letters.sql import SqlDeadLetters
from collector.enrich.catalogue import Catalogue
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.entry import Entry
from collector.messages.event import Place
from collector.messages.exchange import Fault, Node
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.settings import Journal as JournalSettings
from collector.settings import Sink as SinkSettings
from collector.sinks.open import open_sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.outputs import chats, entries
from tests.support.pipelines import running
from tests.support.witnesses import T0

COUNT = 60
SHIFT = 1_220_000_000  # µs: behind T0 a full minute begins there, and with it a window of the ledger
LIMITS = Limits()


class Lab:
    """Files, and the command line on them. The clock is that of the journal's entries."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, TurnedClock(T0)
        self.url, self.journal = f"sqlite:///{folder}/events.db", folder / "journal.db"
        self.file = folder / "c.yaml"
        settings = {"sink": {"url": self.url}, "journal": {"path": str(self.journal), "keep_bytes": 1 << 20}}
        self.file.write_text(yaml.safe_dump(settings))
        migrate(self.url)

    async def __call__(self, *arguments: str) -> Result:
        """In a thread: commands have a loop of their own."""
        return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--config", str(self.file)], env={"COLUMNS": "200"})

    def rows(self, table: str, url: str = "") -> list[tuple[object, ...]]:
        path = (url or self.url).removeprefix("sqlite:///")
        with sqlite3.connect(path) as connection:
            found = connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
        connection.close()
        return found

    def change(self, statement: str) -> None:
        with sqlite3.connect(self.folder / "events.db") as connection:
            connection.execute(statement)
        connection.close()

    @asynccontextmanager
    async def running(self, told: list[Entry], checkpoint_us: int = 10**12) -> AsyncIterator[SqliteJournal]:
        """The pipeline, with these entries received and processed."""
        journal = await open_journal(JournalSettings(path=self.journal, keep_bytes=1 << 20), self.clock, 1 << 26)
        sink = open_sink(SinkSettings(url=self.url), self.clock)
        pipeline = Pipeline(
            journal, sink, Correlator(LIMITS), ExchangeMeaning(Catalogue()), self.clock,
            batch=20, checkpoint_us=checkpoint_us, checkpoint_bytes=1 << 30,
        )  # fmt: skip
        async with running(journal, pipeline, sink):
            for entry in told:
                self.clock.now = entry.received_at
                await journal.append(entry.kind, entry.source, entry.payload)
            assert await pipeline.drained(journal.last_position, 30)
            yield journal


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    async with made.running(entries(chats(COUNT))):
        yield made


def at(offset_us: int) -> str:
    from collector.describe.record import timestamp

    return timestamp(T0 + offset_us)


async def test_what_is_rebuilt_equals_what_was_stored_row_by_row(lab: Lab) -> None:
    into = f"sqlite:///{lab.folder}/again.db"
    told = await lab("replay", "--from", at(-(10**9)), "--to", at(10**9), "--into", into)
    assert told.exit_code == 0, told.output
    for table in ("exchanges", "payloads", "ledger"):
        assert lab.rows(table, into) == lab.rows(table)
    assert len(lab.rows("exchanges")) == COUNT


async def test_only_exchanges_that_began_in_the_span_are_rebuilt_and_usage_goes_along(lab: Lab) -> None:
    told = await lab("replay", "--from", at(10_000), "--to", at(20_000))
    assert told.exit_code == 0, told.output
    events = [json.loads(line) for line in told.stdout.splitlines()]
    starts = {event["data"]["start"] for event in events if event["type"] == "meshscribe.exchange.v1"}
    assert starts == {at(n * 1000) for n in range(10, 20)}
    assert sum(event["type"] == "meshscribe.usage.v1" for event in events) == 10
    assert "40 events rebuilt" in told.stderr


async def test_into_the_store_itself_nothing_changes(lab: Lab) -> None:
    before = [lab.rows(table) for table in ("exchanges", "payloads", "ledger")]
    lab.change("DELETE FROM payloads WHERE rowid % 7 = 0")
    assert (await lab("replay", "--from", at(-(10**9)), "--to", at(10**9), "--into", lab.url)).exit_code == 0
    assert [lab.rows(table) for table in ("exchanges", "payloads", "ledger")] == before


async def test_without_a_checkpoint_it_begins_early_and_says_so(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    first, second = entries(chats(20)), entries(chats(20, first=SHIFT // 1000))
    late = [entry._replace(received_at=entry.received_at + SHIFT) for entry in second]
    async with lab.running([*first, *late]):
        told = await lab("replay", "--from", at(SHIFT), "--to", at(2 * SHIFT), "-c", str(lab.file))
    assert told.exit_code == 0, told.output
    assert "no checkpoint is kept before the span" in told.stderr
    assert "ledger windows" in told.stderr
    kinds = [json.loads(line)["type"] for line in told.stdout.splitlines()]
    assert kinds.count("meshscribe.exchange.v1") == 20
    assert "meshscribe.ledger.v1" not in kinds


async def test_from_a_checkpoint_windows_are_rebuilt_too(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running(entries(chats(20)), checkpoint_us=0):
        """A checkpoint is saved behind these."""
    second = [entry._replace(received_at=entry.received_at + SHIFT) for entry in entries(chats(20, first=SHIFT // 1000))]
    async with lab.running(second):
        into = f"sqlite:///{tmp_path}/again.db"
        told = await lab("replay", "--from", at(SHIFT), "--to", at(2 * SHIFT), "--into", into)
    assert told.exit_code == 0, told.output
    assert "checkpoint" not in told.stderr
    bound = T0 + SHIFT
    for table in ("exchanges", "ledger"):
        index = 6 if table == "exchanges" else 5
        assert lab.rows(table, into) == [row for row in lab.rows(table) if isinstance(row[index], int) and row[index] >= bound]
    assert len(lab.rows("ledger", into)) >= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "nonsense"), "RFC 3339"),
        (("--from", "1h", "--to", "2h"), "before"),
        (("--from", "1h", "--into", "mysql://x"), "--into"),
    ],
)
async def test_wrong_options_are_told(lab: Lab, arguments: tuple[str, ...], said: str) -> None:
    told = await lab("replay", *arguments)
    assert told.exit_code == 2
    assert said in told.stderr


async def test_a_journal_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = await Lab(tmp_path)("replay", "--from", "1h")
    assert told.exit_code == 2
    assert "there is no journal" in told.stderr


async def test_dead_letters_are_a_finding_and_nothing_is_not_said_to_be_missing(lab: Lab) -> None:
    faults = [Fault(Node("n"), "enrich", f"because {number}", T0 + number, "application/x-protobuf", b"\xff") for number in range(3)]
    letters = SqlDeadLetters(open_engine(SinkSettings(url=lab.url)))
    await letters.add(*(undone("sink", "j", Place(number, 0), fault) for number, fault in enumerate(faults)))
    await letters.add(damaged("relay:r", "j", Place(9, 0), b"\xff", "no event", T0))
    await letters.close()
    told = await lab("verify")
    assert told.exit_code == 1, told.output
    assert "nothing is missing" not in told.stdout
    lines = [line for line in map(json.loads, (await lab("verify", "-o", "jsonl")).stdout.splitlines()) if line["check"] == "dead letters"]
    assert [(line["subject"], line["missing"]) for line in lines] == [("relay:r", 1), ("sink", 3)]
    assert "because 2" in lines[1]["said"]


async def test_a_sound_store_has_nothing_missing(lab: Lab) -> None:
    told = await lab("verify")
    assert told.exit_code == 0, told.output
    assert "nothing is missing" in told.stdout
    found = {line["check"]: line for line in map(json.loads, (await lab("verify", "-o", "jsonl")).stdout.splitlines())}
    assert found["stored"]["said"] == f"closed {COUNT}, stored {COUNT}"
    assert found["bodies"]["said"] == f"{COUNT * 2} expected, each compared with its record's sha256"
    rows = {"windows", "stored", "bodies", "records", "usage", "index of marks"}
    assert set(found) == {"journal", "ledger", "journal file", "store", "dead letters"} | rows
    assert found["index of marks"]["said"] == f"{COUNT} exchanges"


@pytest.mark.parametrize(
    ("damage", "check", "missing"),
    [
        ("DELETE FROM exchanges WHERE rowid IN (3, 4)", "stored usage", 4),  # the sums still have both
        ("DELETE FROM payloads WHERE rowid IN (3, 4, 9)", "bodies", 3),
        ("UPDATE ledger SET received = received - 1", "ledger windows", 2),  # uneven, and another number than in its JSON
        ("UPDATE exchanges SET data = x'00' WHERE rowid = 5", "records", 1),
        ("UPDATE exchanges SET data = CAST(replace(CAST(data AS TEXT), '200', '201') AS BLOB) WHERE rowid IN (5, 9)", "records", 2),
        ("UPDATE payloads SET data = CAST('hello' AS BLOB), compression = NULL WHERE rowid = 7", "bodies", 1),
        ("UPDATE payloads SET data = x'28B52FFD00' WHERE rowid IN (7, 8)", "bodies", 2),
        ("UPDATE places SET position = {end} + 100", "journal", 100),
    ],
)
async def test_whatever_is_missing_is_found_with_its_number(lab: Lab, damage: str, check: str, missing: int) -> None:
    with closing(sqlite3.connect(lab.journal)) as journal:  # how many ticks it ends with is a matter of time
        [end] = journal.execute("SELECT MAX(position) FROM entries").fetchone()
    lab.change(damage.format(end=end))
    told = await lab("verify", "-o", "jsonl")
    assert told.exit_code == 1
    wrong = [line for line in map(json.loads, told.stdout.splitlines()) if not line["ok"]]
    assert {line["check"] for line in wrong} == set(check.split())
    assert sum(line["missing"] for line in wrong) == missing


async def test_a_damaged_entry_and_a_damaged_checkpoint_are_named_with_their_place(lab: Lab) -> None:
    with closing(sqlite3.connect(lab.journal)) as journal, journal:
        journal.execute("UPDATE entries SET payload = x'00' WHERE position = 4")
        journal.execute("INSERT INTO checkpoints (position, complete, crc) VALUES (7, 1, 5)")
    told = await lab("verify", "-o", "jsonl")
    assert told.exit_code == 1
    wrong = {line["subject"].partition(" ")[2]: line for line in map(json.loads, told.stdout.splitlines()) if not line["ok"]}
    assert wrong.keys() == {"(entries)", "(checkpoints)"}
    assert "the entry at position 4 does not fit its checksum" in wrong["(entries)"]["said"]
    assert "damaged: at position 7" in wrong["(checkpoints)"]["said"]
    assert (await lab("verify", "--quick")).exit_code == 0, "it only compares"


def damage_page(path: Path, of: str) -> None:
    """Zeroes the last page that the table or index `of` uses. The log is copied into the file before."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (of,)).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(path.read_bytes())
    cells = int.from_bytes(data[(page - 1) * size + 3 : (page - 1) * size + 5], "big")
    data[(page - 1) * size + 3 : (page - 1) * size + 5] = (cells - 1).to_bytes(2, "big")  # the index lost its last entry
    path.write_bytes(data)


@pytest.mark.slow
async def test_a_damaged_index_is_told_and_repaired(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running(entries(chats(COUNT))):
        """They are stored."""
    damage_page(tmp_path / "events.db", "ix_exchanges_service")
    told = await lab("verify", "-o", "jsonl")
    assert told.exit_code == 1
    [wrong] = [line for line in map(json.loads, told.stdout.splitlines()) if not line["ok"]]
    assert wrong["check"] == "store"
    assert "ix_exchanges_service" in wrong["said"]
    assert "verify --repair" in wrong["said"]
    mended = await lab("verify", "--repair")
    assert mended.exit_code == 0, mended.output
    assert "before, and repaired" in mended.stdout
    assert (await lab("verify")).exit_code == 0


async def test_a_store_whose_table_is_damaged_is_told_and_left_alone(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running(entries(chats(COUNT))):
        """They are stored."""
    path = tmp_path / "events.db"
    with closing(sqlite3.connect(path)) as connection:
        page, size = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'exchanges'").fetchone()[0], 4096
    data = path.read_bytes()
    path.write_bytes(data[: (page - 1) * size] + bytes(size) + data[page * size :])
    for arguments in (("verify",), ("verify", "--repair")):
        told = await lab(*arguments)
        assert told.exit_code == 1, told.output
        assert "put a backup back" in told.stdout
        assert "Traceback" not in told.output


async def test_entries_that_were_forgotten_before_they_were_stored_are_missing(lab: Lab) -> None:
    lab.change("UPDATE places SET position = 0")
    with sqlite3.connect(lab.journal) as connection:
        connection.execute("UPDATE meta SET floor_position = 3")
    connection.close()
    told = await lab("verify")
    assert told.exit_code == 1
    assert "forgotten" in told.stdout


async def test_a_span_is_cut_where_its_windows_are(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    second = [entry._replace(received_at=entry.received_at + SHIFT) for entry in entries(chats(15, first=SHIFT // 1000))]
    async with lab.running([*entries(chats(20)), *second]):
        told = await lab("verify", "--from", at(SHIFT), "-o", "jsonl")
    assert told.exit_code == 0, told.output
    found = {line["check"]: line["said"] for line in map(json.loads, told.stdout.splitlines())}
    assert found["stored"] == "closed 15, stored 15"


async def test_relays_tells_how_far_each_is(lab: Lab) -> None:
    settings = yaml.safe_load(lab.file.read_text())
    settings["relays"] = [{"name": "billing", "to": "http", "url": "http://127.0.0.1:9/"}]
    lab.file.write_text(yaml.safe_dump(settings))
    (told,) = json.loads((await lab("relays", "-o", "json")).stdout)
    assert (told["relay"], told["place"][0], told["behind"]) == ("billing", 0, told["high"][0])
    assert "billing" in (await lab("relays")).stdout
    assert (await lab("verify")).exit_code == 0, "what is behind is not missing"
    lab.change(f"INSERT INTO relays VALUES ('billing', '{told['journal']}', {told['high'][0] + 5}, 0)")
    assert "ahead" in (await lab("verify")).stdout
