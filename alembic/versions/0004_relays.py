"""Places of relays, and dead letters

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "relays",
        sa.Column("relay", NAME, nullable=False, comment="the relay's name in the settings"),
        sa.Column("journal", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="the last output that the relay's target holds"),
        sa.PrimaryKeyConstraint("relay", "journal", name=op.f("pk_relays")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", ID, nullable=False),
        sa.Column("origin", NAME, nullable=False, comment="sink, or relay:NAME: who could not write it"),
        sa.Column("journal", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False, comment="when it was given up"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("content_type", NAME, nullable=False, comment="of data: a CloudEvents JSON batch, or bytes that nobody could read"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("columns", sa.LargeBinary(), nullable=True, comment="the events' columns in the SQL store, as a JSON array"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )


def downgrade() -> None:
    op.drop_table("dead_letters")
    op.drop_table("relays")
