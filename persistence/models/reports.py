"""The tables that keep reports fast: sums by day, so that no report walks over events.

A sum is two integers, ``high * 10^9 + low``: of the largest amounts SQLite's 64 bits hold a
thousand, and a day may have more. Neither part is ever negative by itself but ``high``, and ``low``
may pass 10^9. Days are of UTC; a time after the year 9999 counts as its last day.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import Index

from persistence.models.base import Base, Field, UnitsPart, column

PART = 1_000_000_000
"""Where a sum is cut in two; a power of ten, so that SQL can put the digits together again."""


class DailyUsage(Base):
    """What the events of one day add up to, for each life of a customer, entity and feature.

    ``entity_id`` is empty for events that name none. Writer: ``store``, with the events.
    """

    __tablename__ = "usage_daily"

    customer_id: Field[str] = column(primary_key=True)
    env: Field[str] = column(primary_key=True)
    day: Field[date] = column(primary_key=True)
    feature_id: Field[str] = column(primary_key=True)
    entity_id: Field[str] = column(primary_key=True)
    internal_id: Field[str] = column(primary_key=True)
    events: Field[int]
    requested_high: Field[UnitsPart]
    requested_low: Field[UnitsPart]
    applied_high: Field[UnitsPart]
    applied_low: Field[UnitsPart]


class DailyTotal(Base):
    """``DailyUsage`` of all entities together. Writer: ``store``, with the events."""

    __tablename__ = "usage_daily_totals"

    customer_id: Field[str] = column(primary_key=True)
    env: Field[str] = column(primary_key=True)
    day: Field[date] = column(primary_key=True)
    feature_id: Field[str] = column(primary_key=True)
    internal_id: Field[str] = column(primary_key=True)
    events: Field[int]
    requested_high: Field[UnitsPart]
    requested_low: Field[UnitsPart]
    applied_high: Field[UnitsPart]
    applied_low: Field[UnitsPart]

    __table_args__ = (Index("ix_usage_daily_totals_day", "day", "feature_id", "env"),)


class DailyDenials(Base):
    """How often a day's ``operation`` (check or track) was answered with no. Writer: ``store``."""

    __tablename__ = "denials_daily"

    customer_id: Field[str] = column(primary_key=True)
    env: Field[str] = column(primary_key=True)
    day: Field[date] = column(primary_key=True)
    feature_id: Field[str] = column(primary_key=True)
    operation: Field[str] = column(primary_key=True)
    denied: Field[int]

    __table_args__ = (Index("ix_denials_daily_day", "day", "feature_id", "env"),)
