"""The statements that keep the sums by day, and the SQL of a day.

They run in the transaction that moves the cursor, so a batch counts once or not at all. Usage is
summed from the rows that are about to become events and are not there yet: whatever is carried
again, ``usage_daily`` is what a recount of ``events`` gives. Late events change the day they
happened on. Denials have no row of their own; the cursor alone keeps them from counting twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    Executable,
    FromClause,
    Table,
    exists,
    func,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from persistence.models import Base, DailyDenials, DailyTotal, DailyUsage, Event
from persistence.report_models import PART

Insert = Callable[[Table], "postgresql.Insert | sqlite.Insert"]

DAY_MS = 86_400_000
_LAST_MS = 253_402_300_799_999
"""The end of the year 9999; neither SQLite nor Python has a later day."""


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


def usage_merges(insert_into: Insert, source: FromClause) -> list[Executable]:
    """Return what adds the events of ``source`` that ``events`` has not got to the sums."""
    events = Event.__table__
    is_new = ~exists().where(events.c.id == source.c.id)
    return usage_sums(insert_into, source, is_new)


def usage_sums(
    insert_into: Insert, source: FromClause, where: ColumnElement[bool]
) -> list[Executable]:
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
        _add(insert_into, DailyUsage, by_entity, sums, where),
        _add(insert_into, DailyTotal, keys, sums, where),
    ]


def denial_merge(insert_into: Insert, stage: FromClause) -> Executable:
    """Return what adds the staged counts of denials."""
    names = ("customer_id", "env", "feature_id", "operation")
    keys: dict[str, ColumnElement[Any]] = {name: stage.c[name] for name in names}
    keys["day"] = day_of(stage.c.day_ms)
    return _add(insert_into, DailyDenials, keys, {"denied": func.sum(stage.c.denied)}, true())


def _add(
    insert_into: Insert,
    model: type[Base],
    keys: dict[str, ColumnElement[Any]],
    sums: dict[str, ColumnElement[Any]],
    where: ColumnElement[bool],
) -> Executable:
    target = Base.metadata.tables[model.__tablename__]
    names: Sequence[str] = [*keys, *sums]
    rows = select(*keys.values(), *sums.values()).where(where).group_by(*keys.values())
    into = insert_into(target).from_select(names, rows)
    added = {name: target.c[name] + into.excluded[name] for name in sums}
    key = [column.name for column in target.primary_key]
    return into.on_conflict_do_update(index_elements=key, set_=added)
