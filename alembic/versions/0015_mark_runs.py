"""Runs of the index of marks: what the rows of many batches become, in one order (store/mark_runs.py)

Batches that are there become runs in the background, where the store is written.

Revision: 0015, after 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "mark_runs",
        sa.Column("run", sa.BigInteger(), autoincrement=False, comment="in the order in which they were committed"),
        sa.Column("span", sa.BigInteger(), nullable=False, comment="bucket >> mark_runs.SPAN_BITS, of all its exchanges"),
        sa.Column("low", ID, nullable=False, comment="the first of its exchanges' ids"),
        sa.Column("high", ID, nullable=False, comment="the last of them"),
        sa.Column("count", sa.Integer(), nullable=False, comment="of its exchanges"),
        sa.PrimaryKeyConstraint("run", name="pk_mark_runs"),
    )
    op.create_table(
        "mark_pairs",
        sa.Column("run", sa.BigInteger(), autoincrement=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, comment="of these pairs: hash << 16 | place"),
        sa.Column(
            "told", sa.LargeBinary(), nullable=False, comment="hashes of marks, 4 bytes each; then where who has each stands, 2 bytes each"
        ),
        sa.PrimaryKeyConstraint("run", "first", name="pk_mark_pairs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mark_ids",
        sa.Column("part", sa.BigInteger(), autoincrement=False, comment="run << 8 | number of the row in the run"),
        sa.Column("ids", sa.LargeBinary(), nullable=False, comment="of the exchanges, 16 bytes each"),
        sa.PrimaryKeyConstraint("part", name="pk_mark_ids"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marks_state",
        sa.Column("id", sa.Integer(), autoincrement=False, comment="1: there is one row, if there ever was a run"),
        sa.Column("run", sa.BigInteger(), nullable=False, comment="the last one's number; whoever changes runs holds this row"),
        sa.PrimaryKeyConstraint("id", name="pk_marks_state"),
    )


def downgrade() -> None:
    """Exchanges of runs have none any more: `meshscribe marks` gives them marks again."""
    within = "id >= (SELECT min(low) FROM mark_runs) AND id <= (SELECT max(high) FROM mark_runs)"
    op.execute(f"UPDATE exchanges SET marks = NULL WHERE {within}")
    for name in ("marks_state", "mark_ids", "mark_pairs", "mark_runs"):
        op.drop_table(name)
