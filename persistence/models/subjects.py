"""The tables of customers, of the entities under them and of the plans they hold. Writer:
``persistence.sync.store``.
"""

from __future__ import annotations

from sqlalchemy import Index, text

from persistence.models.base import Base, Field, UnitsText, column, conditional

_LIVE = text("deleted_at IS NULL")
_DUE = text("due_at IS NOT NULL")


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
    document: Field[UnitsText]
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
        conditional("uq_customers_live", "env", "id", unique=True, where=_LIVE),
        conditional("ix_customers_newest", "env", "created_at", "internal_id", where=_LIVE),
    )


class Entity(Base):
    """An entity; an id given again after a delete is another row. Writer: ``store``."""

    __tablename__ = "entities"

    internal_id: Field[str] = column(primary_key=True)
    number: Field[int] = column(primary_key=True, autoincrement=False)
    env: Field[str]
    entity_id: Field[str]
    feature_id: Field[str]
    name: Field[str | None]
    document: Field[UnitsText]
    created_at: Field[int]
    deleted_at: Field[int | None]
    seq: Field[int]

    __table_args__ = (
        conditional("ix_entities_live", "env", "entity_id", "internal_id", where=_LIVE),
        conditional(
            "ix_entities_newest", "env", "created_at", "internal_id", "number", where=_LIVE
        ),
    )


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
    document: Field[UnitsText]
    started_at: Field[int]
    ended_at: Field[int | None]
    due_at: Field[int | None]
    seq: Field[int]

    __table_args__ = (
        Index("ix_subscriptions_owner", "internal_id", "entity_id"),
        Index("ix_subscriptions_plan", "plan_id", "status"),
        conditional("ix_subscriptions_due", "due_at", where=_DUE),
    )
