"""The SQL store's tables, as SQLAlchemy Core declares them; alembic/versions brings a database to this state.

Every row of `exchanges`, `payloads` and `ledger` is a CloudEvent: its id, the columns of messages/columns.py, its other attributes, its
place and its data; rows.py makes rows in this order. Times are microseconds since the epoch (they compare exactly with the proxies' own).
Event ids are UUIDv7 and begin with the request's start, so ordering by `id` is ordering by time, and a time filter is a range of ids: the
primary key is the only time index.

On Postgres these three tables, and `texts`, are partitioned by ranges of `id`, a day each (store/partitions.py). Texts are compared byte
by byte (collation "C"): as SQLite does, as ranges of ids need it, and no upgrade of the server's locales can damage an index. Columns that
whoever calls a model can make as long as they like are indexed by their beginning or their hash: a row that fits no index page would
be refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.schema import DDL
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

from collector.messages import ledger as names
from collector.messages.columns import Columns, ExchangeColumns, Kind, LedgerColumns, PayloadColumns
from collector.messages.completeness import Completeness
from collector.messages.usage_counts import SUMS

Id = String(36).with_variant(String(36, collation="C"), "postgresql")
Name = Text().with_variant(Text(collation="C"), "postgresql")
KEY = "key"  # in `Column.info`: a text in an index that holds it whole

_TYPES: dict[Kind, TypeEngine[str] | TypeEngine[int]] = {
    Kind.ID: Id,
    Kind.TEXT: Name,
    Kind.KEY: Name,
    Kind.SMALL: SmallInteger(),
    Kind.INTEGER: Integer(),
    Kind.BIG: BigInteger(),
}
metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
)


def declared(of: type[Columns], defaults: Mapping[str, str | TextClause] | None = None) -> list[Column[object]]:
    """The columns of this type, in order. `defaults`: what the database puts where an older writer says nothing."""
    hints = get_type_hints(of, include_extras=True)
    return [_column(name, hint, (defaults or {}).get(name)) for name, hint in hints.items()]


def _column(name: str, hint: object, default: str | TextClause | None) -> Column[object]:
    parts = list(_parts(hint))
    kind = next(part for part in parts if isinstance(part, Kind))
    comment = next((part for part in parts if isinstance(part, str)), None)
    info = {KEY: True} if kind is Kind.KEY else {}
    return Column(name, _TYPES[kind], nullable=NoneType in parts, server_default=default, comment=comment, info=info)


def _parts(hint: object) -> Iterator[object]:
    """All that a hint is made of: types, marks and the comment."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _only(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _place() -> list[Column[str] | Column[int]]:
    journal = Column("journal", Name, nullable=False, info={KEY: True})
    return [journal, Column("position", BigInteger, nullable=False), Column("ordinal", Integer, nullable=False)]


USAGE_DIMENSIONS = ("namespace", "service", "model", "consumer", "user", "caller", "protocol", "annotations")

BY_DAY = "RANGE (id)"

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Id, primary_key=True, comment="event id; revision 0: also the exchange's id"),
    *declared(ExchangeColumns),
    Column("superseded", Boolean, nullable=False, comment="a later revision of this exchange is stored"),
    Column("usage_key", BigInteger, comment="of usage_keys: where it is counted; absent: it is not"),
    Column("source", Name, nullable=False, comment="CloudEvents source: /proxy/<node id>"),
    Column("subject", Name, comment="CloudEvents subject: namespace/service, where known"),
    Column("time_us", BigInteger, nullable=False, comment="the request's start"),
    *_place(),
    Column("crc", BigInteger, comment="CRC-32 of data"),
    Column("data", LargeBinary, nullable=False, comment="the record as JSON"),
    postgresql_partition_by=BY_DAY,
)
ODD_STATUS = "status <> 200 OR status IS NULL"
ODD_METHOD = "method <> 'POST'"
NOT_COMPLETE = f"completeness & {int(Completeness.COMPLETE)} = 0"
FLAGGED = {flag: f"completeness & {int(flag)} <> 0" for flag in Completeness if flag != Completeness.COMPLETE}
INDEXED = 256  # characters of a path or a model that indexes hold
path_beginning = func.substr(exchanges.c.path, literal_column("1"), literal_column(str(INDEXED)))
model_beginning = func.substr(exchanges.c.model, literal_column("1"), literal_column(str(INDEXED)))

