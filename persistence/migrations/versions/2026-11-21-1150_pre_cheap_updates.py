"""What the writer changes again and again is changed in place.

PostgreSQL writes a row anew in all of its indexes when a column of one of them changes, or when
its page has no room for another version. So customers are found by the hour of their newest entry,
which seldom changes, instead of its time, and the tables of counters leave room in each page.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "cheap_updates"
down_revision = "pre_bound_keys"
branch_labels = None
depends_on = None

_HOUR_MS = 3_600_000
_COUNTERS = (
    "customers",
    "balances",
    "slots",
    "usage_windows",
    "usage_daily",
    "usage_daily_totals",
)


def upgrade() -> None:
    """Add the hour and its index, and make room."""
    hour = sa.Column("applied_hour", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    op.add_column("customers", hour)
    op.execute(sa.text(f"UPDATE customers SET applied_hour = applied_ms / {_HOUR_MS}"))  # noqa: S608
    op.drop_index("ix_customers_applied", table_name="customers")
    op.create_index("ix_customers_applied", "customers", ["applied_hour", "internal_id"])
    _fill("SET (fillfactor = 75)")


def downgrade() -> None:
    """Go back to the time itself."""
    _fill("RESET (fillfactor)")
    op.drop_index("ix_customers_applied", table_name="customers")
    op.create_index("ix_customers_applied", "customers", ["applied_ms"])
    op.drop_column("customers", "applied_hour")


def _fill(words: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _COUNTERS:
            op.execute(sa.text(f"ALTER TABLE {table} {words}"))
