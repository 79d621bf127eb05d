"""The SQL store's tables, as SQLAlchemy Core declares them; alembic/versions brings a database to this state.

Every row of `exchanges`, `payloads` and `ledger` is a CloudEvent: its attributes, the extensions that filters need, and its data. Times
are microseconds since the epoch (they compare exactly with the proxies' own). Event ids are UUIDv7 and begin with the request's
start, so ordering by `id` is ordering by time, and a time filter is a range of ids: the primary key is the only time index.

On Postgres these three tables are partitioned by ranges of `id`, a day each (store/partitions.py). Texts are compared byte by byte
(collation "C"): as SQLite does, as ranges of ids need it, and no upgrade of the server's locales can damage an index. Columns that
whoever calls a model can make as long as they like are indexed by their beginning or their hash: a row that fits no index page would
be refused.
"""

from __future__ import annotations

from typing import Any

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
    func,
    literal_column,
    text,
)

from collector.messages import ledger as names
from collector.messages.completeness import Completeness

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
)


def _only(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


Id = String(36).with_variant(String(36, collation="C"), "postgresql")
Name = Text().with_variant(Text(collation="C"), "postgresql")
BY_DAY = "RANGE (id)"

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Id, primary_key=True, comment="event id; revision 0: also the exchange's id"),
    Column("exchange", Id, nullable=False, comment="the exchange's id, the same in all its revisions"),
    Column("revision", SmallInteger, nullable=False),
    Column("superseded", Boolean, nullable=False, comment="a later revision of this exchange is stored"),
    Column("source", Name, nullable=False, comment="CloudEvents source: /proxy/<node id>"),
    Column("subject", Name, comment="CloudEvents subject: namespace/service, where known"),
    Column("time_us", BigInteger, nullable=False, comment="the request's start"),
    Column("duration_us", BigInteger),
    Column("namespace", Name, comment="of the service, else of the proxy"),
    Column("service", Name, comment="InferenceService name, where known; else the workload"),
    Column("node", Name, nullable=False, comment="node id of the proxy"),
    Column("request_id", Name),
    Column("method", Name),
    Column("path", Name),
    Column("status", SmallInteger),
    Column("caller", Name, comment="SPIFFE id of the caller, where known"),
    Column("model", Name, comment="the model that was asked"),
    Column("completeness", Integer, nullable=False, comment="bits of messages.exchange.Completeness"),
    Column("request_bytes", BigInteger),
    Column("response_bytes", BigInteger),
    Column("journal", Name, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
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

payloads = Table(
    "payloads",
    metadata,
    Column("id", Id, primary_key=True, comment="event id: describe.identity.event_id(exchange, direction, revision)"),
    Column("exchange", Id, nullable=False),
    Column("revision", SmallInteger, nullable=False),
    Column("type", Name, nullable=False, comment="CloudEvents type: KServe's request or response"),
    Column("source", Name, nullable=False),
    Column("subject", Name),
    Column("time_us", BigInteger, nullable=False, comment="request: its start; response: its end"),
    Column("content_type", Name, comment="as the message said, absent if it did not"),
    Column("content_encoding", Name, comment="of the message; the bytes are stored as they passed"),
    Column("size", BigInteger, comment="bytes that passed; the stored ones may be fewer"),
    Column("extensions", LargeBinary, nullable=False, comment="CloudEvents extensions as a JSON object"),
    Column("compression", String(4), comment="zstd, or absent: how `data` is stored"),
    Column("data", LargeBinary, nullable=False),
    postgresql_partition_by=BY_DAY,
)

_LEDGER = {  # in the order of messages.ledger_data.COLUMNS: what is counted, and what it means
    names.ANNOUNCED: "streams that the tap says ended",
    names.RECEIVED: "ends of streams received from the tap",
    names.MISSING: "ends in batches that were sent and had not arrived; `cured` of later windows takes back",
    names.BOTH: "exchanges closed with both witnesses",
    names.TAP_ONLY: None,
    names.ACCESS_LOG_ONLY: None,
    names.WITHOUT_TAP: "of access_log_only: those of which a tap was expected",
    names.WITHOUT_ACCESS_LOG: "of tap_only: those of which a log entry was expected",
    names.LATE: "pieces that came after their exchange was closed",
    names.ACCESS_LOG_ENTRIES: "access log entries received",
    names.DROPPED: "ends that the tap says it dropped before sending, all reasons",
    names.REFUSED: "access log entries that the collector refused, all reasons",
    names.MALFORMED: "messages that could not be read, and dead letters, all reasons",
    "cured": "what earlier windows counted as missing or without a witness, and came in this one",
}
_LATER = {*names.GAPS, names.ACCESS_LOG_ENTRIES, names.REFUSED, names.MALFORMED, "cured"}  # have a default: migration 0006


def _counted(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default="0" if name in _LATER else None, comment=_LEDGER[name])


ledger = Table(
    "ledger",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Name, nullable=False),
    Column("time_us", BigInteger, nullable=False, comment="the window's start, of received time"),
    Column("node", Name, nullable=False),
    Column("sender", Name, nullable=False, server_default=text("''"), comment="SPIFFE id of who sent; empty: not verified"),
    Column("namespace", Name),
    Column("workload", Name),
    Column("window_us", BigInteger, nullable=False, comment="the window's length"),
    *map(_counted, _LEDGER),
    Column("away_from_us", BigInteger, comment="set where it is no proxy's window: the collector took nothing from here"),
    Column("away_to_us", BigInteger, comment="to here"),
    Column("journal", Name, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="all counts, with the drops by reason, as JSON"),
    postgresql_partition_by=BY_DAY,
)
CURING = "cured > 0"
AWAY = "away_from_us IS NOT NULL"
Index("ix_ledger_place", ledger.c.journal, ledger.c.position, ledger.c.ordinal)
Index("ix_ledger_node", ledger.c.node, ledger.c.time_us)
Index("ix_ledger_time_us", ledger.c.time_us)
Index("ix_ledger_cured", ledger.c.time_us, **_only(CURING))
Index("ix_ledger_away", ledger.c.away_from_us, **_only(AWAY))

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
