"""The first tables: catalog, customers and what they hold, history, and the writer's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first_tables"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMA = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"})

_LIVE = sa.text("deleted_at IS NULL")
_CURRENT = sa.text("ended_at IS NULL")
_DUE = sa.text("due_at IS NOT NULL")
_NEW = sa.text("dispatched_at IS NULL")
_PENDING = sa.text("state = 'pending'")

# What is counted again and again is changed in place, where its page has room for another version.
_ROOM = {"fillfactor": 75}


# Compared byte by byte, as SQLite does, whatever the language of the database: cheaper, and in one
# order everywhere.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# In their order: of two that serve alike SQLite takes the one that was made last.
_INDEXES: list[sa.Index] = []


def _table(name: str, *items: sa.schema.SchemaItem, **options: object) -> None:
    sa.Table(name, _SCHEMA, *items, **options)
    _INDEXES.extend(item for item in items if isinstance(item, sa.Index))


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=nullable) for name in names]


def _numbers(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    kind = sa.BigInteger()
    return [sa.Column(name, kind, nullable=nullable, autoincrement=False) for name in names]


def _switches(*names: str) -> list[sa.Column[bool]]:
    return [sa.Column(name, sa.Boolean(), nullable=False) for name in names]


def _list(name: str) -> sa.Column[list[str]]:
    return sa.Column(name, sa.JSON(), nullable=False)


def _day() -> sa.Column[object]:
    return sa.Column("day", sa.Date(), nullable=False)


def _key(*columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns)


def _partial(name: str, *columns: str, where: sa.TextClause, unique: bool = False) -> sa.Index:
    return sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


# The catalog.
_table(
    "catalog_revision",
    *_numbers("id", "revision", "clock_offset_ms"),
    _key("id"),
)
_table(
    "api_keys",
    *_texts("id", "env", "name", "digest", "prefix"),
    *_numbers("created_at"),
    *_numbers("revoked_at", nullable=True),
    sa.Column("scopes", _TEXT, nullable=False, server_default=""),
    *_numbers("expires_at", nullable=True),
    _key("id"),
    sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
)
_table(
    "features",
    *_texts("env", "id", "name", "type"),
    *_switches("consumable"),
    *_numbers("precision", "scale"),
    *_switches("in_use", "archived"),
    _list("event_names"),
    *_texts("document"),
    *_numbers("created_at"),
    _key("env", "id"),
)
_table(
    "plans",
    *_texts("env", "id"),
    *_numbers("version"),
    *_texts("plan_group"),
    *_switches("add_on", "auto_enable", "archived"),
    *_texts("document"),
    *_numbers("created_at"),
    _key("env", "id", "version"),
)

# Customers, their entities and plans, and what their tokens are signed with.
_table(
    "customers",
    *_texts("internal_id", "env", "id"),
    *_texts("name", "email", nullable=True),
    *_texts("document"),
    *_numbers("created_at"),
    *_numbers("deleted_at", nullable=True),
    *_numbers("seq", "counter", "number_max", "applied_ms"),
    sa.Column("applied_hour", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    _key("internal_id"),
    _partial("uq_customers_live", "env", "id", where=_LIVE, unique=True),
    _partial("ix_customers_newest", "env", "created_at", "internal_id", where=_LIVE),
    sa.Index("ix_customers_applied", "applied_hour", "internal_id"),
    sa.Index("ix_customers_id", "id", "env"),
    postgresql_with=_ROOM,
)
_table(
    "entities",
    *_texts("internal_id"),
    *_numbers("number"),
    *_texts("env", "entity_id", "feature_id"),
    *_texts("name", nullable=True),
    *_texts("document"),
    *_numbers("created_at"),
    *_numbers("deleted_at", nullable=True),
    *_numbers("seq"),
    _key("internal_id", "number"),
    _partial("ix_entities_live", "env", "entity_id", "internal_id", where=_LIVE),
    _partial("ix_entities_newest", "env", "created_at", "internal_id", "number", where=_LIVE),
)
_table(
    "subscriptions",
    *_texts("internal_id", "id", "entity_id", "plan_id"),
    *_numbers("version"),
    *_texts("status", "document"),
    *_numbers("started_at"),
    *_numbers("ended_at", nullable=True),
    *_numbers("seq"),
    *_numbers("due_at", nullable=True),
    _key("internal_id", "id"),
    sa.Index("ix_subscriptions_owner", "internal_id", "entity_id"),
    sa.Index("ix_subscriptions_plan", "plan_id", "status"),
    _partial("ix_subscriptions_due", "due_at", where=_DUE),
)
_table(
    "token_signing",
    *_numbers("id"),
    *_texts("secret"),
    *_numbers("revocations"),
    _key("id"),
)
_table(
    "token_epochs",
    *_texts("env", "customer_id"),
    *_numbers("epoch", "number"),
    _key("env", "customer_id"),
    sa.Index("ix_token_epochs_number", "number"),
)
_table(
    "token_families",
    *_texts("id"),
    *_numbers("generation", "expires_at"),
    _key("id"),
    sa.Index("ix_token_families_expires", "expires_at"),
)

# Balances, and what is held and counted beside them.
_table(
    "balances",
    *_texts("internal_id", "id", "entity_id", "feature_id", "kind"),
    *_texts("plan_id", "subscription_id", "interval", nullable=True),
    *_numbers("interval_count", "granted", "used"),
    *_switches("unlimited"),
    *_numbers("period", "due_ms", "expires_ms"),
    *_texts("entity_feature", "line"),
    *_numbers("created_at"),
    *_numbers("ended_at", nullable=True),
    *_numbers("seq"),
    _key("internal_id", "id"),
    _partial("ix_balances_current", "internal_id", "entity_id", where=_CURRENT),
    postgresql_with=_ROOM,
)
_table(
    "slots",
    *_texts("internal_id", "entity_id", "balance_id", "feature_id"),
    *_numbers("period", "used", "seq"),
    _key("internal_id", "entity_id", "balance_id"),
    postgresql_with=_ROOM,
)
_table(
    "usage_windows",
    *_texts("internal_id", "feature_id", "entity_id", "key"),
    *_numbers("ends_at", "used", "seq"),
    _key("internal_id", "feature_id", "entity_id", "key"),
    postgresql_with=_ROOM,
)
_table(
    "locks",
    *_texts("internal_id", "lock_id", "feature_id", "entity_id", "state"),
    *_numbers("units"),
    *_texts("receipt"),
    *_numbers("expires_at"),
    *_numbers("ended_at", nullable=True),
    *_numbers("created_at", "seq"),
    _key("internal_id", "lock_id"),
    _partial("ix_locks_open", "internal_id", where=_CURRENT),
    _partial("ix_locks_lock_id", "lock_id", where=_CURRENT),
)

# Alerts and the webhooks that tell of them.
_table(
    "alerts",
    *_texts("id", "env", "internal_id", "customer_id", "feature_id", "entity_id", "kind", "body"),
    *_numbers("created_at"),
    *_numbers("dispatched_at", nullable=True),
    _key("id"),
    sa.Index("ix_alerts_newest", "env", "created_at", "id"),
    _partial("ix_alerts_new", "created_at", "id", where=_NEW),
)
_table(
    "webhook_endpoints",
    *_texts("id", "env", "url", "secret"),
    _list("events"),
    *_numbers("created_at"),
    *_numbers("disabled_at", nullable=True),
    _key("id"),
)
_table(
    "webhook_deliveries",
    *_texts("id", "endpoint_id", "alert_id", "event", "body", "state"),
    *_numbers("attempts", "next_attempt_at"),
    *_numbers("last_status", nullable=True),
    *_texts("last_error", nullable=True),
    *_numbers("created_at", "updated_at"),
    _key("id"),
    sa.ForeignKeyConstraint(
        ["endpoint_id"],
        ["webhook_endpoints.id"],
        name="fk_webhook_deliveries_endpoint_id_webhook_endpoints",
        ondelete="CASCADE",
    ),
    sa.Index("uq_webhook_deliveries_pair", "endpoint_id", "alert_id", unique=True),
    _partial("ix_webhook_deliveries_due", "endpoint_id", "next_attempt_at", "id", where=_PENDING),
    sa.Index("ix_webhook_deliveries_newest", "created_at", "id"),
)

# History, and its sums by day.
_table(
    "events",
    *_texts("id", "env", "internal_id", "customer_id", "entity_id", "feature_id", "event_name"),
    *_texts("kind"),
    *_numbers("value", "applied"),
    *_texts("properties"),
    *_numbers("timestamp_ms", "recorded_at_ms"),
    *_texts("request_id"),
    *_numbers("seq"),
    _key("internal_id", "timestamp_ms", "id"),
    sa.Index("ix_events_newest", "env", "timestamp_ms"),
)
_table(
    "deductions",
    *_texts("event_id"),
    *_numbers("position"),
    *_texts("internal_id", "balance_id", "entity_id", "feature_id"),
    *_numbers("period", "delta", "used", "total"),
    *_numbers("resets_at", nullable=True),
    *_numbers("at_ms"),
    _key("internal_id", "event_id", "position"),
)
_table(
    "resets",
    *_texts("entry_id"),
    *_numbers("position"),
    *_texts("internal_id", "balance_id", "entity_id", "feature_id"),
    *_numbers("period", "due_ms", "at_ms"),
    _key("entry_id", "position"),
)
_table(
    "usage_daily",
    *_texts("customer_id", "env"),
    _day(),
    *_texts("feature_id", "entity_id", "internal_id"),
    *_numbers("events", "requested_high", "requested_low", "applied_high", "applied_low"),
    _key("customer_id", "env", "day", "feature_id", "entity_id", "internal_id"),
    postgresql_with=_ROOM,
)
_table(
    "usage_daily_totals",
    *_texts("customer_id", "env"),
    _day(),
    *_texts("feature_id", "internal_id"),
    *_numbers("events", "requested_high", "requested_low", "applied_high", "applied_low"),
    _key("customer_id", "env", "day", "feature_id", "internal_id"),
    sa.Index("ix_usage_daily_totals_day", "day", "feature_id", "env"),
    postgresql_with=_ROOM,
)
_table(
    "denials_daily",
    *_texts("customer_id", "env"),
    _day(),
    *_texts("feature_id", "operation"),
    *_numbers("denied"),
    _key("customer_id", "env", "day", "feature_id", "operation"),
    sa.Index("ix_denials_daily_day", "day", "feature_id", "env"),
)

# The processes themselves: who writes which partition, and when Redis was not what SQL knows.
_table(
    "installation",
    *_numbers("id", "partitions"),
    *_texts("identity", "run_id"),
    _key("id"),
)
_table(
    "cursors",
    *_numbers("partition"),
    *_texts("stream_id"),
    *_numbers("updated_at_ms", "applied"),
    *_texts("owner"),
    *_numbers("epoch"),
    *_texts("seen_id"),
    _key("partition"),
)
_table(
    "writers",
    *_texts("id"),
    *_numbers("beat", "started_at"),
    _key("id"),
)
_table(
    "incidents",
    *_texts("id", "kind"),
    *_numbers("partition", nullable=True),
    *_texts("from_id", "to_id"),
    *_numbers("lost", nullable=True),
    *_numbers("reseeded"),
    *_texts("run_id", "detail"),
    *_numbers("at_ms"),
    *_numbers("ended_at", nullable=True),
    _key("id"),
    sa.Index("ix_incidents_newest", "at_ms", "id"),
    _partial("ix_incidents_open", "at_ms", where=_CURRENT),
)
_table(
    "dead_letters",
    *_numbers("partition"),
    *_texts("stream_id"),
    sa.Column("payload", sa.LargeBinary(), nullable=False),
    *_texts("error"),
    *_numbers("at_ms"),
    _key("partition", "stream_id"),
)


def upgrade() -> None:
    """Create everything."""
    bind = op.get_bind()
    for table in _SCHEMA.sorted_tables:
        bind.execute(sa.schema.CreateTable(table))
    for index in _INDEXES:
        index.create(bind)
    # Every catalog write raises this number, so the row has to be there before the first one.
    op.execute("INSERT INTO catalog_revision (id, revision, clock_offset_ms) VALUES (1, 0, 0)")


def downgrade() -> None:
    """Drop every table; an index goes with its table."""
    _SCHEMA.drop_all(op.get_bind(), checkfirst=False)
