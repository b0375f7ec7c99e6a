"""The statements that merge a batch into the tables, made once for each SQL engine.

Rows travel through temporary tables, filled by COPY on PostgreSQL and by one prepared insert on
SQLite, so that both engines run the same merge. Every merge lets the higher ``seq`` win, and none
of them moves anything that is not in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Executable,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from gateway.outbox import LockState
from gateway.rows import Kind
from persistence import batch, models, rollups

_Insert = Callable[[Table], "postgresql.Insert | sqlite.Insert"]

_EXPIRED = "expired"


def table_of(model: type[models.Base]) -> Table:
    """Return the table of a model."""
    return models.Base.metadata.tables[model.__tablename__]


_CURSORS = table_of(models.Cursor)
_CUSTOMERS = table_of(models.Customer)
_ENTITIES = table_of(models.Entity)
_SUBSCRIPTIONS = table_of(models.Subscription)
_BALANCES = table_of(models.Balance)
_SLOTS = table_of(models.Slot)
_WINDOWS = table_of(models.UsageWindow)
_LOCKS = table_of(models.Lock)
_DEAD_LETTERS = table_of(models.DeadLetter)

INSERTS: dict[str, _Insert] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class CursorRow(NamedTuple):
    """A cursor on its way from ``expected`` to ``stream_id``, while ``owner`` has it."""

    partition: int
    stream_id: str
    applied: int
    expected: str
    owner: str
    epoch: int


def _stage(target: Table, row: Any, **others: TypeEngine[Any]) -> Table:  # noqa: ANN401 - a class
    """Return the temporary table of a row class; ``others`` are columns the target has not."""
    types = {column.name: column.type for column in target.c} | others
    return Table(
        f"stage_{row.__name__.lower()}",
        MetaData(),
        *(Column(name, types[name], nullable=True) for name in row._fields),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )


class Step:
    """A temporary table and the statements that merge it."""

    def __init__(self, stage: Table, *merges: Executable) -> None:
        self._merges = merges
        self._create = CreateTable(stage, if_not_exists=True)
        self._empty = delete(stage)
        names = [column.name for column in stage.c]
        self._fill = str(insert(stage).compile(dialect=sqlite.dialect(paramstyle="qmark")))
        self._copy = f"COPY {stage.name} ({', '.join(names)}) FROM STDIN".encode()

    def run(
        self,
        connection: Connection,
        rows: Sequence[tuple[Any, ...]],
        values: Mapping[str, Any] | None = None,
    ) -> int:
        """Merge rows; return how many rows the last statement touched."""
        if not rows:
            return 0
        connection.execute(self._create)
        if connection.dialect.name == "postgresql":
            self._copy_in(connection, rows)
        else:
            connection.execute(self._empty)  # SQLite has no ON COMMIT DELETE ROWS.
            connection.exec_driver_sql(self._fill, list(rows))
        touched = 0
        for merge in self._merges:
            touched = connection.execute(merge, values).rowcount
        return touched

    def _copy_in(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(self._copy) as copy:
            for row in rows:
                copy.write_row(row)


def _steps(insert_into: _Insert) -> dict[str, Step]:
    """Return the steps in the order a batch needs, each named after its list in the batch.

    Ends come before the rows of the same batch: they concern what earlier batches wrote. Deductions
    and slots come before balances, because they ask for a balance as it was before the batch.
    """
    events = _stage(table_of(models.Event), batch.EventRow)
    resets = _stage(table_of(models.Reset), batch.ResetRow)
    letters = _stage(_DEAD_LETTERS, batch.DeadLetterRow)
    entities = _stage(_ENTITIES, batch.EntityRow)
    subscriptions = _stage(_SUBSCRIPTIONS, batch.SubscriptionRow)
    balances = _stage(_BALANCES, batch.BalanceRow)
    windows = _stage(_WINDOWS, batch.WindowRow)
    locks = _stage(_LOCKS, batch.LockRow)
    alerts = _stage(table_of(models.Alert), batch.AlertRow)
    denials = _stage(
        table_of(models.DailyDenials), batch.DenialRow, day_ms=_CURSORS.c.updated_at_ms.type
    )
    return {
        "cursors": _cursor_step(),
        "events": Step(
            events,
            *rollups.usage_merges(insert_into, events),
            _insert_new(insert_into, events, table_of(models.Event)),
        ),
        "denials": Step(denials, rollups.denial_merge(insert_into, denials)),
        "deductions": _deduction_step(insert_into),
        "resets": Step(resets, _insert_new(insert_into, resets, table_of(models.Reset))),
        "entity_ends": _entity_end_step(),
        "customer_ends": _customer_end_step(),
        "slots": _slot_step(insert_into),
        "windows": Step(windows, _upsert(insert_into, windows, _WINDOWS)),
        "locks": Step(locks, _upsert(insert_into, locks, _LOCKS)),
        "lock_ends": _lock_end_step(),
        "alerts": Step(alerts, _insert_new(insert_into, alerts, table_of(models.Alert))),
        # A deleted customer leaves its id to the next one before that one is inserted.
        "customer_changes": _customer_change_step(),
        "customers": _customer_step(insert_into),
        "balances": Step(balances, _upsert(insert_into, balances, _BALANCES, {"created_at"})),
        "balance_changes": _balance_change_step(),
        "entities": Step(entities, _upsert(insert_into, entities, _ENTITIES)),
        "subscriptions": Step(subscriptions, _upsert(insert_into, subscriptions, _SUBSCRIPTIONS)),
        "dead_letters": Step(letters, _insert_new(insert_into, letters, _DEAD_LETTERS)),
    }


def _insert_new(insert_into: _Insert, stage: Table, target: Table) -> Executable:
    # Without a WHERE, SQLite reads ON CONFLICT as the ON of a join.
    rows = select(*stage.c).where(true())
    names = [column.name for column in stage.c]
    return insert_into(target).from_select(names, rows).on_conflict_do_nothing()


def _upsert(
    insert_into: _Insert,
    stage: Table,
    target: Table,
    keep: Iterable[str] = (),
    rising: Iterable[str] = (),
) -> Executable:
    """Return an upsert that a smaller ``seq`` loses; ``rising`` columns never fall."""
    names = [column.name for column in stage.c]
    into = insert_into(target).from_select(names, select(*stage.c).where(true()))
    return _on_conflict(into, target, {*keep}, {*rising}, names)


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
    stage = _stage(_CURSORS, CursorRow, expected=Text())
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
            updated_at_ms=bindparam("now_ms"),
        )
    )
    return Step(stage, move)


def _deduction_step(insert_into: _Insert) -> Step:
    target = table_of(models.Deduction)
    stage = _stage(target, batch.DeductionRow, seq=_BALANCES.c.seq.type)
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
    return Step(stage, insert_into(target).from_select(names, rows).on_conflict_do_nothing())


def _slot_step(insert_into: _Insert) -> Step:
    stage = _stage(_SLOTS, batch.SlotRow, certain=Boolean())
    names = [column.name for column in _SLOTS.c]
    same = and_(
        _BALANCES.c.internal_id == stage.c.internal_id, _BALANCES.c.id == stage.c.balance_id
    )
    per_entity = or_(stage.c.certain, _BALANCES.c.kind == Kind.PER_ENTITY.value)
    known = stage.outerjoin(_BALANCES, same)
    rows = select(*(stage.c[name] for name in names)).select_from(known).where(per_entity)
    into = insert_into(_SLOTS).from_select(names, rows)
    return Step(stage, _on_conflict(into, _SLOTS, set(), set(), names))


def _customer_step(insert_into: _Insert) -> Step:
    stage = _stage(_CUSTOMERS, batch.CustomerRow)
    rising = {"counter", "number_max", "applied_ms"}
    return Step(stage, _upsert(insert_into, stage, _CUSTOMERS, rising=rising))


def _customer_change_step() -> Step:
    stage = _stage(_CUSTOMERS, batch.CustomerChange)
    change = (
        update(_CUSTOMERS)
        .where(_CUSTOMERS.c.internal_id == stage.c.internal_id, _CUSTOMERS.c.seq < stage.c.seq)
        .values(
            deleted_at=func.coalesce(stage.c.deleted_at, _CUSTOMERS.c.deleted_at),
            seq=stage.c.seq,
            counter=_higher(stage.c.counter, _CUSTOMERS.c.counter),
            number_max=_higher(stage.c.number_max, _CUSTOMERS.c.number_max),
            applied_ms=_higher(stage.c.applied_ms, _CUSTOMERS.c.applied_ms),
        )
    )
    return Step(stage, change)


def _balance_change_step() -> Step:
    stage = _stage(_BALANCES, batch.BalanceChange)
    changed = ("used", "period", "due_ms", "ended_at")
    text_of_row = stage.c.line.is_not(None)
    change = (
        update(_BALANCES)
        .where(
            _BALANCES.c.internal_id == stage.c.internal_id,
            _BALANCES.c.id == stage.c.id,
            _BALANCES.c.seq < stage.c.seq,
        )
        .values(
            {name: func.coalesce(stage.c[name], _BALANCES.c[name]) for name in changed}
            | {
                name: case((text_of_row, stage.c[name]), else_=_BALANCES.c[name])
                for name in batch.BalanceChange._field_defaults
            }
            | {"seq": stage.c.seq}
        )
    )
    return Step(stage, change)


def _lock_end_step() -> Step:
    stage = _stage(_LOCKS, batch.LockEnd)
    changed = ("state", "units", "ended_at", "seq")
    of_lock = [_LOCKS.c.lock_id == stage.c.lock_id, *_ended(_LOCKS, stage)]
    change = update(_LOCKS).where(*of_lock).values({name: stage.c[name] for name in changed})
    return Step(stage, change)


def _entity_end_step() -> Step:
    stage = _stage(_ENTITIES, batch.EntityEnd, at_ms=_CURSORS.c.updated_at_ms.type)
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
    stage = _stage(_CUSTOMERS, batch.CustomerEnd, at_ms=_CURSORS.c.updated_at_ms.type)
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
    live = [*_ended(table, stage), table.c.status != _EXPIRED]
    ended_at = func.coalesce(table.c.ended_at, stage.c.at_ms)
    values = {"status": _EXPIRED, "ended_at": ended_at, "due_at": None}
    return update(table).where(*live, *where).values(values)


def _end_entities(stage: Table, *where: ColumnElement[bool]) -> Executable:
    live = [*_ended(_ENTITIES, stage), _ENTITIES.c.deleted_at.is_(None)]
    return update(_ENTITIES).where(*live, *where).values(deleted_at=stage.c.at_ms)


STEPS = {name: _steps(insert_into) for name, insert_into in INSERTS.items()}
