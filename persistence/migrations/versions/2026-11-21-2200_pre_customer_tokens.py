"""What tokens of customers are signed with, whose were revoked, and how often each was rotated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "pre_customer_tokens"
down_revision = "cheap_updates"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "token_signing",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("revocations", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_token_signing"),
    )
    op.create_table(
        "token_epochs",
        sa.Column("env", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("env", "customer_id", name="pk_token_epochs"),
    )
    op.create_index("ix_token_epochs_number", "token_epochs", ["number"])
    op.create_table(
        "token_families",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_token_families"),
    )
    op.create_index("ix_token_families_expires", "token_families", ["expires_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("token_families")
    op.drop_table("token_epochs")
    op.drop_table("token_signing")
