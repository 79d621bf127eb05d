"""Looks have an order in which they were written, by which they are copied to Kafka

Looks that are stored already have none: they are not copied.

Revision: 0014, after 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "looks_placed",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="in the order in which they were committed; never used again",
        ),
        sa.Column("look", ID, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_looks_placed")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("looks_placed")
