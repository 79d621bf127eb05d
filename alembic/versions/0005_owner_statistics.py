"""Statistics of namespace and service together

A service is in one namespace. Without knowing that, Postgres expects a fraction of a service's rows, and reads all of them to sort them.
Days made later have these statistics from the parent (LIKE … INCLUDING ALL).

Revision: 0005, after 0004
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DAYS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'exchanges'::regclass ORDER BY 1"
_MADE = """
SELECT stxnamespace::regnamespace || '.' || quote_ident(stxname) FROM pg_statistic_ext
WHERE stxrelid = 'exchanges'::regclass OR stxrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'exchanges'::regclass)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ["exchanges", *op.get_bind().scalars(text(_DAYS)).all()]:
        op.execute(f"CREATE STATISTICS {table}_owner (dependencies) ON namespace, service FROM {table}")
        if table != "exchanges":
            op.execute(f"ANALYZE {table} (namespace, service)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in op.get_bind().scalars(text(_MADE)).all():
            op.execute(f"DROP STATISTICS {name}")
