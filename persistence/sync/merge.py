"""The statements that merge a batch into the tables, made once for each SQL engine.

``persistence.sync.staging`` has the ways rows travel. Every merge lets the higher ``seq`` win, and
none of them moves anything that is not in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Executable,
    Select,
    Table,
    Text,
    and_,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)

from gateway.documents import EXPIRED
from gateway.outbox import LockState
from gateway.rows import Kind
from persistence import models, rollups
from persistence.dialects import INSERTS, ByDialect
from persistence.models import table_of
from persistence.sync import batch
from persistence.sync.staging import BlockStep, RowClass, Rows, RowStep, Runs, Step, stage_of

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    from persistence.dialects import InsertInto

_Columns = Any
"""Columns by name: those of a small table, or the parameters of a row."""

_CURSORS = table_of(models.Cursor)
_CUSTOMERS = table_of(models.Customer)
_ENTITIES = table_of(models.Entity)
_SUBSCRIPTIONS = table_of(models.Subscription)
_BALANCES = table_of(models.Balance)
_SLOTS = table_of(models.Slot)
_WINDOWS = table_of(models.UsageWindow)
_LOCKS = table_of(models.Lock)
_DEAD_LETTERS = table_of(models.DeadLetter)
_EVENTS = table_of(models.Event)

_RISING = {"counter", "number_max", "applied_ms", "applied_hour"}


class CursorRow(NamedTuple):
    """A cursor on its way from ``expected`` to ``stream_id``, while ``owner`` has it."""

    partition: int
    stream_id: str
    applied: int
    expected: str
    owner: str
    epoch: int
    updated_at_ms: int


@cache
def _steps(dialect: str) -> dict[str, Runs]:
    """Return the steps in the order a batch needs, each named after its list in the batch.

    Ends come before the rows of the same batch: they concern what earlier batches wrote. Deductions
    and slots come before balances, because they ask for a balance as it was before the batch.
    """
    insert_into = INSERTS[dialect]
    events = stage_of(_EVENTS, batch.EventRow)
    denials = stage_of(
        table_of(models.DailyDenials), batch.DenialRow, day_ms=_CURSORS.c.updated_at_ms.type
    )
    resets, alerts = table_of(models.Reset), table_of(models.Alert)
    return {
        "cursors": _cursor_step(),
        "events": Step(
            events,
            *rollups.usage_sums(insert_into, events),
            _insert_new(insert_into, _EVENTS, select(*events.c).where(true())),
            unless=exists().where(*(key == events.c[key.name] for key in _EVENTS.primary_key)),
        ),
        "denials": Step(denials, rollups.denial_merge(insert_into, denials)),
        "deductions": _deduction_step(insert_into),
        "resets": _new_step(insert_into, resets, batch.ResetRow),
        "entity_ends": _entity_end_step(),
        "customer_ends": _customer_end_step(),
        "slots": _slot_step(insert_into),
        "windows": _upsert_step(insert_into, _WINDOWS, batch.WindowRow),
        "locks": _upsert_step(insert_into, _LOCKS, batch.LockRow),
        "lock_ends": _lock_end_step(),
        "alerts": _new_step(insert_into, alerts, batch.AlertRow),
        # A deleted customer leaves its id to the next one before that one is inserted.
        "customer_changes": _customer_change_step(insert_into),
        "customers": _upsert_step(insert_into, _CUSTOMERS, batch.CustomerRow, rising=_RISING),
        "balances": _upsert_step(insert_into, _BALANCES, batch.BalanceRow, keep={"created_at"}),
        "balance_changes": _balance_change_step(insert_into),
        "entities": _upsert_step(insert_into, _ENTITIES, batch.EntityRow),
        "subscriptions": _upsert_step(insert_into, _SUBSCRIPTIONS, batch.SubscriptionRow),
        "dead_letters": _new_step(insert_into, _DEAD_LETTERS, batch.DeadLetterRow),
    }


class NewEvents:
    """Events none of which SQL has: they go in without a look, and their sums come from here."""

    def __init__(self, insert_into: InsertInto) -> None:
        self.events = _row_step(insert_into, _EVENTS, batch.EventRow, lambda into: into)
        self.sums = [
            _row_step(insert_into, table, row, rollups.adding(table))
            for table, row in rollups.SUMMED.items()
        ]

    def run(self, connection: Connection, rows: Rows) -> None:
        """Add events and their sums. It is an ``IntegrityError`` if SQL has one of them."""
        self.events.run(connection, rows)
        sums: tuple[Rows, ...] = rollups.sum_up(rows)
        for step, added in zip(self.sums, sums, strict=True):
            step.run(connection, added)


def _parameters(row: RowClass) -> dict[str, ColumnElement[Any]]:
    """Return one row of SQLite: parameters, in the order of its columns."""
    return {name: literal_column(f"?{at}") for at, name in enumerate(row._fields, 1)}


def _row_step(
    insert_into: InsertInto,
    target: Table,
    row: RowClass,
    merged: Callable[[Any], Any],
) -> Runs:
    """Return what inserts rows; ``merged`` adds what becomes of those that are there."""
    stage = stage_of(target, row)
    rows = select(*stage.c).where(true())
    merge = merged(insert_into(target).from_select(list(row._fields), rows))
    return _block_step(insert_into, stage, merge)


def _change_step(
    insert_into: InsertInto,
    target: Table,
    row: RowClass,
    change: Callable[[_Columns], Executable],
) -> Runs:
    """Return what updates rows, given the columns of what they become."""
    if insert_into is INSERTS.get("sqlite"):
        return RowStep(change(_parameters(row)))
    stage = stage_of(target, row)
    return Step(stage, change(stage.c))


def _block_step(insert_into: InsertInto, stage: Table, merge: Executable) -> Runs:
    """Return what runs an insert that no row of the same list has a say in."""
    is_sqlite = insert_into is INSERTS.get("sqlite")
    return BlockStep(stage, merge) if is_sqlite else Step(stage, merge)


def _new_step(insert_into: InsertInto, target: Table, row: RowClass) -> Runs:
    return _row_step(insert_into, target, row, lambda into: into.on_conflict_do_nothing())


def _upsert_step(
    insert_into: InsertInto,
    target: Table,
    row: RowClass,
    *,
    keep: Iterable[str] = (),
    rising: Iterable[str] = (),
) -> Runs:
    """Return an upsert that a smaller ``seq`` loses; ``rising`` columns never fall."""
    names = row._fields
    merged = partial(_on_conflict, target=target, keep={*keep}, rising={*rising}, names=names)
    return _row_step(insert_into, target, row, merged)


def _insert_new(insert_into: InsertInto, target: Table, rows: Select[Any]) -> Executable:
    # Without a WHERE, SQLite reads ON CONFLICT as the ON of a join.
    names = list(rows.selected_columns.keys())
    return insert_into(target).from_select(names, rows).on_conflict_do_nothing()


def _on_conflict(
    into: postgresql.Insert | sqlite.Insert,
    target: Table,
    keep: set[str],
    rising: set[str],
    names: Sequence[str],
) -> Executable:
    key = [column.name for column in target.primary_key]
    changes: dict[str, ColumnElement[Any]] = {}
    for name in names:
        if name in rising:
            changes[name] = _higher(into.excluded[name], target.c[name])
        elif name not in keep and name not in key:
            changes[name] = into.excluded[name]
    newer = target.c.seq < into.excluded.seq
    return into.on_conflict_do_update(index_elements=key, set_=changes, where=newer)


def _higher(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    return case((one > other, one), else_=other)


def _cursor_step() -> Step:
    stage = stage_of(_CURSORS, CursorRow, expected=Text())
    move = (
        update(_CURSORS)
        .where(
            _CURSORS.c.partition == stage.c.partition,
            _CURSORS.c.stream_id == stage.c.expected,
            _CURSORS.c.owner == stage.c.owner,
            _CURSORS.c.epoch == stage.c.epoch,
        )
        .values(
            stream_id=stage.c.stream_id,
            applied=_CURSORS.c.applied + stage.c.applied,
            updated_at_ms=stage.c.updated_at_ms,
        )
    )
    return Step(stage, move, is_exact=True)


def _deduction_step(insert_into: InsertInto) -> Runs:
    target = table_of(models.Deduction)
    stage = stage_of(target, batch.DeductionRow, seq=_BALANCES.c.seq.type)
    same_period = and_(
        _BALANCES.c.internal_id == stage.c.internal_id,
        _BALANCES.c.id == stage.c.balance_id,
        _BALANCES.c.period == stage.c.period,
    )
    opening = stage.c.total - func.coalesce(_BALANCES.c.used, 0)
    filled: dict[str, ColumnElement[Any]] = {
        "delta": func.coalesce(stage.c.delta, opening),
        "resets_at": func.nullif(func.coalesce(stage.c.resets_at, _BALANCES.c.due_ms), 0),
    }
    names = [column.name for column in target.c]
    moved = and_(opening != 0, func.coalesce(_BALANCES.c.seq, -1) < stage.c.seq)
    rows = (
        select(*(filled.get(name, stage.c[name]) for name in names))
        .select_from(stage.outerjoin(_BALANCES, same_period))
        .where(or_(stage.c.delta.is_not(None), moved))
    )
    merge = insert_into(target).from_select(names, rows).on_conflict_do_nothing()
    return _block_step(insert_into, stage, merge)


def _slot_step(insert_into: InsertInto) -> Runs:
    stage = stage_of(_SLOTS, batch.SlotRow, certain=Boolean())
    names = [column.name for column in _SLOTS.c]
    same = and_(
        _BALANCES.c.internal_id == stage.c.internal_id, _BALANCES.c.id == stage.c.balance_id
    )
    per_entity = or_(stage.c.certain, _BALANCES.c.kind == Kind.PER_ENTITY.value)
    known = stage.outerjoin(_BALANCES, same)
    rows = select(*(stage.c[name] for name in names)).select_from(known).where(per_entity)
    into = insert_into(_SLOTS).from_select(names, rows)
    return _block_step(insert_into, stage, _on_conflict(into, _SLOTS, set(), set(), names))


def _customer_change_step(insert_into: InsertInto) -> Runs:
    def change(row: _Columns) -> Executable:
        return (
            update(_CUSTOMERS)
            .where(_CUSTOMERS.c.internal_id == row["internal_id"], _CUSTOMERS.c.seq < row["seq"])
            .values({name: _higher(row[name], _CUSTOMERS.c[name]) for name in sorted(_RISING)})
            .values(deleted_at=func.coalesce(row["deleted_at"], _CUSTOMERS.c.deleted_at))
            .values(seq=row["seq"])
        )

    return _change_step(insert_into, _CUSTOMERS, batch.CustomerChange, change)


def _balance_change_step(insert_into: InsertInto) -> Runs:
    changed = ("used", "period", "due_ms", "ended_at")

    def change(row: _Columns) -> Executable:
        text_of_row = row["line"].is_not(None)
        return (
            update(_BALANCES)
            .where(
                _BALANCES.c.internal_id == row["internal_id"],
                _BALANCES.c.id == row["id"],
                _BALANCES.c.seq < row["seq"],
            )
            .values(
                {name: func.coalesce(row[name], _BALANCES.c[name]) for name in changed}
                | {
                    name: case((text_of_row, row[name]), else_=_BALANCES.c[name])
                    for name in batch.BalanceChange._field_defaults
                }
                | {"seq": row["seq"]}
            )
        )

    return _change_step(insert_into, _BALANCES, batch.BalanceChange, change)


def _lock_end_step() -> Step:
    stage = stage_of(_LOCKS, batch.LockEnd)
    changed = ("state", "units", "ended_at", "seq")
    of_lock = [_LOCKS.c.lock_id == stage.c.lock_id, *_ended(_LOCKS, stage)]
    change = update(_LOCKS).where(*of_lock).values({name: stage.c[name] for name in changed})
    return Step(stage, change)


def _entity_end_step() -> Step:
    stage = stage_of(_ENTITIES, batch.EntityEnd, at_ms=_CURSORS.c.updated_at_ms.type)
    # By env as well, because the index of live entities begins with it.
    of_entity = [_ENTITIES.c.env == stage.c.env, _ENTITIES.c.entity_id == stage.c.entity_id]
    return Step(
        stage,
        _delete(_SLOTS, stage, _SLOTS.c.entity_id == stage.c.entity_id),
        _delete(_WINDOWS, stage, _WINDOWS.c.entity_id == stage.c.entity_id),
        _end_balances(stage, _BALANCES.c.entity_id == stage.c.entity_id),
        _end_subscriptions(stage, _SUBSCRIPTIONS.c.entity_id == stage.c.entity_id),
        _end_entities(stage, *of_entity),
    )


def _customer_end_step() -> Step:
    stage = stage_of(_CUSTOMERS, batch.CustomerEnd, at_ms=_CURSORS.c.updated_at_ms.type)
    return Step(
        stage,
        _delete(_SLOTS, stage),
        _delete(_WINDOWS, stage),
        _release_locks(stage),
        _end_balances(stage),
        _end_subscriptions(stage),
        _end_entities(stage),
    )


def _ended(table: Table, stage: Table) -> list[ColumnElement[bool]]:
    return [table.c.internal_id == stage.c.internal_id, table.c.seq < stage.c.seq]


def _delete(table: Table, stage: Table, *where: ColumnElement[bool]) -> Executable:
    # Found through the temporary table: a correlated EXISTS would walk every row there is.
    found = select(*table.primary_key).where(*_ended(table, stage), *where)
    return delete(table).where(tuple_(*table.primary_key).in_(found.correlate(None)))


def _release_locks(stage: Table) -> Executable:
    still_open = [*_ended(_LOCKS, stage), _LOCKS.c.ended_at.is_(None)]
    state = LockState.RELEASED.value
    return update(_LOCKS).where(*still_open).values(state=state, ended_at=stage.c.at_ms)


def _end_balances(stage: Table, *where: ColumnElement[bool]) -> Executable:
    live = [*_ended(_BALANCES, stage), _BALANCES.c.ended_at.is_(None)]
    return update(_BALANCES).where(*live, *where).values(ended_at=stage.c.at_ms)


def _end_subscriptions(stage: Table, *where: ColumnElement[bool]) -> Executable:
    table = _SUBSCRIPTIONS
    live = [*_ended(table, stage), table.c.status != EXPIRED]
    ended_at = func.coalesce(table.c.ended_at, stage.c.at_ms)
    values = {"status": EXPIRED, "ended_at": ended_at, "due_at": None}
    return update(table).where(*live, *where).values(values)


def _end_entities(stage: Table, *where: ColumnElement[bool]) -> Executable:
    live = [*_ended(_ENTITIES, stage), _ENTITIES.c.deleted_at.is_(None)]
    return update(_ENTITIES).where(*live, *where).values(deleted_at=stage.c.at_ms)


def _quick_steps(dialect: str) -> dict[str, Runs]:
    return _steps(dialect) | {"events": NewEvents(INSERTS[dialect])}


STEPS = ByDialect(_steps)
"""The steps of any batch, also of one that SQL has parts of."""

QUICK_STEPS = ByDialect(_quick_steps)
"""The steps of a batch none of whose events SQL has, as it is with all but a repeated one."""
