"""An index of consumers: somebody may see the exchanges of a consumer alone, and then it is what all that he asks goes by

Revision: 0012, after 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KNOWN = sa.text("consumer IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_exchanges_consumer", "exchanges", ["consumer", "id"], sqlite_where=KNOWN, postgresql_where=KNOWN)


def downgrade() -> None:
    op.drop_index("ix_exchanges_consumer", "exchanges")
