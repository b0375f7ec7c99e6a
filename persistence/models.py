"""The SQL tables, and for each of them the one writer that may change it.

Rows that begin in Redis arrive only through the outbox, so ``persistence.store`` is their writer;
the catalog and the API keys begin here, so ``persistence.catalog`` is theirs. Nothing else may
write. Amounts are units of 10^-precision of their feature, as ``gateway.rows`` defines them, and
times are Unix milliseconds: both are BIGINT, never a float.

There are no foreign keys between the tables the outbox fills: an entry that went to the dead
letters must not take every later entry of its customer along.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, text

from persistence.base import Base, Field, column, conditional
from persistence.fleet_models import Cursor, DeadLetter, Incident, Installation, WriterProcess
from persistence.report_models import DailyDenials, DailyTotal, DailyUsage
from persistence.token_models import TokenEpoch, TokenFamily, TokenSigning
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
    "TokenEpoch",
    "TokenFamily",
    "TokenSigning",
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

    id: Field[int] = column(primary_key=True, autoincrement=False)
    revision: Field[int]
    clock_offset_ms: Field[int]


class ApiKey(Base):
    """A key, known by its SHA-256; ``prefix`` tells people which, and of what kind. No ``scopes``
    (parted by blanks) are all of them; ``expires_at`` is set when it is rotated. Writer:
    ``catalog``.
    """

    __tablename__ = "api_keys"

    id: Field[str] = column(primary_key=True)
    env: Field[str]
    name: Field[str]
    digest: Field[str] = column(unique=True)
    prefix: Field[str]
    created_at: Field[int]
    revoked_at: Field[int | None]
    scopes: Field[str] = column(server_default="")
    expires_at: Field[int | None]


class Feature(Base):
    """A feature; an amount divided by ``scale`` is what people mean. Writer: ``catalog``."""

    __tablename__ = "features"

    env: Field[str] = column(primary_key=True)
    id: Field[str] = column(primary_key=True)
    name: Field[str]
    type: Field[str]
    consumable: Field[bool]
    precision: Field[int]
    scale: Field[int]
    in_use: Field[bool]
    archived: Field[bool]
    event_names: Field[list[str]]
    document: Field[str]
    created_at: Field[int]


class Plan(Base):
    """A version of a plan; the highest is the one in force. Writer: ``catalog``."""

    __tablename__ = "plans"

    env: Field[str] = column(primary_key=True)
    id: Field[str] = column(primary_key=True)
    version: Field[int] = column(primary_key=True, autoincrement=False)
    plan_group: Field[str]
    add_on: Field[bool]
    auto_enable: Field[bool]
    archived: Field[bool]
    document: Field[str]
    created_at: Field[int]


class Customer(Base):
    """A customer, deleted ones included. Writer: ``store``.

    The ``id`` of one without an id is reserved (``gateway.ids``) until it gets one. Before that no
    table that names customers by it has a row of it: nobody can use anything for it.

    ``seq`` counts the changes SQL has seen, ``counter`` is the highest period and ``number_max``
    the highest entity number ever given: a customer that returns to Redis goes on from them.
    ``applied_ms`` is the time in the id of the newest stream entry that SQL has of it. The index is
    on its hour: PostgreSQL writes a row anew in every index when one of them changes.
    """

    __tablename__ = "customers"

    internal_id: Field[str] = column(primary_key=True)
    env: Field[str]
    id: Field[str]
    name: Field[str | None]
    email: Field[str | None]
    document: Field[str]
    created_at: Field[int]
    deleted_at: Field[int | None]
    seq: Field[int]
    counter: Field[int]
    number_max: Field[int]
    applied_ms: Field[int]
    applied_hour: Field[int] = column(server_default=text("0"))

    __table_args__ = (
        Index("ix_customers_applied", "applied_hour", "internal_id"),
        Index("ix_customers_id", "id", "env"),
        conditional(
            "uq_customers_live", "env", "id",
            unique=True, where=_LIVE,
        ),
        conditional(
            "ix_customers_newest", "env", "created_at", "internal_id",
            where=_LIVE,
        ),
    )  # fmt: skip


class Entity(Base):
    """An entity; an id given again after a delete is another row. Writer: ``store``."""

    __tablename__ = "entities"

    internal_id: Field[str] = column(primary_key=True)
    number: Field[int] = column(primary_key=True, autoincrement=False)
    env: Field[str]
    entity_id: Field[str]
    feature_id: Field[str]
    name: Field[str | None]
    document: Field[str]
    created_at: Field[int]
    deleted_at: Field[int | None]
    seq: Field[int]

    __table_args__ = (
        conditional(
            "ix_entities_live", "env", "entity_id", "internal_id",
            where=_LIVE,
        ),
        conditional(
            "ix_entities_newest", "env", "created_at", "internal_id", "number",
            where=_LIVE,
        ),
    )  # fmt: skip


class Subscription(Base):
    """A plan attached to a customer, or to an entity of it. Writer: ``store``.

    ``status`` and ``ended_at`` also know of the end of the owner, ``document`` does not. Ids are
    unique per customer only, since a caller may choose them. ``due_at`` is when something happens
    to it by itself, None for never.
    """

    __tablename__ = "subscriptions"

    internal_id: Field[str] = column(primary_key=True)
    id: Field[str] = column(primary_key=True)
    entity_id: Field[str]
    plan_id: Field[str]
    version: Field[int]
    status: Field[str]
    document: Field[str]
    started_at: Field[int]
    ended_at: Field[int | None]
    due_at: Field[int | None]
    seq: Field[int]

    __table_args__ = (
        Index("ix_subscriptions_owner", "internal_id", "entity_id"),
        Index("ix_subscriptions_plan", "plan_id", "status"),
        conditional("ix_subscriptions_due", "due_at", where=_DUE),
    )


class Balance(Base):
    """A balance row, ended ones included; ``line`` is its static text. Writer: ``store``; what a
    repair sets, ``mending``.

    Of a per-entity row ``granted`` is what each slot gets and ``used`` the sum over its slots.
    """

    __tablename__ = "balances"

    internal_id: Field[str] = column(primary_key=True)
    id: Field[str] = column(primary_key=True)
    entity_id: Field[str]
    feature_id: Field[str]
    kind: Field[str]
    plan_id: Field[str | None]
    subscription_id: Field[str | None]
    interval: Field[str | None]
    interval_count: Field[int]
    granted: Field[int]
    used: Field[int]
    unlimited: Field[bool]
    period: Field[int]
    due_ms: Field[int]
    expires_ms: Field[int]
    entity_feature: Field[str]
    line: Field[str]
    created_at: Field[int]
    ended_at: Field[int | None]
    seq: Field[int]

    __table_args__ = (
        conditional(
            "ix_balances_current", "internal_id", "entity_id",
            where=_CURRENT,
        ),
    )  # fmt: skip


class Slot(Base):
    """What one entity used of a per-entity row in ``period``. Writer: ``store``, ``mending``.

    A slot whose period is not its balance's is as good as new.
    """

    __tablename__ = "slots"

    internal_id: Field[str] = column(primary_key=True)
    entity_id: Field[str] = column(primary_key=True)
    balance_id: Field[str] = column(primary_key=True)
    feature_id: Field[str]
    period: Field[int]
    used: Field[int]
    seq: Field[int]


class UsageWindow(Base):
    """What a usage limit last counted, until ``ends_at``; past that it is 0. Writer: ``store``."""

    __tablename__ = "usage_windows"

    internal_id: Field[str] = column(primary_key=True)
    feature_id: Field[str] = column(primary_key=True)
    entity_id: Field[str] = column(primary_key=True)
    key: Field[str] = column(primary_key=True)
    ends_at: Field[int]
    used: Field[int]
    seq: Field[int]


class Lock(Base):
    """A lock with its receipt; an id used again is the same row. Writer: ``store``.

    ``units`` is what it holds while it is open, then what was used of it.
    """

    __tablename__ = "locks"

    internal_id: Field[str] = column(primary_key=True)
    lock_id: Field[str] = column(primary_key=True)
    feature_id: Field[str]
    entity_id: Field[str]
    state: Field[str]
    units: Field[int]
    receipt: Field[str]
    expires_at: Field[int]
    ended_at: Field[int | None]
    created_at: Field[int]
    seq: Field[int]

    __table_args__ = (
        conditional("ix_locks_open", "internal_id", where=_CURRENT),
        conditional("ix_locks_lock_id", "lock_id", where=_CURRENT),
    )


class Alert(Base):
    """Something a customer wants to be told of; ``body`` is JSON. Writer: ``store``.

    ``dispatched_at`` is when its webhooks were made, None for a new one; ``webhooks`` writes it.
    """

    __tablename__ = "alerts"

    id: Field[str] = column(primary_key=True)
    env: Field[str]
    internal_id: Field[str]
    customer_id: Field[str]
    feature_id: Field[str]
    entity_id: Field[str]
    kind: Field[str]
    body: Field[str]
    created_at: Field[int]
    dispatched_at: Field[int | None]

    __table_args__ = (
        Index("ix_alerts_newest", "env", "created_at", "id"),
        conditional(
            "ix_alerts_new", "created_at", "id", where=_NEW
        ),
    )  # fmt: skip


class Event(Base):
    """A usage event: ``value`` is what was asked for, ``applied`` what moved. Writer: ``store``."""

    __tablename__ = "events"

    id: Field[str] = column(primary_key=True)
    env: Field[str]
    internal_id: Field[str]
    customer_id: Field[str]
    entity_id: Field[str]
    feature_id: Field[str]
    event_name: Field[str]
    kind: Field[str]
    value: Field[int]
    applied: Field[int]
    properties: Field[str]
    timestamp_ms: Field[int]
    recorded_at_ms: Field[int]
    request_id: Field[str]
    seq: Field[int]

    __table_args__ = (
        Index("ix_events_newest", "env", "timestamp_ms", "id"),
        Index("ix_events_customer", "internal_id", "timestamp_ms", "id"),
    )


class Deduction(Base):
    """Every unit moved, with the number it left behind. Writer: ``store``.

    The deltas of a balance (or of one of its slots) in its current period add up to its ``used``.
    ``event_id`` is the event that moved it, or ``mov_`` and the entry where no event did. One key
    finds what is of a customer, and what is of an event whose customer is known.
    """

    __tablename__ = "deductions"

    event_id: Field[str]
    position: Field[int]
    internal_id: Field[str]
    balance_id: Field[str]
    entity_id: Field[str]
    feature_id: Field[str]
    period: Field[int]
    delta: Field[int]
    used: Field[int]
    total: Field[int]
    resets_at: Field[int | None]
    at_ms: Field[int]

    __table_args__ = (PrimaryKeyConstraint("internal_id", "event_id", "position"),)


class Reset(Base):
    """A balance row began ``period``, to end at ``due_ms``. Writer: ``store``."""

    __tablename__ = "resets"

    entry_id: Field[str] = column(primary_key=True)
    position: Field[int] = column(primary_key=True, autoincrement=False)
    internal_id: Field[str]
    balance_id: Field[str]
    entity_id: Field[str]
    feature_id: Field[str]
    period: Field[int]
    due_ms: Field[int]
    at_ms: Field[int]
