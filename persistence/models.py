"""The SQL tables, and for each of them the one writer that may change it.

Rows that begin in Redis arrive only through the outbox, so ``persistence.store`` is their writer;
the catalog and the API keys begin here, so ``persistence.catalog`` is theirs. Nothing else may
write. Amounts are units of 10^-precision of their feature, as ``gateway.rows`` defines them, and
times are Unix milliseconds: both are BIGINT, never a float.

There are no foreign keys between the tables the outbox fills: an entry that went to the dead
letters must not take every later entry of its customer along.
"""

from __future__ import annotations

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from persistence.base import Base
from persistence.fleet_models import Cursor, DeadLetter, Incident, Installation, WriterProcess
from persistence.report_models import DailyDenials, DailyTotal, DailyUsage
from persistence.webhook_models import WebhookDelivery, WebhookEndpoint

# What stands elsewhere: with it, this module knows every table.
__all__ = [
    "Base",
    "Cursor",
    "DailyDenials",
    "DailyTotal",
    "DailyUsage",
    "DeadLetter",
    "Incident",
    "Installation",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WriterProcess",
]

_LIVE = text("deleted_at IS NULL")
_CURRENT = text("ended_at IS NULL")
_NEW = text("dispatched_at IS NULL")
_DUE = text("due_at IS NOT NULL")


class CatalogRevision(Base):
    """One row whose number grows with every change of catalog, keys or clock. Writer: ``catalog``.

    ``clock_offset_ms`` is how far the sandbox's clock is ahead of the machine's.
    """

    __tablename__ = "catalog_revision"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
    clock_offset_ms: Mapped[int]


