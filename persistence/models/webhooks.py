"""The tables of webhooks. Writer: ``persistence.webhooks``, of the alerts' ``dispatched_at`` too.

An endpoint takes its deliveries along when it goes. ``alert_id`` refers to nothing: alerts come
through the outbox.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, text

from persistence.models.base import Base, Field, column, conditional

_PENDING = text("state = 'pending'")


class WebhookEndpoint(Base):
    """A URL that is told of alerts; ``events`` empty is all. The secret signs, so it is readable:
    whoever reads this table can sign too.
    """

    __tablename__ = "webhook_endpoints"

    id: Field[str] = column(primary_key=True)
    env: Field[str]
    url: Field[str]
    secret: Field[str]
    events: Field[list[str]]
    created_at: Field[int]
    disabled_at: Field[int | None]


class WebhookDelivery(Base):
    """An alert on its way to an endpoint, one row for each pair; ``body`` is sent as it is.

    While a worker has claimed it, ``next_attempt_at`` is when its claim runs out.
    """

    __tablename__ = "webhook_deliveries"

    id: Field[str] = column(primary_key=True)
    endpoint_id: Field[str] = column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    alert_id: Field[str]
    event: Field[str]
    body: Field[str]
    state: Field[str]
    attempts: Field[int]
    next_attempt_at: Field[int]
    last_status: Field[int | None]
    last_error: Field[str | None]
    created_at: Field[int]
    updated_at: Field[int]

    __table_args__ = (
        Index("uq_webhook_deliveries_pair", "endpoint_id", "alert_id", unique=True),
        conditional(
            "ix_webhook_deliveries_due", "endpoint_id", "next_attempt_at", "id", where=_PENDING
        ),
        Index("ix_webhook_deliveries_newest", "created_at", "id"),
    )