Index("ix_exchanges_place", exchanges.c.journal, exchanges.c.position, exchanges.c.ordinal)
Index("ix_exchanges_request_id", exchanges.c.request_id, postgresql_using="hash")
Index("ix_exchanges_namespace", exchanges.c.namespace, exchanges.c.id)
Index("ix_exchanges_service", exchanges.c.service, exchanges.c.id)
Index("ix_exchanges_consumer", exchanges.c.consumer, exchanges.c.id, **_only("consumer IS NOT NULL"))  # of who may see a consumer's alone
Index("ix_exchanges_revised", exchanges.c.exchange, **_only("revision > 0"))

# These hold only what is not as usual: exchanges that went well cost them nothing.
Index("ix_exchanges_odd_status", exchanges.c.status, exchanges.c.id, **_only(ODD_STATUS))
Index("ix_exchanges_odd_method", exchanges.c.method, exchanges.c.id, **_only(ODD_METHOD))
Index("ix_exchanges_not_complete", exchanges.c.id, **_only(NOT_COMPLETE))
for _flag, _condition in FLAGGED.items():
    Index(f"ix_exchanges_{(_flag.name or '').lower()}", exchanges.c.id, **_only(_condition))
Index("ix_exchanges_node", exchanges.c.node, exchanges.c.id)
Index("ix_exchanges_caller", exchanges.c.caller, exchanges.c.id)
Index("ix_exchanges_model", model_beginning, exchanges.c.id)
Index("ix_exchanges_path", path_beginning, exchanges.c.id)
UNMARKED = "marks IS NULL"
Index("ix_exchanges_unmarked", exchanges.c.id, **_only(UNMARKED))

marks = Table(
    "marks",
    metadata,
    Column("bucket", BigInteger, primary_key=True, autoincrement=False, comment="of the exchanges' starts: milliseconds >> postings.BITS"),
    Column("batch", BigInteger, primary_key=True, autoincrement=False, comment="a hash of the ids that were written together"),
    Column("hashes", LargeBinary, nullable=False, comment="of the marks of these exchanges, each once"),
    Column("told", LargeBinary, nullable=False, comment="the exchanges with the hashes of their marks (postings.py)"),
    sqlite_with_rowid=False,
)

# What batches' rows become soon (mark_runs.py, merging.py).
mark_runs = Table(
    "mark_runs",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False, comment="in the order in which they were committed"),
    Column("span", BigInteger, nullable=False, comment="bucket >> mark_runs.SPAN_BITS, of all its exchanges"),
    Column("low", Id, nullable=False, comment="the first of its exchanges' ids"),
    Column("high", Id, nullable=False, comment="the last of them"),
    Column("count", Integer, nullable=False, comment="of its exchanges"),
)
mark_pairs = Table(
    "mark_pairs",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False, comment="of these pairs: hash << 16 | place"),
    Column("told", LargeBinary, nullable=False, comment="hashes of marks, 4 bytes each; then where who has each stands, 2 bytes each"),
    sqlite_with_rowid=False,
)
mark_ids = Table(
    "mark_ids",
    metadata,
    Column("part", BigInteger, primary_key=True, autoincrement=False, comment="run << 8 | number of the row in the run"),
    Column("ids", LargeBinary, nullable=False, comment="of the exchanges, 16 bytes each"),
    sqlite_with_rowid=False,
)
marks_state = Table(
    "marks_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row, if there ever was a run"),
    Column("run", BigInteger, nullable=False, comment="the last one's number; whoever changes runs holds this row"),
)

