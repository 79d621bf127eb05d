"""Marks of exchanges, by which filters find them: a column, and an index of batches (store/postings.py); tokens and the first token's time

Rows that are there have no marks until `meshscribe marks` fills them in.

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ABSENT = sa.text("marks IS NULL")


def upgrade() -> None:
    op.add_column(
        "exchanges",
        sa.Column("tokens", sa.BigInteger(), nullable=True, comment="all tokens that are told: the total, else asked and answered"),
    )
    op.add_column(
        "exchanges",
        sa.Column("first_token_us", sa.BigInteger(), nullable=True, comment="from the request's start to the first event with content"),
    )
    op.add_column(
        "exchanges",
        sa.Column(
            "marks",
            NAME,
            nullable=True,
            comment="what filters ask for by equality (messages/marks.py); absent: an older version wrote the row",
        ),
    )
    op.create_index("ix_exchanges_unmarked", "exchanges", ["id"], sqlite_where=ABSENT, postgresql_where=ABSENT)
    op.create_table(
        "marks",
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, comment="of the exchanges' starts: milliseconds >> postings.BITS"),
        sa.Column("batch", sa.BigInteger(), autoincrement=False, comment="a hash of the ids that were written together"),
        sa.Column("hashes", sa.LargeBinary(), nullable=False, comment="of the marks of these exchanges, each once"),
        sa.Column("told", sa.LargeBinary(), nullable=False, comment="the exchanges with the hashes of their marks (postings.py)"),
        sa.PrimaryKeyConstraint("bucket", "batch", name="pk_marks"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("marks")
    op.drop_index("ix_exchanges_unmarked", "exchanges")
    for name in ("marks", "first_token_us", "tokens"):
        op.drop_column("exchanges", name)
