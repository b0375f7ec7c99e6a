"""Leases of partitions, the identity of the installation, incidents, and when customers moved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "leases_and_incidents"
down_revision = "first_tables"
branch_labels = None
depends_on = None

_OPEN = sa.text("ended_at IS NULL")

_ADDED = {
    "installation": {"identity": sa.Text(), "run_id": sa.Text()},
    "cursors": {"owner": sa.Text(), "epoch": sa.BigInteger(), "seen_id": sa.Text()},
    "customers": {"applied_ms": sa.BigInteger()},
}
_OLD = {"seen_id": "0-0", "epoch": "0", "applied_ms": "0"}


def upgrade() -> None:
    """Add the columns, then the tables."""
    for table, columns in _ADDED.items():
        for name, kind in columns.items():
            default = sa.text(f"'{_OLD.get(name, '')}'")
            with op.batch_alter_table(table) as change:
                change.add_column(sa.Column(name, kind, nullable=False, server_default=default))
                change.alter_column(name, server_default=None)
    op.create_index("ix_customers_applied", "customers", ["applied_ms"])
    op.create_table(
        "writers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writers")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=True),
        sa.Column("from_id", sa.Text(), nullable=False),
        sa.Column("to_id", sa.Text(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=True),
        sa.Column("reseeded", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index("ix_incidents_newest", "incidents", ["at_ms", "id"])
    op.create_index(
        "ix_incidents_open", "incidents", ["at_ms"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("incidents")
    op.drop_table("writers")
    op.drop_index("ix_customers_applied", table_name="customers")
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as change:
            for name in columns:
                change.drop_column(name)
