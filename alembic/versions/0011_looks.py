"""Who has looked at what

Revision: 0011, after 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "looks",
        sa.Column("id", ID, nullable=False, comment="UUIDv7: it begins with the time"),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("name", NAME, nullable=False, comment="who looked; empty: nobody was asked, or nothing was proven"),
        sa.Column("proof", sa.String(16), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", NAME, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False, comment="the query, without secrets"),
        sa.Column("status", sa.Integer(), nullable=False, comment="of the answer"),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="items that the answer shows"),
        sa.Column("shown", sa.BigInteger(), nullable=False, comment="exchanges of which it shows texts or bodies"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, as who looked said"),
        sa.Column("exchanges", sa.LargeBinary(), nullable=False, comment="ids of those exchanges, as a JSON array; cut at a bound"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_looks")),
    )
    op.create_index("ix_looks_name", "looks", ["name", "id"])
    op.create_index("ix_looks_action", "looks", ["action", "id"])
    op.create_table(
        "looks_at",
        sa.Column("exchange", ID, nullable=False, comment="whose texts or body were shown"),
        sa.Column("look", ID, nullable=False),
        sa.PrimaryKeyConstraint("exchange", "look", name=op.f("pk_looks_at")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("looks_at")
    op.drop_table("looks")
