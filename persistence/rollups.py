"""The statements that keep the sums by day, and the SQL of a day.

They run in the transaction that moves the cursor, so a batch counts once or not at all. Events that
are all new are summed before they are sent (``sum_up``); where some may be there already, those are
left out first, and SQL sums the others (``usage_sums``). Whatever is carried again,
``usage_daily`` is what a recount of ``events`` gives. Late events change the day they happened on.
Denials have no row of their own; the cursor alone keeps them from counting twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache, partial
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Date,
    Executable,
    FromClause,
    Table,
    func,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from gateway.cycles import DAY_MS
from persistence.models import Base, DailyDenials, DailyTotal, DailyUsage, table_of
from persistence.models.reports import PART

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    from persistence.dialects import InsertInto

_LAST_MS = 253_402_300_799_999
"""The end of the year 9999; neither SQLite nor Python has a later day."""


_FIRST_DAY = date(1970, 1, 1).toordinal()


class day_of(GenericFunction[Any]):  # noqa: N801 - reads as the function it is in SQL
    """The day in UTC of Unix milliseconds that are not negative."""

    type = Date()
    inherit_cache = True


@compiles(day_of, "postgresql")
def _day_in_postgresql(element: day_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    at_ms = compiler.process(element.clauses, **options)
    return f"(DATE '1970-01-01' + (least({at_ms}, {_LAST_MS}) / {DAY_MS})::int)"


@compiles(day_of, "sqlite")
def _day_in_sqlite(element: day_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    at_ms = compiler.process(element.clauses, **options)
    return f"date(min({at_ms}, {_LAST_MS}) / 1000, 'unixepoch')"


class UsageRow(NamedTuple):
    """What the events of a batch add to a row of ``usage_daily``."""

    customer_id: str
    env: str
    day: str
    feature_id: str
    internal_id: str
    entity_id: str
    events: int
    requested_high: int
    requested_low: int
    applied_high: int
    applied_low: int


class TotalRow(NamedTuple):
    """What they add to a row of ``usage_daily_totals``."""

    customer_id: str
    env: str
    day: str
    feature_id: str
    internal_id: str
    events: int
    requested_high: int
    requested_low: int
    applied_high: int
    applied_low: int


_Sums = dict[tuple[str, ...], list[int]]

SUMMED: dict[Table, type[UsageRow | TotalRow]] = {
    table_of(DailyUsage): UsageRow,
    table_of(DailyTotal): TotalRow,
}
"""The tables of sums, and what ``sum_up`` returns for each of them."""


def sum_up(events: Iterable[Sequence[Any]]) -> tuple[list[UsageRow], list[TotalRow]]:
    """Return what events (``batch.EventRow``) add to the sums of their days. Pure."""
    by_entity: _Sums = {}
    totals: _Sums = {}
    for event in events:
        (
            _,
            env,
            internal_id,
            customer_id,
            entity_id,
            feature_id,
            _,
            _,
            value,
            applied,
            _,
            at_ms,
            *_,
        ) = event
        owner = (customer_id, env, _day(at_ms // DAY_MS), feature_id, internal_id)
        high, low = divmod(value, PART)
        applied_high, applied_low = divmod(applied, PART)
        sums = by_entity.get((*owner, entity_id))
        if sums is None:
            by_entity[*owner, entity_id] = [1, high, low, applied_high, applied_low]
        else:
            sums[0] += 1
            sums[1] += high
            sums[2] += low
            sums[3] += applied_high
            sums[4] += applied_low
    for key, sums in by_entity.items():
        known = totals.get(key[:5])
        totals[key[:5]] = sums if known is None else list(map(add, known, sums))
    usage = [UsageRow._make((*key, *sums)) for key, sums in by_entity.items()]
    return usage, [TotalRow._make((*key, *sums)) for key, sums in totals.items()]


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    """Return a day as both databases spell it, given how many passed since 1970."""
    return date.fromordinal(_FIRST_DAY + min(number, _LAST_MS // DAY_MS)).isoformat()


def adding(target: Table) -> Callable[[Any], Any]:
    """Return what makes an insert add to the sums that are there."""
    return partial(_on_conflict_add, target)


def usage_sums(insert_into: InsertInto, source: FromClause) -> list[Executable]:
    """Return what adds the events of ``source`` to the sums, for each table one statement."""
    columns = source.c
    sums: dict[str, ColumnElement[Any]] = {"events": func.count()}
    for name, units in (("requested", columns.value), ("applied", columns.applied)):
        low = (units % PART + PART) % PART
        sums |= {f"{name}_high": func.sum((units - low) // PART), f"{name}_low": func.sum(low)}
    keys: dict[str, ColumnElement[Any]] = {
        "customer_id": columns.customer_id,
        "env": columns.env,
        "day": day_of(columns.timestamp_ms),
        "feature_id": columns.feature_id,
        "internal_id": columns.internal_id,
    }
    by_entity = keys | {"entity_id": columns.entity_id}
    return [
        _add(insert_into, DailyUsage, by_entity, sums),
        _add(insert_into, DailyTotal, keys, sums),
    ]


def denial_merge(insert_into: InsertInto, stage: FromClause) -> Executable:
    """Return what adds the staged counts of denials."""
    names = ("customer_id", "env", "feature_id", "operation")
    keys: dict[str, ColumnElement[Any]] = {name: stage.c[name] for name in names}
    keys["day"] = day_of(stage.c.day_ms)
    return _add(insert_into, DailyDenials, keys, {"denied": func.sum(stage.c.denied)})


def _add(
    insert_into: InsertInto,
    model: type[Base],
    keys: dict[str, ColumnElement[Any]],
    sums: dict[str, ColumnElement[Any]],
) -> Executable:
    target = table_of(model)
    rows = select(*keys.values(), *sums.values()).where(true()).group_by(*keys.values())
    return _on_conflict_add(target, insert_into(target).from_select([*keys, *sums], rows))


def _on_conflict_add(target: Table, into: postgresql.Insert | sqlite.Insert) -> Executable:
    key = [column.name for column in target.primary_key]
    added = {one.name: one + into.excluded[one.name] for one in target.c if one.name not in key}
    return into.on_conflict_do_update(index_elements=key, set_=added)