payloads = Table(
    "payloads",
    metadata,
    Column("id", Id, primary_key=True, comment="event id: describe.identity.event_id(exchange, direction, revision)"),
    *declared(PayloadColumns),
    Column("type", Name, nullable=False, comment="CloudEvents type: KServe's request or response"),
    Column("source", Name, nullable=False),
    Column("subject", Name),
    Column("time_us", BigInteger, nullable=False, comment="request: its start; response: its end"),
    Column("extensions", LargeBinary, nullable=False, comment="CloudEvents extensions as a JSON object"),
    Column("compression", String(4), comment="zstd, or absent: how `data` is stored"),
    Column("data", LargeBinary, nullable=False),
    postgresql_partition_by=BY_DAY,
)

_LATER = (*names.GAPS, names.ACCESS_LOG_ENTRIES, names.REFUSED, names.MALFORMED, "cured")  # have a default: migration 0006

ledger = Table(
    "ledger",
    metadata,
    Column("id", Id, primary_key=True),
    *declared(LedgerColumns, {"sender": text("''"), **dict.fromkeys(_LATER, "0")}),
    Column("source", Name, nullable=False),
    Column("time_us", BigInteger, nullable=False, comment="the window's start, of received time"),
    *_place(),
    Column("data", LargeBinary, nullable=False, comment="all counts, with the drops by reason, as JSON"),
    postgresql_partition_by=BY_DAY,
)
CURING = "cured > 0"
LOST = "missing > 0 OR dropped > 0 OR refused > 0 OR malformed > 0"
AWAY = "away_from_us IS NOT NULL"
Index("ix_ledger_place", ledger.c.journal, ledger.c.position, ledger.c.ordinal)
Index("ix_ledger_node", ledger.c.node, ledger.c.time_us)
Index("ix_ledger_time_us", ledger.c.time_us)
Index("ix_ledger_cured", ledger.c.time_us, **_only(CURING))
Index("ix_ledger_lost", ledger.c.time_us, **_only(LOST))
Index("ix_ledger_away", ledger.c.away_from_us, **_only(AWAY))

# The words of what was asked and answered (words.py), where `search.text` is on; a row for each exchange, of its newest revision.
texts = Table(
    "texts",
    metadata,
    Column("id", Id, primary_key=True, comment="event id of the exchange"),
    Column("number", BigInteger, comment="in SQLite: its row in texts_index; the start in milliseconds << 19, and what tells it apart"),
    Column("words", Name, nullable=False, comment="a line for each text"),
    Column("found", Text().with_variant(TSVECTOR(), "postgresql"), comment="on Postgres: each word"),
    postgresql_partition_by=BY_DAY,
)
Index("ix_texts_number", texts.c.number, **_only("number IS NOT NULL"))
Index("ix_texts_found", texts.c.found, postgresql_using="gin", sqlite_where=text("found IS NOT NULL"))

# `content=texts` without positions (detail=none): a phrase is looked for in `words`. The tokenizer parts at blanks alone: words.py has done
# the rest.
TEXTS_INDEX = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS texts_index USING fts5("
    "words, content='texts', content_rowid='number', tokenize='ascii', detail=none, columnsize=0)",
    "CREATE TRIGGER IF NOT EXISTS texts_put AFTER INSERT ON texts BEGIN"
    " INSERT INTO texts_index (rowid, words) VALUES (new.number, new.words); END",
    "CREATE TRIGGER IF NOT EXISTS texts_gone AFTER DELETE ON texts BEGIN"
    " INSERT INTO texts_index (texts_index, rowid, words) VALUES ('delete', old.number, old.words); END",
)


def is_of_the_index(table: str) -> bool:
    """Whether a table of this name is SQLite's own, of the index of texts."""
    return table == "texts_index" or table.startswith("texts_index_")


for _said in TEXTS_INDEX:
    event.listen(texts, "after_create", DDL(_said).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
event.listen(texts, "before_drop", DDL("DROP TABLE IF EXISTS texts_index").execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]

texts_state = Table(
    "texts_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row, if there ever was an index"),
    Column("since_us", BigInteger, nullable=False, comment="when the index of texts was begun"),
)

