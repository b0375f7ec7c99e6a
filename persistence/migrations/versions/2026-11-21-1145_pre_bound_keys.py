"""What a key may do, and until when it works; keys of the release before have no bounds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "pre_bound_keys"
down_revision = "due_subscriptions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the release before may go on to write rows without them."""
    with op.batch_alter_table("api_keys") as change:
        change.add_column(sa.Column("scopes", sa.Text(), nullable=False, server_default=""))
        change.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("api_keys") as change:
        change.drop_column("expires_at")
        change.drop_column("scopes")
