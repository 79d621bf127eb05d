"""The SQL store's tables, as SQLAlchemy Core declares them; alembic/versions brings a database to this state.

Every row of `exchanges`, `payloads` and `ledger` is a CloudEvent: its attributes, the extensions that filters need, and its data. Times
are microseconds since the epoch (they compare exactly with the proxies' own). Event ids are UUIDv7 and begin with the request's
start, so ordering by `id` is ordering by time, and a time filter is a range of ids: the primary key is the only time index.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, SmallInteger, String, Table, Text

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", String(36), primary_key=True, comment="event id; revision 0: also the exchange's id"),
    Column("exchange", String(36), nullable=False, comment="the exchange's id, the same in all its revisions"),
    Column("revision", SmallInteger, nullable=False),
    Column("superseded", Boolean, nullable=False, comment="a later revision of this exchange is stored"),
    Column("source", Text, nullable=False, comment="CloudEvents source: /proxy/<node id>"),
    Column("subject", Text, comment="CloudEvents subject: namespace/service, where known"),
    Column("time_us", BigInteger, nullable=False, comment="the request's start"),
    Column("duration_us", BigInteger),
    Column("namespace", Text, comment="of the service, else of the proxy"),
    Column("service", Text, comment="InferenceService name, where known; else the workload"),
    Column("node", Text, nullable=False, comment="node id of the proxy"),
    Column("request_id", Text),
    Column("method", Text),
    Column("path", Text),
    Column("status", SmallInteger),
    Column("caller", Text, comment="SPIFFE id of the caller, where known"),
    Column("model", Text, comment="the model that was asked"),
    Column("completeness", Integer, nullable=False, comment="bits of messages.exchange.Completeness"),
    Column("request_bytes", BigInteger),
    Column("response_bytes", BigInteger),
    Column("journal", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="the record as JSON"),
)
Index("ix_exchanges_place", exchanges.c.journal, exchanges.c.position, exchanges.c.ordinal)
Index("ix_exchanges_request_id", exchanges.c.request_id)
Index("ix_exchanges_service", exchanges.c.namespace, exchanges.c.service, exchanges.c.id)
Index("ix_exchanges_revised", exchanges.c.exchange, sqlite_where=exchanges.c.revision > 0, postgresql_where=exchanges.c.revision > 0)

payloads = Table(
    "payloads",
    metadata,
    Column("id", String(36), primary_key=True, comment="event id: describe.identity.event_id(exchange, direction, revision)"),
    Column("exchange", String(36), nullable=False),
    Column("revision", SmallInteger, nullable=False),
    Column("type", Text, nullable=False, comment="CloudEvents type: KServe's request or response"),
    Column("source", Text, nullable=False),
    Column("subject", Text),
    Column("time_us", BigInteger, nullable=False, comment="request: its start; response: its end"),
    Column("content_type", Text, comment="as the message said, absent if it did not"),
    Column("content_encoding", Text, comment="of the message; the bytes are stored as they passed"),
    Column("size", BigInteger, comment="bytes that passed; the stored ones may be fewer"),
    Column("extensions", LargeBinary, nullable=False, comment="CloudEvents extensions as a JSON object"),
    Column("compression", String(4), comment="zstd, or absent: how `data` is stored"),
    Column("data", LargeBinary, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("node", Text, nullable=False),
    Column("namespace", Text),
    Column("workload", Text),
    Column("source", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False, comment="the window's start, of received time"),
    Column("window_us", BigInteger, nullable=False, comment="the window's length"),
    Column("announced", BigInteger, nullable=False, comment="streams that the tap says ended"),
    Column("received", BigInteger, nullable=False, comment="ends of streams received from the tap"),
    Column("dropped", BigInteger, nullable=False, comment="ends that the tap says it dropped before sending, all reasons"),
    Column(
        "missing", BigInteger, nullable=False, comment="ends in batches that were sent and never arrived (less than 0: some came after all)"
    ),
    Column("both", BigInteger, nullable=False, comment="exchanges closed with both witnesses"),
    Column("tap_only", BigInteger, nullable=False),
    Column("access_log_only", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False, comment="pieces that came after their exchange was closed"),
    Column("journal", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="all counts, with the drops by reason, as JSON"),
)
Index("ix_ledger_place", ledger.c.journal, ledger.c.position, ledger.c.ordinal)
Index("ix_ledger_node", ledger.c.node, ledger.c.time_us)
Index("ix_ledger_time_us", ledger.c.time_us)

places = Table(
    "places",
    metadata,
    Column("journal", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False, comment="high: the last output that the store holds"),
)
