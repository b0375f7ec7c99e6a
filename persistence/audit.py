"""Add up every balance from its deductions, and say where SQL holds another number.

The adding up is done by SQL, for some customers at a time in the order of their key, and only what
differs comes back: memory does not grow with what there is. Each page is one snapshot, so the
writer may go on meanwhile. Nothing here writes; ``persistence.mending`` does.

Failure: SQL gone raises ``UnavailableError``; a page that was not finished is asked again by the
caller, from where the last one ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Row,
    Select,
    SQLColumnExpression,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)

from gateway.audit.records import Applied, Drift, Kind, LedgerPage, Move, Scope, Trail
from gateway.installation import IncidentKind
from gateway.outbox import customer_of
from gateway.rows import Kind as RowKind
from gateway.stream_ids import place
from persistence.database import Store, in_thread, read_transaction
from persistence.lost_events import Span, lost_events
from persistence.mending import mend
from persistence.models import (
    Balance,
    CatalogRevision,
    Customer,
    DeadLetter,
    Deduction,
    Incident,
    Slot,
    of_balance,
)

DRIFTS_MAX = 1_000
"""Drifts one page tells; more are all of one cause."""

TRAIL_MAX = 10_000
"""The newest deductions of a balance that are looked through for the one that broke it."""

SHOWN_MAX = 5
"""Of these, how many are shown."""

LETTERS_MAX = 10_000
"""Dead letters whose customers are told; a writer stops long before there are so many."""

_NOTHING: ColumnElement[int] = literal_column("0")
_NOBODY: ColumnElement[str] = literal_column("''")

_Sums = Select[*tuple[Any, ...]]
_Row = Row[*tuple[Any, ...]]
_OfBalance = type[Deduction] | type[Slot]


class SqlLedger(Store):
    """``gateway.audit.records.Ledger`` on SQL."""

    @in_thread
    def count(self, scope: Scope) -> int:
        """Return how many customers there are, deleted ones included."""
        statement = select(func.count()).select_from(Customer).where(*_within(scope))
        with read_transaction(self.engine) as connection:
            return connection.scalars(statement).one()

    @in_thread
    def page(self, scope: Scope, after: str, limit: int) -> LedgerPage:
        """Compare the next customers with their deductions, in one snapshot."""
        statement = (
            select(Customer.internal_id)
            .where(Customer.internal_id > after, *_within(scope))
            .order_by(Customer.internal_id)
            .limit(limit)
        )
        with read_transaction(self.engine) as connection:
            found = connection.scalars(statement).all()
            if not found:
                return LedgerPage(0, 0, [], None)
            span, given = (
                (_between, {"after": after, "last": found[-1]})
                if scope == Scope()
                else (_among, {"ids": found})
            )
            asked = _questions(span)
            drifts = [
                *_drifts(connection, Kind.EVENTS, asked.balances, given),
                *_drifts(connection, Kind.EVENTS, asked.slots, given),
                *_drifts(connection, Kind.SUM, asked.sums, given),
                *lost_events(connection, span, given),
            ]
            balances = connection.scalars(asked.counted, given).one()
        last = found[-1] if len(found) == limit else None
        return LedgerPage(len(found), balances, drifts, last)

    @in_thread
    def trail(self, internal_id: str, balance_id: str, entity_id: str | None) -> Trail:
        """Return the deductions of a balance's period; those of one slot if an entity is given."""
        where = [Deduction.internal_id == internal_id, Deduction.balance_id == balance_id]
        if entity_id is not None:
            where.append(Deduction.entity_id == entity_id)
        sums = select(func.coalesce(func.sum(Deduction.delta), 0), func.count())
        newest = (
            select(
                Deduction.event_id,
                Deduction.position,
                Deduction.at_ms,
                Deduction.delta,
                Deduction.total if entity_id is None else Deduction.used,
            )
            .join(Balance, _of_its_period(Deduction))
            .where(*where)
            .order_by(Deduction.at_ms.desc(), Deduction.event_id.desc(), Deduction.position.desc())
            .limit(TRAIL_MAX)
        )
        with read_transaction(self.engine) as connection:
            total, count = connection.execute(
                sums.select_from(Deduction).join(Balance, _of_its_period(Deduction)).where(*where)
            ).one()
            rows = sorted(connection.execute(newest), key=_order_of)
        moves = [Move(row.event_id, row.at_ms, row.delta, row[-1]) for row in rows]
        broken_at = _first_broken(moves, is_whole=count == len(moves))
        return Trail(total=int(total), count=count, moves=moves[-SHOWN_MAX:], broken_at=broken_at)

    @in_thread
    def applied(self, names: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Applied]:
        """Return what SQL has of live customers, by environment and id."""
        statement = select(
            Customer.env, Customer.id, Customer.internal_id, Customer.seq, Customer.applied_ms
        ).where(tuple_(Customer.env, Customer.id).in_(names), Customer.deleted_at.is_(None))
        with read_transaction(self.engine) as connection:
            return {(row[0], row[1]): Applied(*row[2:]) for row in connection.execute(statement)}

    @in_thread
    def set_aside(self) -> Mapping[tuple[str, str], list[str]]:
        """Return the ids of dead letters by customer; those that name none are under none."""
        statement = select(DeadLetter.partition, DeadLetter.stream_id, DeadLetter.payload)
        found: dict[tuple[str, str], list[str]] = {}
        with read_transaction(self.engine) as connection:
            for partition, stream_id, payload in connection.execute(statement.limit(LETTERS_MAX)):
                try:
                    name = customer_of(payload)
                except (IndexError, UnicodeDecodeError):
                    continue
                found.setdefault(name, []).append(f"{stream_id} of partition {partition}")
        return found

    @in_thread
    def lossy_partitions(self) -> frozenset[int]:
        """Return the partitions of which SQL was found to lack entries Redis had no more."""
        behind = Incident.kind == IncidentKind.SQL_BEHIND.value
        with read_transaction(self.engine) as connection:
            return frozenset(
                connection.scalars(select(Incident.partition).where(behind).distinct())
            )

    @in_thread
    def clock_offset_ms(self) -> int:
        """Return how far the sandbox's clock is ahead of the machine's."""
        with read_transaction(self.engine) as connection:
            return connection.scalars(select(CatalogRevision.clock_offset_ms)).one()

    @in_thread
    def mend(self, drift: Drift) -> bool:
        """Set a number to what its deductions add up to; False when it is so already."""
        return mend(drift, self.engine)


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    where = []
    if scope.env is not None:
        where.append(Customer.env == scope.env)
    if scope.customer_id is not None:
        where.append(Customer.id == scope.customer_id)
    return where


