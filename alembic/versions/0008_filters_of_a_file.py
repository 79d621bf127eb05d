"""Indexes for the filters by node, caller, model and path in SQLite too: a value that is rare or absent is found without a scan;
and no old window of the ledger counts less than nothing

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEYS = {
    "node": "node",
    "caller": "caller",
    "model": sa.text("substr(model, 1, 256)"),
    "path": sa.text("substr(path, 1, 256)"),
}

# Before 0006, what came late made a later window's `missing` less than nothing; now no number is. What came in time stays the same sum.
NO_LESS = "UPDATE ledger SET received = received + missing, missing = 0 WHERE missing < 0"


def upgrade() -> None:
    op.execute(NO_LESS)
    if op.get_bind().dialect.name == "sqlite":  # a server has them since 0002
        for name, key in KEYS.items():
            op.create_index(f"ix_exchanges_{name}", "exchanges", [key, "id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in KEYS:
            op.drop_index(f"ix_exchanges_{name}", "exchanges")
