"""What was used, summed by the database: ``events.aggregate``.

An answer reads the events of its range through the index of their customer, or of all events of the
environment, and groups them: O(m log m) for the m events of the range, whatever else the table
holds. Of deductions it looks up those of these events, by their key. Only the sums leave the
database, never an event.

Sums are exact on both databases: SQLite refuses one that leaves 64 bits, and a few thousand events
of the largest amount would, so the high and the low part of each amount are summed apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from gateway.ports import (
    GROUP_NAME_MAX,
    NO_GROUP,
    OTHER_GROUPS,
    PROPERTY_PREFIX,
    DeductionCell,
    DrawCell,
    Usage,
    UsageCell,
    UsageQuery,
)
from persistence.database import read_transaction
from persistence.models import Balance, Deduction, Event, of_balance
from persistence.reads.event_filters import event_filters, of_event, property_text

_LOW = 2**20
"""Where amounts are split: the high part of 2^30 amounts of 2^53 units still fits 64 bits."""

_PARTS = ("high", "low", "events")
_USAGE = ("feature_id", "at_ms")
_DEDUCTION = (
    "at_ms", "feature_id", "balance_id", "source_id", "entity_id", "plan_id",
    "interval", "interval_count", "resets_at",
)  # fmt: skip


def sum_events(query: UsageQuery, engine: Engine) -> Usage:
    """Return the cells of a query, all from one snapshot."""
    where = event_filters(query, engine.dialect.name)
    group = _event_group(query.group, engine.dialect.name)
    with read_transaction(engine) as connection:
        cells = _cells(connection, _usage(query, where, group), query)
        usage = [UsageCell(*cell) for cell in cells]
        if not query.deducted:
            return Usage(usage, [], [])
        moved = _moved(query, where, group)
        cells = _cells(connection, _deductions(moved, query), query)
        deductions = [DeductionCell(*cell) for cell in cells]
        draws = connection.execute(_draws(moved).limit(query.cells_max + 1))
        return Usage(usage, deductions, [DrawCell(*row) for row in draws])


def _cells(
    connection: Connection, statement: Select[*tuple[Any, ...]], query: UsageQuery
) -> list[tuple[Any, ...]]:
    rows = connection.execute(statement.limit(query.cells_max + 1))
    return [(*cell, int(high) * _LOW + int(low), int(events)) for *cell, high, low, events in rows]


def _step(query: UsageQuery) -> ColumnElement[int]:
    return Event.timestamp_ms - Event.timestamp_ms % query.step_ms


def _event_group(group: str | None, dialect: str) -> ColumnElement[Any]:
    """Return what an event is grouped by."""
    if group is None:
        return literal("")
    if group.startswith(PROPERTY_PREFIX):
        return property_text(group.removeprefix(PROPERTY_PREFIX), dialect)
    if group == "$plan_id":
        # An event may draw on several plans; it counts under the one that gave its first unit.
        return (
            select(Balance.plan_id)
            .join(Deduction, of_balance(Deduction))
            .where(of_event())
            .order_by(Deduction.position)
            .limit(1)
            .scalar_subquery()
        )
    columns: dict[str, ColumnElement[Any]] = {
        "$customer_id": Event.customer_id.expression,
        "$entity_id": func.nullif(Event.entity_id, ""),
        "$feature_id": Event.feature_id.expression,
    }
    return columns[group]


def _name(group: ColumnElement[Any]) -> ColumnElement[str]:
    return func.coalesce(func.substr(group, 1, GROUP_NAME_MAX), NO_GROUP).label("group_name")


def _usage(
    query: UsageQuery, where: list[ColumnElement[bool]], group: ColumnElement[Any]
) -> Select[*tuple[Any, ...]]:
    used = (
        select(
            Event.feature_id,
            _step(query).label("at_ms"),
            Event.value.label("units"),
            _name(group),
        )
        .where(*where)
        .cte("used")
    )
    return _summed(used, _USAGE, "feature_id", func.count(), query)


def _moved(query: UsageQuery, where: list[ColumnElement[bool]], group: ColumnElement[Any]) -> CTE:
    if query.group == "$plan_id":  # of the balance that gave these units, not only the first ones
        group = Balance.plan_id.expression
    return (
        select(
            _step(query).label("at_ms"),
            Deduction.feature_id,
            Deduction.balance_id,
            Event.feature_id.label("source_id"),
            func.nullif(Balance.entity_id, "").label("entity_id"),
            Balance.plan_id,
            Balance.interval,
            func.coalesce(Balance.interval_count, 1).label("interval_count"),
            Deduction.resets_at,
            Event.id.label("event_id"),
            Deduction.delta.label("units"),
            _name(group),
        )
        .select_from(Event)
        .join(Deduction, of_event())
        .outerjoin(Balance, of_balance(Deduction))
        .where(*where)
        .cte("moved")
    )


def _deductions(moved: CTE, query: UsageQuery) -> Select[*tuple[Any, ...]]:
    events = func.count(moved.c.event_id.distinct())
    return _summed(moved, _DEDUCTION, "balance_id", events, query)


def _draws(moved: CTE) -> Select[*tuple[Any, ...]]:
    cell = (moved.c.at_ms, moved.c.feature_id)
    return select(*cell, func.count(moved.c.event_id.distinct())).group_by(*cell)


def _summed(
    rows: CTE, keys: Sequence[str], partition: str, events: ColumnElement[int], query: UsageQuery
) -> Select[*tuple[Any, ...]]:
    """Return keys, group, high and low part and number of events of each cell."""
    cell = [rows.c[key] for key in (*keys, "group_name")]
    sums = select(
        *cell,
        func.sum(rows.c.units // _LOW).label("high"),
        func.sum(rows.c.units % _LOW).label("low"),
        events.label("events"),
    ).group_by(*cell)
    if query.group is None:
        return sums
    return _folded(sums.cte("sums"), keys, partition, query.groups_max)


def _folded(
    sums: CTE, keys: Sequence[str], partition: str, groups_max: int
) -> Select[*tuple[Any, ...]]:
    """Keep the largest groups of each value of ``partition`` and make one group of the others.

    The largest over the whole range, so that a group is the same in all bins.
    """
    owner, group = sums.c[partition], sums.c.group_name
    # A rank needs no exact sum, only one that cannot leave its range.
    size = func.sum(cast(sums.c.high, Float) * _LOW + sums.c.low)
    rank = func.row_number().over(partition_by=owner, order_by=(size.desc(), group))
    ranked = (
        select(owner.label("owner"), group, rank.label("rank")).group_by(owner, group).cte("ranked")
    )
    name = case((ranked.c.rank <= groups_max, sums.c.group_name), else_=OTHER_GROUPS)
    named = (
        select(
            *(sums.c[key] for key in keys),
            name.label("group_name"),
            *(sums.c[part] for part in _PARTS),
        )
        .join(
            ranked,
            and_(ranked.c.owner == sums.c[partition], ranked.c.group_name == sums.c.group_name),
        )
        .cte("named")
    )
    cell = [named.c[key] for key in (*keys, "group_name")]
    return select(*cell, *(func.sum(named.c[part]) for part in _PARTS)).group_by(*cell)
