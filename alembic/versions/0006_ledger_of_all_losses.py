"""The ledger counts every kind of loss, and by whom

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNTS = {
    "without_tap": "of access_log_only: those of which a tap was expected",
    "without_access_log": "of tap_only: those of which a log entry was expected",
    "access_log_entries": "access log entries received",
    "refused": "access log entries that the collector refused, all reasons",
    "malformed": "messages that could not be read, and dead letters, all reasons",
    "cured": "what earlier windows counted as missing or without a witness, and came in this one",
}
AWAY = {"away_from_us": "set where it is no proxy's window: the collector took nothing from here", "away_to_us": "to here"}
INDEXES = {"cured": ("time_us", "cured > 0"), "away": ("away_from_us", "away_from_us IS NOT NULL")}


def upgrade() -> None:
    comment = "SPIFFE id of who sent; empty: not verified"
    op.add_column("ledger", sa.Column("sender", NAME, nullable=False, server_default=sa.text("''"), comment=comment))
    for name, comment in COUNTS.items():
        op.add_column("ledger", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment))
    for name, comment in AWAY.items():
        op.add_column("ledger", sa.Column(name, sa.BigInteger(), nullable=True, comment=comment))
    for name, (column, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(f"ix_ledger_{name}", "ledger", [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(f"ix_ledger_{name}", "ledger")
    for name in ("sender", *COUNTS, *AWAY):
        op.drop_column("ledger", name)
