"""A record's checksum, so that damage is noticed where it still reads as JSON

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("exchanges", sa.Column("crc", sa.BigInteger(), nullable=True, comment="CRC-32 of data"))


def downgrade() -> None:
    op.drop_column("exchanges", "crc")
