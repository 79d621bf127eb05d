"""Indexes for the audit API's filters

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ODD = {
    "status": "status <> 200 OR status IS NULL",
    "method": "method <> 'POST'",
    "completeness": "completeness <> 1",
}
ON_A_SERVER = {
    "node": "node",
    "caller": "caller",
    "model": sa.text("substr(model, 1, 256)"),
    "path": sa.text("substr(path, 1, 256)"),
}


def upgrade() -> None:
    for column, condition in ODD.items():
        where = sa.text(condition)
        op.create_index(f"ix_exchanges_odd_{column}", "exchanges", [column, "id"], sqlite_where=where, postgresql_where=where)
    if op.get_bind().dialect.name == "postgresql":
        for name, key in ON_A_SERVER.items():
            op.create_index(f"ix_exchanges_{name}", "exchanges", [key, "id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ON_A_SERVER:
            op.drop_index(f"ix_exchanges_{name}", "exchanges")
    for column in ODD:
        op.drop_index(f"ix_exchanges_odd_{column}", "exchanges")
