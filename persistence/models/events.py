"""The tables of what was tracked, of what each event took from which balance, and of the alerts it
raised. Writer: ``persistence.sync.store``.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, text

from persistence.models.base import Base, Field, Units, UnitsText, column, conditional

_NEW = text("dispatched_at IS NULL")


class Event(Base):
    """A usage event: ``value`` is what was asked for, ``applied`` what moved. Writer: ``store``.

    An entry that comes again has the same three parts of the key. They are in the order in which a
    customer's events are read, for each index of this table is a fifth of what an event costs.
    """

    __tablename__ = "events"

    id: Field[str]
    env: Field[str]
    internal_id: Field[str]
    customer_id: Field[str]
    entity_id: Field[str]
    feature_id: Field[str]
    event_name: Field[str]
    kind: Field[str]
    value: Field[Units]
    applied: Field[Units]
    properties: Field[str]
    timestamp_ms: Field[int]
    recorded_at_ms: Field[int]
    request_id: Field[str]
    seq: Field[int]

    __table_args__ = (
        PrimaryKeyConstraint("internal_id", "timestamp_ms", "id"),
        Index("ix_events_newest", "env", "timestamp_ms"),
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
    delta: Field[Units]
    used: Field[Units]
    total: Field[Units]
    resets_at: Field[int | None]
    at_ms: Field[int]

    __table_args__ = (PrimaryKeyConstraint("internal_id", "event_id", "position"),)


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
    body: Field[UnitsText]
    created_at: Field[int]
    dispatched_at: Field[int | None]

    __table_args__ = (
        Index("ix_alerts_newest", "env", "created_at", "id"),
        conditional("ix_alerts_new", "created_at", "id", where=_NEW),
    )
