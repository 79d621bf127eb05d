"""Indexes for the audit API's filters

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ODD = {"status": "status <> 200 OR status IS NULL", "method": "method <> 'POST'"}
FLAGS = {
    "not_complete": "completeness & 1 = 0",
    "access_log_missing": "completeness & 2 <> 0",
    "tap_missing": "completeness & 4 <> 0",
    "not_tapped": "completeness & 8 <> 0",
    "request_body_gap": "completeness & 16 <> 0",
    "response_body_gap": "completeness & 32 <> 0",
    "request_truncated": "completeness & 64 <> 0",
    "response_truncated": "completeness & 128 <> 0",
    "client_aborted": "completeness & 256 <> 0",
    "upstream_reset": "completeness & 512 <> 0",
    "unfinished": "completeness & 1024 <> 0",
    "headers_gap": "completeness & 2048 <> 0",
}
ON_A_SERVER = {
    "node": "node",
    "caller": "caller",
    "model": sa.text("substr(model, 1, 256)"),
    "path": sa.text("substr(path, 1, 256)"),
}


def upgrade() -> None:
    op.drop_index("ix_exchanges_service", "exchanges")
    for column in ("namespace", "service"):
        op.create_index(f"ix_exchanges_{column}", "exchanges", [column, "id"])
    for column, condition in ODD.items():
        where = sa.text(condition)
        op.create_index(f"ix_exchanges_odd_{column}", "exchanges", [column, "id"], sqlite_where=where, postgresql_where=where)
    for flag, condition in FLAGS.items():
        where = sa.text(condition)
        op.create_index(f"ix_exchanges_{flag}", "exchanges", ["id"], sqlite_where=where, postgresql_where=where)
    if op.get_bind().dialect.name == "postgresql":
        for name, key in ON_A_SERVER.items():
            op.create_index(f"ix_exchanges_{name}", "exchanges", [key, "id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ON_A_SERVER:
            op.drop_index(f"ix_exchanges_{name}", "exchanges")
    for flag in FLAGS:
        op.drop_index(f"ix_exchanges_{flag}", "exchanges")
    for column in ODD:
        op.drop_index(f"ix_exchanges_odd_{column}", "exchanges")
    for column in ("namespace", "service"):
        op.drop_index(f"ix_exchanges_{column}", "exchanges")
    op.create_index("ix_exchanges_service", "exchanges", ["namespace", "service", "id"])
