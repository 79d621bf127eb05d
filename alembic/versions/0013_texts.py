"""The index of the words of what was asked and answered

Empty until `search.text` is on; what is stored before that is not in it.

Revision: 0013, after 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
NUMBERED = sa.text("number IS NOT NULL")
INDEX = (
    "CREATE VIRTUAL TABLE texts_index USING fts5("
    "words, content='texts', content_rowid='number', tokenize='ascii', detail=none, columnsize=0)",
    "CREATE TRIGGER texts_put AFTER INSERT ON texts BEGIN INSERT INTO texts_index (rowid, words) VALUES (new.number, new.words); END",
    "CREATE TRIGGER texts_gone AFTER DELETE ON texts BEGIN"
    " INSERT INTO texts_index (texts_index, rowid, words) VALUES ('delete', old.number, old.words); END",
)


def upgrade() -> None:
    op.create_table(
        "texts",
        sa.Column("id", ID, nullable=False, comment="event id of the exchange"),
        sa.Column(
            "number", sa.BigInteger(), comment="in SQLite: its row in texts_index; the start in milliseconds << 19, and what tells it apart"
        ),
        sa.Column("words", NAME, nullable=False, comment="a line for each text"),
        sa.Column("found", sa.Text().with_variant(TSVECTOR(), "postgresql"), comment="on Postgres: each word"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("ix_texts_number", "texts", ["number"], sqlite_where=NUMBERED, postgresql_where=NUMBERED)
    op.create_index("ix_texts_found", "texts", ["found"], postgresql_using="gin", sqlite_where=sa.text("found IS NOT NULL"))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE texts_default PARTITION OF texts DEFAULT")
    else:
        for statement in INDEX:
            op.execute(statement)
    op.create_table(
        "texts_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="1: there is one row, if there ever was an index"),
        sa.Column("since_us", sa.BigInteger(), nullable=False, comment="when the index of texts was begun"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts_state")),
    )


def downgrade() -> None:
    op.drop_table("texts_state")
    if op.get_bind().dialect.name != "postgresql":
        op.execute("DROP TABLE texts_index")
    op.drop_table("texts")
