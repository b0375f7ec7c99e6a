"""The first tables: catalog, customers and what they hold, history, and the writer's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first_tables"
down_revision = None
branch_labels = None
depends_on = None

_LIVE = sa.text("deleted_at IS NULL")
_CURRENT = sa.text("ended_at IS NULL")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _identifier(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _switch(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _partial(name: str, table: str, columns: list[str], where: sa.TextClause, **more: bool) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where, **more)


def upgrade() -> None:
    """Create everything."""
    _create_catalog()
    _create_customers()
    _create_balances()
    _create_spending()
    _create_webhooks()
    _create_history()
    _create_writer_tables()


def _create_catalog() -> None:
    op.create_table(
        "catalog_revision",
        _identifier("id"),
        _number("revision"),
        _number("clock_offset_ms"),
        sa.PrimaryKeyConstraint("id", name="pk_catalog_revision"),
    )
    # Every catalog write raises this number, so the row has to be there before the first one.
    op.execute("INSERT INTO catalog_revision (id, revision, clock_offset_ms) VALUES (1, 0, 0)")
    op.create_table(
        "api_keys",
        _text("id"),
        _text("env"),
        _text("name"),
        _text("digest"),
        _text("prefix"),
        _number("created_at"),
        _number("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_table(
        "features",
        _text("env"),
        _text("id"),
        _text("name"),
        _text("type"),
        _switch("consumable"),
        _number("precision"),
        _number("scale"),
        _switch("in_use"),
        _switch("archived"),
        sa.Column("event_names", sa.JSON(), nullable=False),
        _text("document"),
        _number("created_at"),
        sa.PrimaryKeyConstraint("env", "id", name="pk_features"),
    )
    op.create_table(
        "plans",
        _text("env"),
        _text("id"),
        _identifier("version"),
        _text("plan_group"),
        _switch("add_on"),
        _switch("auto_enable"),
        _switch("archived"),
        _text("document"),
        _number("created_at"),
        sa.PrimaryKeyConstraint("env", "id", "version", name="pk_plans"),
    )


def _create_customers() -> None:
    op.create_table(
        "customers",
        _text("internal_id"),
        _text("env"),
        _text("id"),
        _text("name", nullable=True),
        _text("email", nullable=True),
        _text("document"),
        _number("created_at"),
        _number("deleted_at", nullable=True),
        _number("seq"),
        _number("counter"),
        _number("number_max"),
        sa.PrimaryKeyConstraint("internal_id", name="pk_customers"),
    )
    _partial("uq_customers_live", "customers", ["env", "id"], _LIVE, unique=True)
    _partial("ix_customers_newest", "customers", ["env", "created_at", "internal_id"], _LIVE)
    op.create_table(
        "entities",
        _text("internal_id"),
        _identifier("number"),
        _text("env"),
        _text("entity_id"),
        _text("feature_id"),
        _text("name", nullable=True),
        _text("document"),
        _number("created_at"),
        _number("deleted_at", nullable=True),
        _number("seq"),
        sa.PrimaryKeyConstraint("internal_id", "number", name="pk_entities"),
    )
    _partial("ix_entities_live", "entities", ["env", "entity_id", "internal_id"], _LIVE)
    newest = ["env", "created_at", "internal_id", "number"]
    _partial("ix_entities_newest", "entities", newest, _LIVE)
    op.create_table(
        "subscriptions",
        _text("internal_id"),
        _text("id"),
        _text("entity_id"),
        _text("plan_id"),
        _number("version"),
        _text("status"),
        _text("document"),
        _number("started_at"),
        _number("ended_at", nullable=True),
        _number("seq"),
        sa.PrimaryKeyConstraint("internal_id", "id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_owner", "subscriptions", ["internal_id", "entity_id"])
    op.create_index("ix_subscriptions_plan", "subscriptions", ["plan_id", "status"])


def _create_balances() -> None:
    op.create_table(
        "balances",
        _text("internal_id"),
        _text("id"),
        _text("entity_id"),
        _text("feature_id"),
        _text("kind"),
        _text("plan_id", nullable=True),
        _text("subscription_id", nullable=True),
        _text("interval", nullable=True),
        _number("interval_count"),
        _number("granted"),
        _number("used"),
        _switch("unlimited"),
        _number("period"),
        _number("due_ms"),
        _number("expires_ms"),
        _text("entity_feature"),
        _text("line"),
        _number("created_at"),
        _number("ended_at", nullable=True),
        _number("seq"),
        sa.PrimaryKeyConstraint("internal_id", "id", name="pk_balances"),
    )
    _partial("ix_balances_current", "balances", ["internal_id", "entity_id"], _CURRENT)
    op.create_table(
        "slots",
        _text("internal_id"),
        _text("entity_id"),
        _text("balance_id"),
        _text("feature_id"),
        _number("period"),
        _number("used"),
        _number("seq"),
        sa.PrimaryKeyConstraint("internal_id", "entity_id", "balance_id", name="pk_slots"),
    )


def _create_spending() -> None:
    op.create_table(
        "usage_windows",
        _text("internal_id"),
        _text("feature_id"),
        _text("entity_id"),
        _text("key"),
        _number("ends_at"),
        _number("used"),
        _number("seq"),
        sa.PrimaryKeyConstraint(
            "internal_id", "feature_id", "entity_id", "key", name="pk_usage_windows"
        ),
    )
    op.create_table(
        "locks",
        _text("internal_id"),
        _text("lock_id"),
        _text("feature_id"),
        _text("entity_id"),
        _text("state"),
        _number("units"),
        _text("receipt"),
        _number("expires_at"),
        _number("ended_at", nullable=True),
        _number("created_at"),
        _number("seq"),
        sa.PrimaryKeyConstraint("internal_id", "lock_id", name="pk_locks"),
    )
    _partial("ix_locks_open", "locks", ["internal_id"], _CURRENT)
    _partial("ix_locks_lock_id", "locks", ["lock_id"], _CURRENT)
    op.create_table(
        "alerts",
        _text("id"),
        _text("env"),
        _text("internal_id"),
        _text("customer_id"),
        _text("feature_id"),
        _text("entity_id"),
        _text("kind"),
        _text("body"),
        _number("created_at"),
        _number("dispatched_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_newest", "alerts", ["env", "created_at", "id"])
    _partial("ix_alerts_new", "alerts", ["created_at", "id"], sa.text("dispatched_at IS NULL"))


def _create_webhooks() -> None:
    op.create_table(
        "webhook_endpoints",
        _text("id"),
        _text("env"),
        _text("url"),
        _text("secret"),
        sa.Column("events", sa.JSON(), nullable=False),
        _number("created_at"),
        _number("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_table(
        "webhook_deliveries",
        _text("id"),
        _text("endpoint_id"),
        _text("alert_id"),
        _text("event"),
        _text("body"),
        _text("state"),
        _number("attempts"),
        _number("next_attempt_at"),
        _number("last_status", nullable=True),
        _text("last_error", nullable=True),
        _number("created_at"),
        _number("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name="fk_webhook_deliveries_endpoint_id_webhook_endpoints",
            ondelete="CASCADE",
        ),
    )
    deliveries = "webhook_deliveries"
    pair, due = ["endpoint_id", "alert_id"], ["endpoint_id", "next_attempt_at", "id"]
    op.create_index("uq_webhook_deliveries_pair", deliveries, pair, unique=True)
    _partial("ix_webhook_deliveries_due", deliveries, due, sa.text("state = 'pending'"))
    op.create_index("ix_webhook_deliveries_newest", deliveries, ["created_at", "id"])


def _create_history() -> None:
    op.create_table(
        "events",
        _text("id"),
        _text("env"),
        _text("internal_id"),
        _text("customer_id"),
        _text("entity_id"),
        _text("feature_id"),
        _text("event_name"),
        _text("kind"),
        _number("value"),
        _number("applied"),
        _text("properties"),
        _number("timestamp_ms"),
        _number("recorded_at_ms"),
        _text("request_id"),
        _number("seq"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_newest", "events", ["env", "timestamp_ms", "id"])
    op.create_index("ix_events_customer", "events", ["internal_id", "timestamp_ms", "id"])
    op.create_table(
        "deductions",
        _text("event_id"),
        _identifier("position"),
        _text("internal_id"),
        _text("balance_id"),
        _text("entity_id"),
        _text("feature_id"),
        _number("period"),
        _number("delta"),
        _number("used"),
        _number("total"),
        _number("resets_at", nullable=True),
        _number("at_ms"),
        sa.PrimaryKeyConstraint("internal_id", "event_id", "position", name="pk_deductions"),
    )
    op.create_table(
        "resets",
        _text("entry_id"),
        _identifier("position"),
        _text("internal_id"),
        _text("balance_id"),
        _text("entity_id"),
        _text("feature_id"),
        _number("period"),
        _number("due_ms"),
        _number("at_ms"),
        sa.PrimaryKeyConstraint("entry_id", "position", name="pk_resets"),
    )


def _create_writer_tables() -> None:
    op.create_table(
        "installation",
        _identifier("id"),
        _number("partitions"),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_table(
        "cursors",
        _identifier("partition"),
        _text("stream_id"),
        _number("updated_at_ms"),
        _number("applied"),
        sa.PrimaryKeyConstraint("partition", name="pk_cursors"),
    )
    op.create_table(
        "dead_letters",
        _identifier("partition"),
        _text("stream_id"),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        _text("error"),
        _number("at_ms"),
        sa.PrimaryKeyConstraint("partition", "stream_id", name="pk_dead_letters"),
    )


_TABLES = (
    "webhook_deliveries",
    "webhook_endpoints",
    "dead_letters",
    "cursors",
    "installation",
    "resets",
    "deductions",
    "events",
    "alerts",
    "locks",
    "usage_windows",
    "slots",
    "balances",
    "subscriptions",
    "entities",
    "customers",
    "plans",
    "features",
    "api_keys",
    "catalog_revision",
)


def downgrade() -> None:
    """Drop every table; an index goes with its table."""
    for table in _TABLES:
        op.drop_table(table)
