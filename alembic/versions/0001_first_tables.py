"""First tables

Revision: 0001, after
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(length=36).with_variant(sa.String(length=36, collation="C"), "postgresql")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", ID, nullable=False, comment="event id; revision 0: also the exchange's id"),
        sa.Column("exchange", ID, nullable=False, comment="the exchange's id, the same in all its revisions"),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False, comment="a later revision of this exchange is stored"),
        sa.Column("source", NAME, nullable=False, comment="CloudEvents source: /proxy/<node id>"),
        sa.Column("subject", NAME, nullable=True, comment="CloudEvents subject: namespace/service, where known"),
        sa.Column("time_us", sa.BigInteger(), nullable=False, comment="the request's start"),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("namespace", NAME, nullable=True, comment="of the service, else of the proxy"),
        sa.Column("service", NAME, nullable=True, comment="InferenceService name, where known; else the workload"),
        sa.Column("node", NAME, nullable=False, comment="node id of the proxy"),
        sa.Column("request_id", NAME, nullable=True),
        sa.Column("method", NAME, nullable=True),
        sa.Column("path", NAME, nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("caller", NAME, nullable=True, comment="SPIFFE id of the caller, where known"),
        sa.Column("model", NAME, nullable=True, comment="the model that was asked"),
        sa.Column("completeness", sa.Integer(), nullable=False, comment="bits of messages.exchange.Completeness"),
        sa.Column("request_bytes", sa.BigInteger(), nullable=True),
        sa.Column("response_bytes", sa.BigInteger(), nullable=True),
        sa.Column("journal", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="the record as JSON"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchanges")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("ix_exchanges_place", "exchanges", ["journal", "position", "ordinal"], unique=False)
    op.create_index("ix_exchanges_request_id", "exchanges", ["request_id"], unique=False, postgresql_using="hash")
    op.create_index(
        "ix_exchanges_revised",
        "exchanges",
        ["exchange"],
        unique=False,
        sqlite_where=sa.text("revision > 0"),
        postgresql_where=sa.text("revision > 0"),
    )
    op.create_index("ix_exchanges_service", "exchanges", ["namespace", "service", "id"], unique=False)

    op.create_table(
        "ledger",
        sa.Column("id", ID, nullable=False),
        sa.Column("node", NAME, nullable=False),
        sa.Column("namespace", NAME, nullable=True),
        sa.Column("workload", NAME, nullable=True),
        sa.Column("source", NAME, nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False, comment="the window's start, of received time"),
        sa.Column("window_us", sa.BigInteger(), nullable=False, comment="the window's length"),
        sa.Column("announced", sa.BigInteger(), nullable=False, comment="streams that the tap says ended"),
        sa.Column("received", sa.BigInteger(), nullable=False, comment="ends of streams received from the tap"),
        sa.Column("dropped", sa.BigInteger(), nullable=False, comment="ends that the tap says it dropped before sending, all reasons"),
        sa.Column(
            "missing",
            sa.BigInteger(),
            nullable=False,
            comment="ends in batches that were sent and had not arrived; `cured` of later windows takes back",
        ),
        sa.Column("both", sa.BigInteger(), nullable=False, comment="exchanges closed with both witnesses"),
        sa.Column("tap_only", sa.BigInteger(), nullable=False),
        sa.Column("access_log_only", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False, comment="pieces that came after their exchange was closed"),
        sa.Column("journal", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="all counts, with the drops by reason, as JSON"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("ix_ledger_node", "ledger", ["node", "time_us"], unique=False)
    op.create_index("ix_ledger_place", "ledger", ["journal", "position", "ordinal"], unique=False)
    op.create_index("ix_ledger_time_us", "ledger", ["time_us"], unique=False)

    op.create_table(
        "payloads",
        sa.Column("id", ID, nullable=False, comment="event id: describe.identity.event_id(exchange, direction, revision)"),
        sa.Column("exchange", ID, nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("type", NAME, nullable=False, comment="CloudEvents type: KServe's request or response"),
        sa.Column("source", NAME, nullable=False),
        sa.Column("subject", NAME, nullable=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False, comment="request: its start; response: its end"),
        sa.Column("content_type", NAME, nullable=True, comment="as the message said, absent if it did not"),
        sa.Column("content_encoding", NAME, nullable=True, comment="of the message; the bytes are stored as they passed"),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="bytes that passed; the stored ones may be fewer"),
        sa.Column("extensions", sa.LargeBinary(), nullable=False, comment="CloudEvents extensions as a JSON object"),
        sa.Column("compression", sa.String(length=4), nullable=True, comment="zstd, or absent: how `data` is stored"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payloads")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_table(
        "places",
        sa.Column("journal", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="high: the last output that the store holds"),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_places")),
    )
    if op.get_bind().dialect.name == "postgresql":
        _partitions()


def _partitions() -> None:
    """What lies outside all days has a place, and bytes that are compressed already, or are read as they are, are not compressed again."""
    for table in ("exchanges", "payloads", "ledger"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN data SET STORAGE EXTERNAL")
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


def downgrade() -> None:
    for table in ("places", "payloads", "ledger", "exchanges"):
        op.drop_table(table)
