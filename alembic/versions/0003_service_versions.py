"""Versions of services

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "service_versions",
        sa.Column("uid", NAME, nullable=False),
        sa.Column("resource_version", NAME, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False, comment="a tombstone: the service ended"),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False, comment="in force from"),
        sa.Column("saved_us", sa.BigInteger(), nullable=False, comment="last written: collectors that share the store read what is new"),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="annotations, labels, model, metadata_headers, logger_mode as JSON"),
        sa.PrimaryKeyConstraint("uid", "resource_version", "deleted", name=op.f("pk_service_versions")),
    )
    op.create_index("ix_service_versions_saved_us", "service_versions", ["saved_us"])
    op.create_index("ix_service_versions_name", "service_versions", ["namespace", "name"])


def downgrade() -> None:
    op.drop_table("service_versions")
