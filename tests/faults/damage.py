"""Files as a killed collector leaves them, ways to damage them, and what becomes of them when they are started again."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select

from collector.audit.bodies import compare
from collector.audit.moments import Span
from collector.correlate import Correlator, Limits
from collector.dead_letters.sql import SqlDeadLetters
from collector.enrich.catalogue import Catalogue
from collector.errors import DamagedError, MeshscribeError, RetryableError
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.event import Place
from collector.pipeline.isolation import IsolatingSink
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.roles.away import Presence
from collector.settings import Journal, Settings, Sink
from collector.sinks.sqlite import SqliteSink
from collector.store.engine import open_engine, prepare_to_write
from collector.store.events import payload_bytes
from collector.store.schema import exchanges, payloads
from collector.store.sound import fault_of
from collector.upkeep.verify.all import verify
from tests.support.clocks import TurnedClock
from tests.support.pipelines import running
from tests.support.witnesses import T0, Tape, Told, Vm, parts

LIMITS = Limits(expects_access_log=False, linger_us=1_000_000, ledger_us=2_000_000)
EARLY, LATE, WAITING, MORE = 40, 40, 40, 20
FILES = ("journal.db", "journal.db-wal", "events.db", "events.db-wal")
JOURNAL_PAGE, STORE_PAGE = 8192, 4096


class Refusing(SqliteSink):
    """Takes nothing once it is told to."""

    refuses = False

    async def write(self, journal: str, outputs: Any, high: Place) -> None:
        if self.refuses:
            raise RetryableError("away")
        await super().write(journal, outputs, high)


class Lab:
    """A folder with journal and store, and a proxy that sends exchanges with bodies that nobody else has."""

    def __init__(self, folder: Path, vm: Vm | None = None, sent: int = 0) -> None:
        self.folder, self.vm, self.sent = folder, vm or Vm(), sent
        self.clock = TurnedClock(T0 + sent * 10_000)
        url = f"sqlite:///{folder}/events.db"
        self.settings = Settings(sink=Sink(url=url), journal=Journal(path=folder / "journal.db"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[SqliteJournal, Pipeline, Refusing]]:
        journal = await open_journal(self.settings.journal, self.clock, 64 << 20)
        await prepare_to_write(self.settings.sink)
        sink = Refusing(self.folder / "events.db")
        whole = IsolatingSink(sink, SqlDeadLetters(open_engine(self.settings.sink)), self.clock)
        pipeline = Pipeline(
            journal, whole, Correlator(LIMITS), ExchangeMeaning(Catalogue()), self.clock,
            batch=20, checkpoint_us=10**15, checkpoint_bytes=12_000,
        )  # fmt: skip
        self.presence = Presence(journal, self.clock, self.settings.journal.path)
        async with running(journal, pipeline, whole):
            try:
                await self.presence.start()
                yield journal, pipeline, sink
            finally:
                await self.presence.stop()

    async def send(self, journal: SqliteJournal, number: int) -> None:
        tape = Tape(self.clock.now)
        for _ in range(number):
            self.sent += 1
            tape.tap(self.vm.seal(parts(told(self.sent))), 0.01)
        for entry in tape.entries:
            self.clock.now = entry.received_at
            await journal.append(entry.kind, entry.source, entry.payload)

    async def served(self) -> tuple[dict[str, str], set[str]]:
        """(what is served as sound, by request id: all of it in one text; request ids, or ids, of what is told as damaged)."""
        engine = open_engine(self.settings.sink)
        found, told_of = {}, set()
        try:
            async with engine.connect() as connection:
                bodies = {(row.exchange, row.revision, row.type[-8:]): row for row in await connection.execute(select(payloads))}
                for row in (await connection.execute(select(exchanges).where(exchanges.c.superseded.is_(False)))).all():
                    try:
                        if fault_of(row.data, row.crc) is not None:
                            raise DamagedError(row.id)
                        record = orjson.loads(row.data)
                        content = [_body(bodies, row, record, side) for side in ("request", "response")]
                    except DamagedError:
                        told_of.add(row.request_id)
                    else:
                        assert record["request"]["id"] not in found, "stored twice"
                        found[record["request"]["id"]] = f"{row.data!r} {content}"
        finally:
            await engine.dispose()
        return found, told_of

    async def findings(self) -> list[str]:
        """What `verify` says is not as it must be."""
        try:
            return [
                f"{one.check} {one.subject}: {one.said}" async for one in verify(self.settings, Span(None, None), self.clock) if not one.ok
            ]
        except MeshscribeError as error:
            return [str(error)]


def told(number: int) -> Told:
    """The exchange of this number."""
    chance = random.Random(number)
    request = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}' % chance.randbytes(chance.randrange(10, 600)).hex().encode()
    response = b'{"choices":[{"index":0,"message":{"content":"%s"}}],"usage":{"prompt_tokens":%d}}' % (
        chance.randbytes(chance.randrange(10, 900)).hex().encode(), number,
    )  # fmt: skip
    return Told(number, request_id=f"r{number}", start_us=T0 + number, path="/v1/chat/completions", request=request, response=(response,))


def _body(bodies: dict[Any, Any], row: Any, record: dict[str, Any], side: str) -> bytes | None:
    stored = bodies.get((row.exchange, row.revision, f".{side}"[-8:]))
    if stored is None:
        if record[side]["body"].get("captured"):
            raise DamagedError(f"{side} of {row.id} is missing")
        return None
    data = payload_bytes(stored)
    compare(stored, data, record)
    return data


class Baseline(NamedTuple):
    """Folders: files closed in order early, and files as a kill left them later; what every exchange is like, stored in peace."""

    early: Path
    late: Path
    expected: dict[str, str]
    vm: bytes


async def make_baseline(folder: Path) -> Baseline:
    """Some of it is stored, with checkpoints, some waits in the journal."""
    early, late, work, peace = (folder / name for name in ("early", "late", "work", "peace"))
    for made in (work, peace):
        made.mkdir()
    lab = Lab(work)
    async with lab.running() as (journal, pipeline, _):
        await lab.send(journal, EARLY)
        assert await pipeline.drained(journal.last_position, 30)
    shutil.copytree(work, early)
    async with lab.running() as (journal, pipeline, sink):
        await lab.send(journal, LATE)
        assert await pipeline.drained(journal.last_position, 30)
        sink.refuses = True
        await lab.send(journal, WAITING)
        lab.presence._sign("running")
        shutil.copytree(work, late, ignore=shutil.ignore_patterns("*-shm"))
    calm = Lab(peace)
    async with calm.running() as (journal, pipeline, _):
        await calm.send(journal, EARLY + LATE + WAITING + MORE)
        assert await pipeline.drained(journal.last_position, 30)
    served, damaged = await calm.served()
    assert not damaged
    return Baseline(early, late, served, b"")


class Damage(NamedTuple):
    """What was done to which file."""

    file: str
    kind: str
    where: str


def do_damage(folder: Path, baseline: Baseline, chance: random.Random) -> Damage:
    """One damage, by chance."""
    kind = chance.choice(["flip", "flip", "zero page", "cut", "older"])
    name = chance.choice(["journal.db", "journal.db-wal", "events.db", "events.db-wal", "checkpoint"])
    if kind == "older":
        name = "journal.db" if name.startswith(("journal", "check")) else "events.db"
        (folder / f"{name}-wal").unlink(missing_ok=True)
        shutil.copyfile(baseline.early / name, folder / name)
        return Damage(name, kind, "all")
    if chance.random() < 0.5 or name == "checkpoint":  # all that was written is in the files themselves
        name = name.removesuffix("-wal")
        for database in ("journal.db", "events.db"):
            with closing(sqlite3.connect(folder / database)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = "journal.db" if name == "checkpoint" else name
    data = bytearray((folder / file).read_bytes())
    page = JOURNAL_PAGE if file.startswith("journal") else STORE_PAGE
    start = page if file.endswith(".db") else 0  # page 1 is the schema: without it nothing can be read
    if len(data) <= start:
        return Damage(name, "none", "the file is empty")
    at = in_a_checkpoint(folder, data, chance) if name == "checkpoint" else chance.randrange(start, len(data))
    at = spoil(data, kind, at, page, chance)
    (folder / file).write_bytes(data)
    return Damage(name, kind, f"byte {at}")


def spoil(data: bytearray, kind: str, at: int, page: int, chance: random.Random) -> int:
    """What a disk does there: a bit, a page of zeros (`page`: its size), or an early end. Returns where it begins."""
    if kind == "flip":
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "zero page":
        at -= at % page
        data[at : at + page] = bytes(min(page, len(data) - at))
    else:
        del data[at:]
    return at


def in_a_checkpoint(folder: Path, data: bytearray, chance: random.Random) -> int:
    """A place on a page with the beginning of a checkpoint's piece, as far as the file itself holds one."""
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        states = [row[0] for side in (0, 1) for row in connection.execute(f"SELECT substr(data, 1, 200) FROM checkpoint_chunks_{side}")]
    found = [at for state in states if (at := data.rfind(state)) > 0]
    return chance.choice(found) + chance.randrange(200) if found else chance.randrange(JOURNAL_PAGE, len(data))
