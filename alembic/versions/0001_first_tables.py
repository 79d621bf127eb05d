"""First tables

Revision: 0001, after
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.String(length=36), nullable=False, comment="event id; revision 0: also the exchange's id"),
        sa.Column("exchange", sa.String(length=36), nullable=False, comment="the exchange's id, the same in all its revisions"),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False, comment="a later revision of this exchange is stored"),
        sa.Column("source", sa.Text(), nullable=False, comment="CloudEvents source: /proxy/<node id>"),
        sa.Column("subject", sa.Text(), nullable=True, comment="CloudEvents subject: namespace/service, where known"),
        sa.Column("time_us", sa.BigInteger(), nullable=False, comment="the request's start"),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("namespace", sa.Text(), nullable=True, comment="of the service, else of the proxy"),
        sa.Column("service", sa.Text(), nullable=True, comment="InferenceService name, where known; else the workload"),
        sa.Column("node", sa.Text(), nullable=False, comment="node id of the proxy"),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("caller", sa.Text(), nullable=True, comment="SPIFFE id of the caller, where known"),
        sa.Column("model", sa.Text(), nullable=True, comment="the model that was asked"),
        sa.Column("completeness", sa.Integer(), nullable=False, comment="bits of messages.exchange.Completeness"),
        sa.Column("request_bytes", sa.BigInteger(), nullable=True),
        sa.Column("response_bytes", sa.BigInteger(), nullable=True),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="the record as JSON"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchanges")),
    )
    with op.batch_alter_table("exchanges", schema=None) as batch_op:
        batch_op.create_index("ix_exchanges_place", ["journal", "position", "ordinal"], unique=False)
        batch_op.create_index("ix_exchanges_request_id", ["request_id"], unique=False)
        batch_op.create_index(
            "ix_exchanges_revised",
            ["exchange"],
            unique=False,
            sqlite_where=sa.text("revision > 0"),
            postgresql_where=sa.text("revision > 0"),
        )
        batch_op.create_index("ix_exchanges_service", ["namespace", "service", "id"], unique=False)

    op.create_table(
        "ledger",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("workload", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False, comment="the window's start, of received time"),
        sa.Column("window_us", sa.BigInteger(), nullable=False, comment="the window's length"),
        sa.Column("announced", sa.BigInteger(), nullable=False, comment="streams that the tap says ended"),
        sa.Column("received", sa.BigInteger(), nullable=False, comment="ends of streams received from the tap"),
        sa.Column("dropped", sa.BigInteger(), nullable=False, comment="ends that the tap says it dropped before sending, all reasons"),
        sa.Column(
            "missing",
            sa.BigInteger(),
            nullable=False,
            comment="ends in batches that were sent and never arrived (less than 0: some came after all)",
        ),
        sa.Column("both", sa.BigInteger(), nullable=False, comment="exchanges closed with both witnesses"),
        sa.Column("tap_only", sa.BigInteger(), nullable=False),
        sa.Column("access_log_only", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False, comment="pieces that came after their exchange was closed"),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="all counts, with the drops by reason, as JSON"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_node", ["node", "time_us"], unique=False)
        batch_op.create_index("ix_ledger_place", ["journal", "position", "ordinal"], unique=False)
        batch_op.create_index("ix_ledger_time_us", ["time_us"], unique=False)

    op.create_table(
        "payloads",
        sa.Column(
            "id", sa.String(length=36), nullable=False, comment="event id: describe.identity.event_id(exchange, direction, revision)"
        ),
        sa.Column("exchange", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="CloudEvents type: KServe's request or response"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False, comment="request: its start; response: its end"),
        sa.Column("content_type", sa.Text(), nullable=True, comment="as the message said, absent if it did not"),
        sa.Column("content_encoding", sa.Text(), nullable=True, comment="of the message; the bytes are stored as they passed"),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="bytes that passed; the stored ones may be fewer"),
        sa.Column("extensions", sa.LargeBinary(), nullable=False, comment="CloudEvents extensions as a JSON object"),
        sa.Column("compression", sa.String(length=4), nullable=True, comment="zstd, or absent: how `data` is stored"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payloads")),
    )
    op.create_table(
        "places",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="high: the last output that the store holds"),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_places")),
    )


def downgrade() -> None:
    op.drop_table("places")
    op.drop_table("payloads")
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.drop_index("ix_ledger_time_us")
        batch_op.drop_index("ix_ledger_place")
        batch_op.drop_index("ix_ledger_node")

    op.drop_table("ledger")
    with op.batch_alter_table("exchanges", schema=None) as batch_op:
        batch_op.drop_index("ix_exchanges_service")
        batch_op.drop_index("ix_exchanges_revised", sqlite_where=sa.text("revision > 0"), postgresql_where=sa.text("revision > 0"))
        batch_op.drop_index("ix_exchanges_request_id")
        batch_op.drop_index("ix_exchanges_place")

    op.drop_table("exchanges")