def _between(column: ColumnClause[str]) -> ColumnElement[bool]:
    return and_(column > bindparam("after"), column <= bindparam("last"))


def _among(column: ColumnClause[str]) -> ColumnElement[bool]:
    return column.in_(bindparam("ids", expanding=True))


class _Questions(NamedTuple):
    """The statements of a page."""

    counted: Select[int]
    balances: _Sums
    slots: _Sums
    sums: _Sums


@cache
def _questions(span: Span) -> _Questions:
    # Customers are compared all the time, and to make these took longer than to carry them out.
    return _Questions(
        select(func.count()).select_from(Balance).where(span(Balance.internal_id)),
        _told(_unexplained_balances(span)),
        _told(_unexplained_slots(span)),
        _told(_sums_of_slots(span)),
    )


def _told(sums: _Sums) -> _Sums:
    """Return what two sums say differently: ``stored`` and ``counted``, by balance and slot."""
    found = sums.subquery()
    # A balance that an entity owns is told with its owner, as a slot is.
    owner = case((found.c.entity_id != "", found.c.entity_id), else_=Balance.entity_id)
    return (
        select(
            func.coalesce(Customer.env, "").label("env"),
            func.coalesce(Customer.id, "").label("customer_id"),
            found.c.internal_id,
            Balance.feature_id,
            found.c.balance_id,
            owner.label("entity_id"),
            found.c.stored,
            found.c.counted,
        )
        .join(Balance, of_balance(found.c))
        .outerjoin(Customer, Customer.internal_id == found.c.internal_id)
        .order_by(found.c.internal_id, found.c.balance_id, found.c.entity_id)
        .limit(DRIFTS_MAX)
    )


