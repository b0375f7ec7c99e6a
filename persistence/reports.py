"""What the views ``report_*`` hold, and how a report is read from them.

The views are made by the migrations, where their SQL is; ``tallygate report`` and anybody's own SQL
read the same rows. A report reads one snapshot of what the writer has carried to SQL. None of them
reads ``events``: what is summed by day was summed when it came (``persistence.rollups``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Engine,
    Select,
    Text,
    bindparam,
    column,
    desc,
    func,
    select,
    table,
    text,
)

from persistence.database import read_transaction
from persistence.models import DailyTotal, Feature, table_of
from persistence.models.reports import PART

TOP_DAYS = 30
"""Days of ``report_top_consumers``, today included."""

ROWS_MAX = 100_000
"""Rows one report reads; they are held in memory."""


# The default of PostgreSQL, 4 MB, makes the ranking of a month's customers a sort on disk.
_SORT_IN_MEMORY = "SET LOCAL work_mem = '64MB'"


class Kind(StrEnum):
    """What a column holds; it is shown the same whichever database it came from."""

    TEXT = "text"
    COUNT = "count"
    AMOUNT = "amount"
    FLAG = "flag"
    DAY = "day"
    TIME = "time"


class Report(NamedTuple):
    """One report: the columns it shows, in order, and what it is sorted by."""

    name: str
    meaning: str
    columns: dict[str, Kind]
    order: tuple[str, ...]
    """A minus sign begins what is sorted the other way."""
    since: str = ""
    """The column ``--since`` and ``--until`` are about, empty for a report of now."""
    limit: int = 1_000
    """Rows when nothing else is said."""

    @property
    def view(self) -> str:
        """Return the name of its view."""
        return f"report_{self.name.replace('-', '_')}"


class Filters(NamedTuple):
    """Which rows are wanted; ``until`` is a day that still belongs to them."""

    env: str | None = None
    customer_id: str | None = None
    entity_id: str | None = None
    feature_id: str | None = None
    since: date | None = None
    until: date | None = None


_TOP = "top-consumers"
_WHO = {"env": Kind.TEXT, "customer_id": Kind.TEXT}
_HOLDER = _WHO | {"entity_id": Kind.TEXT, "feature_id": Kind.TEXT}
_HELD = _HOLDER | {"balance_id": Kind.TEXT, "plan_id": Kind.TEXT}

_ALL = (
    Report(
        "balances",
        "What everybody holds now: a row for each balance, of a per-entity one for each entity.",
        _HELD
        | dict.fromkeys(("granted", "used", "remaining", "overage"), Kind.AMOUNT)
        | {"unlimited": Kind.FLAG, "resets_at": Kind.TIME, "expires_at": Kind.TIME}
        | {"reset_due": Kind.FLAG},
        ("customer_id", "env", "feature_id", "entity_id", "balance_id"),
    ),
    Report(
        "overage",
        "Balances of which more is used than was granted, the most first.",
        _HELD
        | dict.fromkeys(("granted", "used", "overage"), Kind.AMOUNT)
        | {"resets_at": Kind.TIME},
        ("env", "feature_id", "-overage_units", "customer_id", "entity_id", "balance_id"),
    ),
    Report(
        "usage",
        "What was used on each day, by customer, entity and feature.",
        _HOLDER
        | {"day": Kind.DAY, "events": Kind.COUNT}
        | {"used": Kind.AMOUNT, "requested": Kind.AMOUNT},
        ("customer_id", "env", "day", "feature_id", "entity_id", "internal_id"),
        since="day",
    ),
    Report(
        _TOP,
        f"Who used most of each feature, in the last {TOP_DAYS} days unless told otherwise.",
        {"env": Kind.TEXT, "feature_id": Kind.TEXT, "place": Kind.COUNT, "customer_id": Kind.TEXT}
        | {"events": Kind.COUNT, "used": Kind.AMOUNT, "requested": Kind.AMOUNT},
        ("env", "feature_id", "place"),
        since="day",
        limit=10,
    ),
    Report(
        "seats",
        "Entities created, deleted and there at the end of each day on which that changed.",
        _WHO
        | {"feature_id": Kind.TEXT, "day": Kind.DAY}
        | dict.fromkeys(("created", "deleted", "seats"), Kind.COUNT),
        ("customer_id", "env", "internal_id", "feature_id", "day"),
        since="day",
    ),
    Report(
        "denials",
        "How often a check or track was answered with no, by customer, feature and day.",
        _WHO
        | {"feature_id": Kind.TEXT, "day": Kind.DAY}
        | {"operation": Kind.TEXT, "denied": Kind.COUNT},
        ("customer_id", "env", "day", "feature_id", "operation"),
        since="day",
    ),
    Report(
        "locks",
        "Locks that hold units now, the oldest first.",
        _HOLDER
        | {"lock_id": Kind.TEXT, "held": Kind.AMOUNT}
        | {"locked_at": Kind.TIME, "expires_at": Kind.TIME},
        ("locked_at", "env", "customer_id", "lock_id"),
        since="locked_at",
    ),
    Report(
        "writer",
        "How far SQL has come in each partition, and who writes it.",
        {"partition": Kind.COUNT, "owner": Kind.TEXT, "epoch": Kind.COUNT, "applied": Kind.COUNT}
        | {"applied_until": Kind.TIME, "behind_seconds": Kind.AMOUNT, "moved_at": Kind.TIME}
        | {"dead_letters": Kind.COUNT},
        ("partition",),
    ),
    Report(
        "incidents",
        "Times when Redis was not what SQL knows of it, the newest first.",
        {"id": Kind.TEXT, "kind": Kind.TEXT, "partition": Kind.COUNT}
        | {"began_at": Kind.TIME, "ended_at": Kind.TIME, "lost": Kind.COUNT}
        | {"reseeded": Kind.COUNT, "window_from": Kind.TIME, "window_until": Kind.TIME}
        | {"detail": Kind.TEXT},
        ("-began_at", "id"),
        since="began_at",
    ),
)

REPORTS = {report.name: report for report in _ALL}


def read(
    engine: Engine, report: Report, filters: Filters, limit: int, today: date
) -> list[tuple[Any, ...]]:
    """Return the rows of a report, each with the columns it names; at most ``limit``, which for
    the top consumers is the last place of each feature.
    """
    statement = statement_of(report, filters, limit, today, engine.dialect.name)
    with read_transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(_SORT_IN_MEMORY))
        found = connection.execute(statement)
        if report.name == _TOP:
            return [_exact(*row) for row in found]
        shown = [_SHOWN[kind] for kind in report.columns.values()]
        return [
            tuple(
                None if value is None else show(value)
                for show, value in zip(shown, row, strict=True)
            )
            for row in found
        ]


def statement_of(
    report: Report, filters: Filters, limit: int, today: date, dialect: str
) -> Select[*tuple[Any, ...]]:
    """Return the statement that reads a report: from its view, or, as a view cannot be told its
    days, from what the view of the top consumers is made of.
    """
    if report.name == _TOP:
        return _top_consumers(filters, limit, today)
    names = [*report.columns, *(name.lstrip("-") for name in report.order)]
    view = table(report.view, *map(column, dict.fromkeys(names)))
    given = filters._asdict()
    where: list[ColumnElement[bool]] = [
        view.c[name] == given[name]
        for name in ("env", "customer_id", "entity_id", "feature_id")
        if given[name] is not None
    ]
    if filters.since is not None:
        where.append(view.c[report.since] >= _midnight(report, filters.since, dialect))
    if filters.until is not None:
        end = filters.until + timedelta(days=1)
        where.append(view.c[report.since] < _midnight(report, end, dialect))
    order = [
        desc(view.c[name[1:]]) if name.startswith("-") else _rising(view.c[name])
        for name in report.order
    ]
    shown = [view.c[name] for name in report.columns]
    return select(*shown).where(*where).order_by(*order).limit(limit)


def _rising(one: ColumnElement[Any]) -> ColumnElement[Any]:
    # The databases disagree on where a row without an entity stands.
    return one.nulls_first() if one.key == "entity_id" else one


def _midnight(report: Report, day: date, dialect: str) -> ColumnElement[Any]:
    """Return the beginning of a day as the column of the view has it."""
    is_day = report.columns[report.since] is Kind.DAY
    if dialect == "sqlite":
        return bindparam(None, f"{day}" if is_day else f"{day} 00:00:00", Text())
    if is_day:
        return bindparam(None, day, Date())
    return bindparam(None, datetime.combine(day, time()), DateTime())


def _top_consumers(filters: Filters, limit: int, today: date) -> Select[*tuple[Any, ...]]:
    """Return the statement of ``report_top_consumers`` for any days; sums in their two parts."""
    total, feature = table_of(DailyTotal), table_of(Feature)
    key = (total.c.env, total.c.feature_id, total.c.customer_id)
    last = filters.until or today
    # No day is earlier than the first that a date can be.
    since = filters.since or last - min(timedelta(days=TOP_DAYS - 1), last - date.min)
    where = [total.c.day >= since]
    if filters.until is not None:
        where.append(total.c.day <= filters.until)
    for name, one in (("env", key[0]), ("feature_id", key[1])):
        if (value := getattr(filters, name)) is not None:
            where.append(one == value)
    names = ("events", "requested_high", "requested_low", "applied_high", "applied_low")
    sums = [func.sum(total.c[name]).label(name) for name in names]
    used = select(*key, *sums).where(*where).group_by(*key).subquery()
    most = desc(used.c.applied_high * PART + used.c.applied_low)
    place = func.row_number().over(
        partition_by=(used.c.env, used.c.feature_id), order_by=(most, used.c.customer_id)
    )
    ranked = select(used, place.label("place")).subquery()
    of_feature = (feature.c.env == ranked.c.env) & (feature.c.id == ranked.c.feature_id)
    wanted = [ranked.c.place <= limit]
    if filters.customer_id is not None:
        wanted = [ranked.c.customer_id == filters.customer_id]
    shown = (ranked.c.env, ranked.c.feature_id, ranked.c.place, ranked.c.customer_id)
    return (
        select(*shown, *(ranked.c[name] for name in names), feature.c.precision)
        .select_from(ranked.outerjoin(feature, of_feature))
        .where(*wanted)
        .order_by(ranked.c.env, ranked.c.feature_id, ranked.c.place)
        .limit(ROWS_MAX)
    )


def _exact(*row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - as the drivers give them
    """Put the parts of the sums together."""
    *key, events, requested_high, requested_low, applied_high, applied_low, precision = row
    amounts: list[Decimal | None] = [None, None]
    if precision is not None:
        pairs = ((applied_high, applied_low), (requested_high, requested_low))
        sums = [int(high) * PART + int(low) for high, low in pairs]
        amounts = [_plain(f"{units}e-{precision}") for units in sums]
    return (*key, int(events), *amounts)


def _plain(amount: object) -> Decimal:
    """Return an amount as it came, without zeros at its end and without an exponent."""
    digits = f"{Decimal(str(amount)):f}"
    return Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits)


def _time(value: Any) -> str:  # noqa: ANN401 - SQLite gives text
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


_SHOWN: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: str,
    Kind.COUNT: int,
    Kind.AMOUNT: _plain,
    Kind.FLAG: bool,
    Kind.DAY: str,
    Kind.TIME: _time,
}
