"""Rollups by day, denials, and the views admins read."""

from __future__ import annotations

revision = "reports"
down_revision = "leases_and_incidents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""


def downgrade() -> None:
    """Remove them."""