def _drifts(
    connection: Connection, kind: Kind, asked: _Sums, given: Mapping[str, Any]
) -> Iterable[Drift]:
    what = "used" if kind is Kind.EVENTS else "used by all slots"
    for row in map(dict, connection.execute(asked, given).mappings()):
        sql, events = int(row.pop("stored")), int(row.pop("counted"))
        yield Drift(kind=kind, what=what, sql=sql, events=events, **row)


def _unexplained_balances(span: Span) -> _Sums:
    counted = _counted(span, Deduction, _NOBODY, Deduction.delta)
    return _different(_used_of_balances(span), counted)


def _unexplained_slots(span: Span) -> _Sums:
    """Slots of live per-entity balances against their deductions; one that is missing is 0."""
    live = _live_per_entity()
    stored: _Sums = (
        select(
            Slot.internal_id,
            Slot.balance_id,
            Slot.entity_id,
            Slot.used.label("stored"),
            _NOTHING.label("counted"),
        )
        .join(Balance, _of_its_period(Slot))
        .where(span(Slot.internal_id), *live)
    )
    return _different(
        stored, _counted(span, Deduction, Deduction.entity_id, Deduction.delta, *live)
    )


def _sums_of_slots(span: Span) -> _Sums:
    live = _live_per_entity()
    counted = _counted(span, Slot, _NOBODY, Slot.used, *live)
    return _different(_used_of_balances(span, *live), counted)


def _used_of_balances(span: Span, *which: ColumnElement[bool]) -> _Sums:
    return select(
        Balance.internal_id,
        Balance.id.label("balance_id"),
        _NOBODY.label("entity_id"),
        Balance.used.label("stored"),
        _NOTHING.label("counted"),
    ).where(span(Balance.internal_id), *which)


def _counted(
    span: Span,
    table: _OfBalance,
    entity_id: SQLColumnExpression[str],
    units: SQLColumnExpression[int],
    *which: ColumnElement[bool],
) -> _Sums:
    """Return what the rows of a table say of the periods that balances are in."""
    return (
        select(table.internal_id, table.balance_id, entity_id, _NOTHING, units)
        .join(Balance, _of_its_period(table))
        .where(span(table.internal_id), *which)
    )


def _different(*parts: _Sums) -> _Sums:
    both = union_all(*parts).subquery()
    stored, counted = func.sum(both.c.stored), func.sum(both.c.counted)
    key = (both.c.internal_id, both.c.balance_id, both.c.entity_id)
    sums = select(*key, stored.label("stored"), counted.label("counted"))
    return sums.group_by(*key).having(stored != counted)


def _of_its_period(table: _OfBalance) -> ColumnElement[bool]:
    return and_(of_balance(table), Balance.period == table.period)


def _live_per_entity() -> list[ColumnElement[bool]]:
    return [Balance.kind == RowKind.PER_ENTITY.value, Balance.ended_at.is_(None)]


def _order_of(row: _Row) -> tuple[int, int, int]:
    """Return the place of a deduction in the outbox, which its event is named after."""
    milliseconds, sequence = row.event_id.split("_")[2].split("-")[:2]
    return *place(f"{milliseconds}-{sequence}"), row.position


def _first_broken(moves: Sequence[Move], *, is_whole: bool) -> Move | None:
    left = 0 if is_whole else None
    for move in moves:
        if left is not None and left + move.delta != move.left:
            return move
        left = move.left
    return None
