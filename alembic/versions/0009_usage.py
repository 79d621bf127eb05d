"""Sums of usage by hour and day, what of an exchange they are made of, and an index of the ledger's windows that lost something.
Exchanges that are there already are counted later, in small batches: by `serve` beside its work, or by `meshscribe recount`

Revision: 0009, after 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

Name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
NEW = {
    "consumer": sa.Column("consumer", Name, comment="hash that names the consumer (docs/usage-event.md)"),
    "user": sa.Column("user", Name, comment="the human or agent behind the call, where known"),
    "protocol": sa.Column("protocol", Name, comment="inference protocol"),
    "annotations": sa.Column("annotations", Name, comment="the service's copied annotations as a JSON object"),
    "billable": sa.Column(
        "billable",
        sa.SmallInteger,
        comment="1: this hop of the call is billed; 0: it is not; absent: written by a version that did not say it",
    ),
    "usage": sa.Column(
        "usage", Name, comment="what it adds to the sums of usage (messages/usage_counts.py) as a JSON object, billed or not"
    ),
    "usage_key": sa.Column("usage_key", sa.BigInteger, comment="of usage_keys: where it is counted; absent: it is not"),
}
DIMENSIONS = ("namespace", "service", "model", "consumer", "user", "caller", "protocol", "annotations")
SUMS = (
    "calls", "revised", "late", "estimated", "unclassed", "units",
    "absent_withheld", "absent_unknown_protocol", "absent_capture_limit", "absent_aborted_before_usage", "absent_not_asked",
    "absent_not_told",
    "input_uncached", "input_cached", "input_audio", "input_image", "input_tool",
    "cache_write", "cache_write_5m", "cache_write_30m", "cache_write_1h", "cache_write_12h", "cache_write_24h",
    "output", "output_audio", "output_image", "reasoning",
)  # fmt: skip
ALL = "~"  # behind every id


def upgrade() -> None:
    for column in NEW.values():
        op.add_column("exchanges", column)
    op.create_table(
        "usage_keys",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="hash of the others, as they were told"),
        sa.Column("folded", sa.SmallInteger, nullable=False, comment="0: as told; 1: names that callers choose read `other`; 2: all do"),
        *(sa.Column(name, Name) for name in DIMENSIONS),
        sa.PrimaryKeyConstraint("id", name="pk_usage_keys"),
    )
    for table, unit in (("usage_hours", "hour"), ("usage_days", "day")):
        op.create_table(
            table,
            sa.Column(unit, sa.Integer, autoincrement=False, comment=f"{unit}s since 1970, of the request's start"),
            sa.Column("key", sa.BigInteger, autoincrement=False, comment="of usage_keys"),
            *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in SUMS),
            sa.PrimaryKeyConstraint(unit, "key", name=f"pk_{table}"),
            sqlite_with_rowid=False,
        )
    state = op.create_table(
        "usage_state",
        sa.Column("id", sa.Integer, autoincrement=False, comment="1: there is one row"),
        sa.Column(
            "ended", sa.BigInteger, nullable=False, comment="retention has deleted exchanges of days before this one (days since 1970)"
        ),
        sa.Column("uncounted", Id, comment="exchanges of older versions with ids before this one are not counted yet; absent: all are"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_state"),
    )
    lost = sa.text("missing > 0 OR dropped > 0 OR refused > 0 OR malformed > 0")
    op.create_index("ix_ledger_lost", "ledger", ["time_us"], sqlite_where=lost, postgresql_where=lost)
    some = op.get_bind().execute(sa.text("SELECT 1 FROM exchanges LIMIT 1")).first()
    op.bulk_insert(state, [{"id": 1, "ended": 0, "uncounted": ALL if some else None}])


def downgrade() -> None:
    op.drop_index("ix_ledger_lost", "ledger")
    for table in ("usage_state", "usage_days", "usage_hours", "usage_keys"):
        op.drop_table(table)
    for name in NEW:
        op.drop_column("exchanges", name)
