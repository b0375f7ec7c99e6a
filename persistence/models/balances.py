"""The tables of balances and of what is held and counted beside them. Writer:
``persistence.sync.store``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, text

from persistence.models.base import Base, Field, Units, UnitsText, column, conditional

_CURRENT = text("ended_at IS NULL")


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
    granted: Field[Units]
    used: Field[Units]
    unlimited: Field[bool]
    period: Field[int]
    due_ms: Field[int]
    expires_ms: Field[int]
    entity_feature: Field[str]
    line: Field[UnitsText]
    created_at: Field[int]
    ended_at: Field[int | None]
    seq: Field[int]

    __table_args__ = (
        conditional("ix_balances_current", "internal_id", "entity_id", where=_CURRENT),
    )


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
    used: Field[Units]
    seq: Field[int]


class UsageWindow(Base):
    """What a usage limit last counted, until ``ends_at``; past that it is 0. Writer: ``store``."""

    __tablename__ = "usage_windows"

    internal_id: Field[str] = column(primary_key=True)
    feature_id: Field[str] = column(primary_key=True)
    entity_id: Field[str] = column(primary_key=True)
    key: Field[str] = column(primary_key=True)
    ends_at: Field[int]
    used: Field[Units]
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
    units: Field[Units]
    receipt: Field[UnitsText]
    expires_at: Field[int]
    ended_at: Field[int | None]
    created_at: Field[int]
    seq: Field[int]

    __table_args__ = (
        conditional("ix_locks_open", "internal_id", where=_CURRENT),
        conditional("ix_locks_lock_id", "lock_id", where=_CURRENT),
    )


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


def of_balance(row: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a table, or columns by name
    """Return what joins ``Balance`` to rows that name one."""
    return and_(Balance.internal_id == row.internal_id, Balance.id == row.balance_id)