# The sums of usage (usage_book.py): of each key what its calls used, by hour, and the same by day, so that a month is read in no time.
usage_keys = Table(
    "usage_keys",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="hash of the others, as they were told"),
    Column("folded", SmallInteger, nullable=False, comment="0: as told; 1: names that callers choose read `other`; 2: all do"),
    *(Column(name, Name) for name in USAGE_DIMENSIONS),
)


def _sums(name: str, unit: str) -> Table:
    counts = [Column(count, BigInteger, nullable=False, server_default="0") for count in SUMS]
    time = Column(unit, Integer, primary_key=True, autoincrement=False, comment=f"{unit}s since 1970, of the request's start")
    key = Column("key", BigInteger, primary_key=True, autoincrement=False, comment="of usage_keys")
    return Table(name, metadata, time, key, *counts, sqlite_with_rowid=False)


usage_hours = _sums("usage_hours", "hour")
usage_days = _sums("usage_days", "day")
usage_state = Table(
    "usage_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row"),
    Column("ended", BigInteger, nullable=False, comment="retention has deleted exchanges of days before this one (days since 1970)"),
    Column("uncounted", Id, comment="exchanges of older versions with ids before this one are not counted yet; absent: all are"),
)

places = Table(
    "places",
    metadata,
    Column("journal", Name, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False, comment="high: the last output that the store holds"),
)

service_versions = Table(
    "service_versions",
    metadata,
    Column("uid", Name, primary_key=True),
    Column("resource_version", Name, primary_key=True),
    Column("deleted", Boolean, primary_key=True, comment="a tombstone: the service ended"),
    Column("namespace", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("since_us", BigInteger, nullable=False, comment="in force from"),
    Column("saved_us", BigInteger, nullable=False, comment="last written: collectors that share the store read what is new"),
    Column("data", LargeBinary, nullable=False, comment="annotations, labels, model, metadata_headers, logger_mode as JSON"),
)
Index("ix_service_versions_saved_us", service_versions.c.saved_us)
Index("ix_service_versions_name", service_versions.c.namespace, service_versions.c.name)

relays = Table(
    "relays",
    metadata,
    Column("relay", Name, primary_key=True, comment="the relay's name in the settings"),
    Column("journal", Name, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False, comment="the last output that the relay's target holds"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Id, primary_key=True),
    Column("origin", Name, nullable=False, comment="sink, or relay:NAME: who could not write it"),
    Column("journal", Name, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False, comment="when it was given up"),
    Column("reason", Text, nullable=False),
    Column("content_type", Name, nullable=False, comment="of data: a CloudEvents JSON batch, or bytes that nobody could read"),
    Column("data", LargeBinary, nullable=False),
    Column("columns", LargeBinary, comment="the events' columns in the SQL store, as a JSON array"),
)

looks = Table(
    "looks",
    metadata,
    Column("id", Id, primary_key=True, comment="UUIDv7: it begins with the time"),
    Column("time_us", BigInteger, nullable=False),
    Column("name", Name, nullable=False, comment="who looked; empty: nobody was asked, or nothing was proven"),
    Column("proof", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Name, nullable=False),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("filter", Text, nullable=False, comment="the query, without secrets"),
    Column("status", Integer, nullable=False, comment="of the answer"),
    Column("count", BigInteger, nullable=False, comment="items that the answer shows"),
    Column("shown", BigInteger, nullable=False, comment="exchanges of which it shows texts or bodies"),
    Column("reason", Text, nullable=False, comment="why, as who looked said"),
    Column("exchanges", LargeBinary, nullable=False, comment="ids of those exchanges, as a JSON array; cut at a bound"),
)
Index("ix_looks_name", looks.c.name, looks.c.id)
Index("ix_looks_action", looks.c.action, looks.c.id)

looks_at = Table(
    "looks_at",
    metadata,
    Column("exchange", Id, primary_key=True, comment="whose texts or body were shown"),
    Column("look", Id, primary_key=True),
    sqlite_with_rowid=False,
)

looks_placed = Table(
    "looks_placed",
    metadata,
    Column(
        "position",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        comment="in the order in which they were committed; never used again",
    ),
    Column("look", Id, nullable=False),
    sqlite_autoincrement=True,
)
