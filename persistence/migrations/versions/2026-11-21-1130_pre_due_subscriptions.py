"""When something happens to a subscription by itself, and an index to find it by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "due_subscriptions"
down_revision = "reports"
branch_labels = None
depends_on = None

_DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    """Add the column; nothing was ever scheduled before, so it begins empty."""
    op.add_column("subscriptions", sa.Column("due_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_subscriptions_due",
        "subscriptions",
        ["due_at"],
        sqlite_where=_DUE,
        postgresql_where=_DUE,
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_index("ix_subscriptions_due", table_name="subscriptions")
    op.drop_column("subscriptions", "due_at")