class ApiKey(Base):
    """A key, known by its SHA-256; ``prefix`` tells people which, and of what kind. No ``scopes``
    (parted by blanks) are all of them; ``expires_at`` is set when it is rotated. Writer:
    ``catalog``.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    env: Mapped[str]
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    prefix: Mapped[str]
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]
    scopes: Mapped[str] = mapped_column(server_default="")
    expires_at: Mapped[int | None]


class Feature(Base):
    """A feature; an amount divided by ``scale`` is what people mean. Writer: ``catalog``."""

    __tablename__ = "features"

    env: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    consumable: Mapped[bool]
    precision: Mapped[int]
    scale: Mapped[int]
    in_use: Mapped[bool]
    archived: Mapped[bool]
    event_names: Mapped[list[str]]
    document: Mapped[str]
    created_at: Mapped[int]


class Plan(Base):
    """A version of a plan; the highest is the one in force. Writer: ``catalog``."""

    __tablename__ = "plans"

    env: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    plan_group: Mapped[str]
    add_on: Mapped[bool]
    auto_enable: Mapped[bool]
    archived: Mapped[bool]
    document: Mapped[str]
    created_at: Mapped[int]


class Customer(Base):
    """A customer, deleted ones included. Writer: ``store``.

    ``seq`` counts the changes SQL has seen, ``counter`` is the highest period and ``number_max``
    the highest entity number ever given: a customer that returns to Redis goes on from them.
    ``applied_ms`` is the time in the id of the newest stream entry that SQL has of it. The index is
    on its hour: PostgreSQL writes a row anew in every index when one of them changes.
    """

    __tablename__ = "customers"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    env: Mapped[str]
    id: Mapped[str]
    name: Mapped[str | None]
    email: Mapped[str | None]
    document: Mapped[str]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
    seq: Mapped[int]
    counter: Mapped[int]
    number_max: Mapped[int]
    applied_ms: Mapped[int]
    applied_hour: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        Index("ix_customers_applied", "applied_hour", "internal_id"),
        Index("ix_customers_id", "id", "env"),
        Index(
            "uq_customers_live", "env", "id",
            unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE,
        ),
        Index(
            "ix_customers_newest", "env", "created_at", "internal_id",
            sqlite_where=_LIVE, postgresql_where=_LIVE,
        ),
    )  # fmt: skip


class Entity(Base):
    """An entity; an id given again after a delete is another row. Writer: ``store``."""

    __tablename__ = "entities"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    env: Mapped[str]
    entity_id: Mapped[str]
    feature_id: Mapped[str]
    name: Mapped[str | None]
    document: Mapped[str]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
    seq: Mapped[int]

    __table_args__ = (
        Index(
            "ix_entities_live", "env", "entity_id", "internal_id",
            sqlite_where=_LIVE, postgresql_where=_LIVE,
        ),
        Index(
            "ix_entities_newest", "env", "created_at", "internal_id", "number",
            sqlite_where=_LIVE, postgresql_where=_LIVE,
        ),
    )  # fmt: skip


class Subscription(Base):
    """A plan attached to a customer, or to an entity of it. Writer: ``store``.

    ``status`` and ``ended_at`` also know of the end of the owner, ``document`` does not. Ids are
    unique per customer only, since a caller may choose them. ``due_at`` is when something happens
    to it by itself, None for never.
    """

    __tablename__ = "subscriptions"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str]
    plan_id: Mapped[str]
    version: Mapped[int]
    status: Mapped[str]
    document: Mapped[str]
    started_at: Mapped[int]
    ended_at: Mapped[int | None]
    due_at: Mapped[int | None]
    seq: Mapped[int]

    __table_args__ = (
        Index("ix_subscriptions_owner", "internal_id", "entity_id"),
        Index("ix_subscriptions_plan", "plan_id", "status"),
        Index("ix_subscriptions_due", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
    )


class Balance(Base):
    """A balance row, ended ones included; ``line`` is its static text. Writer: ``store``; what a
    repair sets, ``mending``.

    Of a per-entity row ``granted`` is what each slot gets and ``used`` the sum over its slots.
    """

    __tablename__ = "balances"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str]
    feature_id: Mapped[str]
    kind: Mapped[str]
    plan_id: Mapped[str | None]
    subscription_id: Mapped[str | None]
    interval: Mapped[str | None]
    interval_count: Mapped[int]
    granted: Mapped[int]
    used: Mapped[int]
    unlimited: Mapped[bool]
    period: Mapped[int]
    due_ms: Mapped[int]
    expires_ms: Mapped[int]
    entity_feature: Mapped[str]
    line: Mapped[str]
    created_at: Mapped[int]
    ended_at: Mapped[int | None]
    seq: Mapped[int]

    __table_args__ = (
        Index(
            "ix_balances_current", "internal_id", "entity_id",
            sqlite_where=_CURRENT, postgresql_where=_CURRENT,
        ),
    )  # fmt: skip


class Slot(Base):
    """What one entity used of a per-entity row in ``period``. Writer: ``store``, ``mending``.

    A slot whose period is not its balance's is as good as new.
    """

    __tablename__ = "slots"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True)
    balance_id: Mapped[str] = mapped_column(primary_key=True)
    feature_id: Mapped[str]
    period: Mapped[int]
    used: Mapped[int]
    seq: Mapped[int]


class UsageWindow(Base):
    """What a usage limit last counted, until ``ends_at``; past that it is 0. Writer: ``store``."""

    __tablename__ = "usage_windows"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    feature_id: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    ends_at: Mapped[int]
    used: Mapped[int]
    seq: Mapped[int]


class Lock(Base):
    """A lock with its receipt; an id used again is the same row. Writer: ``store``.

    ``units`` is what it holds while it is open, then what was used of it.
    """

    __tablename__ = "locks"

    internal_id: Mapped[str] = mapped_column(primary_key=True)
    lock_id: Mapped[str] = mapped_column(primary_key=True)
    feature_id: Mapped[str]
    entity_id: Mapped[str]
    state: Mapped[str]
    units: Mapped[int]
    receipt: Mapped[str]
    expires_at: Mapped[int]
    ended_at: Mapped[int | None]
    created_at: Mapped[int]
    seq: Mapped[int]

    __table_args__ = (
        Index("ix_locks_open", "internal_id", sqlite_where=_CURRENT, postgresql_where=_CURRENT),
        Index("ix_locks_lock_id", "lock_id", sqlite_where=_CURRENT, postgresql_where=_CURRENT),
    )


class Alert(Base):
    """Something a customer wants to be told of; ``body`` is JSON. Writer: ``store``.

    ``dispatched_at`` is when its webhooks were made, None for a new one; ``webhooks`` writes it.
    """

    __tablename__ = "alerts"

    id: Mapped[str] = mapped_column(primary_key=True)
    env: Mapped[str]
    internal_id: Mapped[str]
    customer_id: Mapped[str]
    feature_id: Mapped[str]
    entity_id: Mapped[str]
    kind: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[int]
    dispatched_at: Mapped[int | None]

    __table_args__ = (
        Index("ix_alerts_newest", "env", "created_at", "id"),
        Index(
            "ix_alerts_new", "created_at", "id", sqlite_where=_NEW, postgresql_where=_NEW
        ),
    )  # fmt: skip


class Event(Base):
    """A usage event: ``value`` is what was asked for, ``applied`` what moved. Writer: ``store``."""

    __tablename__ = "events"

    id: Mapped[str] = mapped_column(primary_key=True)
    env: Mapped[str]
    internal_id: Mapped[str]
    customer_id: Mapped[str]
    entity_id: Mapped[str]
    feature_id: Mapped[str]
    event_name: Mapped[str]
    kind: Mapped[str]
    value: Mapped[int]
    applied: Mapped[int]
    properties: Mapped[str]
    timestamp_ms: Mapped[int]
    recorded_at_ms: Mapped[int]
    request_id: Mapped[str]
    seq: Mapped[int]

    __table_args__ = (
        Index("ix_events_newest", "env", "timestamp_ms", "id"),
        Index("ix_events_customer", "internal_id", "timestamp_ms", "id"),
    )


class Deduction(Base):
    """Every unit moved, with the number it left behind. Writer: ``store``.

    The deltas of a balance (or of one of its slots) in its current period add up to its ``used``.
    ``event_id`` is the event that moved it, or ``mov_`` and the entry where no event did.
    """

    __tablename__ = "deductions"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    internal_id: Mapped[str]
    balance_id: Mapped[str]
    entity_id: Mapped[str]
    feature_id: Mapped[str]
    period: Mapped[int]
    delta: Mapped[int]
    used: Mapped[int]
    total: Mapped[int]
    resets_at: Mapped[int | None]
    at_ms: Mapped[int]

    __table_args__ = (Index("ix_deductions_balance", "internal_id", "balance_id"),)


class Reset(Base):
    """A balance row began ``period``, to end at ``due_ms``. Writer: ``store``."""

    __tablename__ = "resets"

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    internal_id: Mapped[str]
    balance_id: Mapped[str]
    entity_id: Mapped[str]
    feature_id: Mapped[str]
    period: Mapped[int]
    due_ms: Mapped[int]
    at_ms: Mapped[int]
