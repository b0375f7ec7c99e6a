"""Carry a batch into SQL: the only module that writes what came through the outbox.

One transaction moves the cursor of every partition in the batch by compare-and-set and then writes
the rows, a few statements for each table. Rows travel through temporary tables, filled by COPY on
PostgreSQL and by one prepared insert on SQLite, so that both engines run the same merge. It must
never move a cursor without the rows, never let a smaller ``seq`` win, and never read a clock.

Failure: Redis gone means nothing here. SQL gone at any point rolls the batch back, and the caller
applies it again from the cursor SQL shows. A crash leaves all of the batch or nothing of it; when
the answer to a commit is lost, the next compare-and-set finds out. A batch SQL refuses for what is
in it raises ``BatchRefusedError``: the fault is in an entry, and no waiting will cure it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    delete,
    exc,
    exists,
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

from gateway.errors import GatewayError, StartError, UnavailableError
from gateway.rows import Kind
from persistence import fold, models
from persistence.database import read_transaction, write_transaction
from persistence.stream_ids import BEGINNING


class CursorMovedError(GatewayError):
    """Another writer moved a cursor of the batch; nothing of it was written."""


class BatchRefusedError(GatewayError):
    """SQL refuses a value in the batch; nothing of it was written."""


_Insert = Callable[[Table], "postgresql.Insert | sqlite.Insert"]

_EXPIRED = "expired"


def apply(engine: Engine, batch: fold.Batch, *, expected: Mapping[int, str], now_ms: int) -> None:
    """Write a batch whose entries follow the ``expected`` cursors.

    Raises ``CursorMovedError``, ``BatchRefusedError`` or ``UnavailableError``; nothing was written
    then, except that a lost connection leaves it open whether the commit arrived.
    """
    steps = _STEPS[engine.dialect.name]
    with _named_faults(), write_transaction(engine) as connection:
        _move_cursors(connection, steps["cursors"], batch, expected, now_ms)
        for name, step in steps.items():
            if name != "cursors":
                step.run(connection, getattr(batch, name))


def open_cursors(engine: Engine, partitions: Iterable[int]) -> dict[int, str]:
    """Return the last applied stream id of each partition, and make sure that it has a row."""
    rows = [
        {"partition": at, "stream_id": BEGINNING, "updated_at_ms": 0, "applied": 0}
        for at in partitions
    ]
    statement = _INSERTS[engine.dialect.name](_CURSORS).on_conflict_do_nothing()
    with _named_faults(), write_transaction(engine) as connection:
        connection.execute(statement, rows)
        return read_cursors(connection, [row["partition"] for row in rows])


def read_cursors(connection: Connection, partitions: Sequence[object]) -> dict[int, str]:
    """Return the cursors that have a row."""
    cursors = _CURSORS.c
    statement = select(cursors.partition, cursors.stream_id)
    found = connection.execute(statement.where(cursors.partition.in_(partitions)))
    return dict(found.tuples().all())


def count_dead_letters(engine: Engine, partitions: Sequence[int]) -> int:
    """Return how many entries of these partitions were ever set aside."""
    letters = _DEAD_LETTERS
    statement = select(func.count()).where(letters.c.partition.in_(partitions))
    with _named_faults(), read_transaction(engine) as connection:
        return connection.scalars(statement.select_from(letters)).one()


def claim_installation(engine: Engine, partitions: int) -> None:
    """Keep the partition count at the first start; later raise ``StartError`` if it differs."""
    table = _table(models.Installation)
    with _named_faults(), write_transaction(engine) as connection:
        claim = _INSERTS[engine.dialect.name](table).values(id=1, partitions=partitions)
        connection.execute(claim.on_conflict_do_nothing())
        found = connection.scalars(select(table.c.partitions)).one()
    if found != partitions:
        raise StartError(f"SQL was set up with {found} partitions, not {partitions}")


@contextmanager
def _named_faults() -> Iterator[None]:
    try:
        yield
    except (
        exc.IntegrityError,
        exc.DataError,
        psycopg.IntegrityError,
        psycopg.DataError,
        OverflowError,  # SQLite's driver, for an integer above 64 bits.
    ) as error:
        raise BatchRefusedError(f"SQL refuses the batch: {_first_line(error)}") from error
    except (exc.DBAPIError, exc.TimeoutError, psycopg.Error) as error:
        raise UnavailableError(f"SQL is unavailable: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _move_cursors(
    connection: Connection,
    step: _Step,
    batch: fold.Batch,
    expected: Mapping[int, str],
    now_ms: int,
) -> None:
    if not batch.cursors:
        return
    rows = [(*move, expected.get(move.partition, BEGINNING)) for move in batch.cursors]
    if step.run(connection, rows, {"now_ms": now_ms}) != len(rows):
        raise CursorMovedError


def _table(model: type[models.Base]) -> Table:
    return models.Base.metadata.tables[model.__tablename__]


_CURSORS = _table(models.Cursor)
_CUSTOMERS = _table(models.Customer)
_ENTITIES = _table(models.Entity)
_SUBSCRIPTIONS = _table(models.Subscription)
_BALANCES = _table(models.Balance)
_SLOTS = _table(models.Slot)
_DEAD_LETTERS = _table(models.DeadLetter)

_INSERTS: dict[str, _Insert] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class _CursorRow(NamedTuple):
    partition: int
    stream_id: str
    applied: int
    expected: str


def _stage(target: Table, row: Any, **others: TypeEngine[Any]) -> Table:  # noqa: ANN401 - a class
    """Return the temporary table of a row class; ``others`` are columns the target has not."""
    types = {column.name: column.type for column in target.c} | others
    return Table(
        f"stage_{row.__name__.strip('_').lower()}",
        MetaData(),
        *(Column(name, types[name], nullable=True) for name in row._fields),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )


class _Step:
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


def _steps(insert_into: _Insert) -> dict[str, _Step]:
    """Return the steps in the order a batch needs, each named after its list in the batch.

    Ends come before the rows of the same batch: they concern what earlier batches wrote. Deductions
    and slots come before balances, because they ask for a balance as it was before the batch.
    """
    events = _stage(_table(models.Event), fold.EventRow)
    resets = _stage(_table(models.Reset), fold.ResetRow)
    letters = _stage(_DEAD_LETTERS, fold.DeadLetterRow)
    entities = _stage(_ENTITIES, fold.EntityRow)
    subscriptions = _stage(_SUBSCRIPTIONS, fold.SubscriptionRow)
    balances = _stage(_BALANCES, fold.BalanceRow)
    return {
        "cursors": _cursor_step(),
        "events": _Step(events, _insert_new(insert_into, events, _table(models.Event))),
        "deductions": _deduction_step(insert_into),
        "resets": _Step(resets, _insert_new(insert_into, resets, _table(models.Reset))),
        "entity_ends": _entity_end_step(),
        "customer_ends": _customer_end_step(),
        "slots": _slot_step(insert_into),
        # A deleted customer leaves its id to the next one before that one is inserted.
        "customer_changes": _customer_change_step(),
        "customers": _customer_step(insert_into),
        "balances": _Step(balances, _upsert(insert_into, balances, _BALANCES, {"created_at"})),
        "balance_changes": _balance_change_step(),
        "entities": _Step(entities, _upsert(insert_into, entities, _ENTITIES)),
        "subscriptions": _Step(subscriptions, _upsert(insert_into, subscriptions, _SUBSCRIPTIONS)),
        "dead_letters": _Step(letters, _insert_new(insert_into, letters, _DEAD_LETTERS)),
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


def _cursor_step() -> _Step:
    stage = _stage(_CURSORS, _CursorRow, expected=Text())
    move = (
        update(_CURSORS)
        .where(
            _CURSORS.c.partition == stage.c.partition,
            _CURSORS.c.stream_id == stage.c.expected,
        )
        .values(
            stream_id=stage.c.stream_id,
            applied=_CURSORS.c.applied + stage.c.applied,
            updated_at_ms=bindparam("now_ms"),
        )
    )
    return _Step(stage, move)


def _deduction_step(insert_into: _Insert) -> _Step:
    target = _table(models.Deduction)
    stage = _stage(target, fold.DeductionRow)
    known = (
        select(_BALANCES.c.due_ms)
        .where(
            _BALANCES.c.internal_id == stage.c.internal_id,
            _BALANCES.c.id == stage.c.balance_id,
            _BALANCES.c.period == stage.c.period,
        )
        .scalar_subquery()
    )
    columns: list[ColumnElement[Any]] = [
        func.nullif(func.coalesce(column, known), 0) if column.name == "resets_at" else column
        for column in stage.c
    ]
    names = [column.name for column in stage.c]
    rows = select(*columns).where(true())
    return _Step(stage, insert_into(target).from_select(names, rows).on_conflict_do_nothing())


def _slot_step(insert_into: _Insert) -> _Step:
    stage = _stage(_SLOTS, fold.SlotRow, certain=Boolean())
    names = [column.name for column in _SLOTS.c]
    per_entity = exists().where(
        _BALANCES.c.internal_id == stage.c.internal_id,
        _BALANCES.c.id == stage.c.balance_id,
        _BALANCES.c.kind == Kind.PER_ENTITY.value,
    )
    rows = select(*(stage.c[name] for name in names)).where(or_(stage.c.certain, per_entity))
    into = insert_into(_SLOTS).from_select(names, rows)
    return _Step(stage, _on_conflict(into, _SLOTS, set(), set(), names))


def _customer_step(insert_into: _Insert) -> _Step:
    stage = _stage(_CUSTOMERS, fold.CustomerRow)
    rising = {"counter", "number_max"}
    return _Step(stage, _upsert(insert_into, stage, _CUSTOMERS, rising=rising))


def _customer_change_step() -> _Step:
    stage = _stage(_CUSTOMERS, fold.CustomerChange)
    change = (
        update(_CUSTOMERS)
        .where(_CUSTOMERS.c.internal_id == stage.c.internal_id, _CUSTOMERS.c.seq < stage.c.seq)
        .values(
            deleted_at=func.coalesce(stage.c.deleted_at, _CUSTOMERS.c.deleted_at),
            seq=stage.c.seq,
            counter=_higher(stage.c.counter, _CUSTOMERS.c.counter),
            number_max=_higher(stage.c.number_max, _CUSTOMERS.c.number_max),
        )
    )
    return _Step(stage, change)


def _balance_change_step() -> _Step:
    stage = _stage(_BALANCES, fold.BalanceChange)
    changed = ("used", "period", "due_ms", "ended_at")
    change = (
        update(_BALANCES)
        .where(
            _BALANCES.c.internal_id == stage.c.internal_id,
            _BALANCES.c.id == stage.c.id,
            _BALANCES.c.seq < stage.c.seq,
        )
        .values(
            {name: func.coalesce(stage.c[name], _BALANCES.c[name]) for name in changed}
            | {"seq": stage.c.seq}
        )
    )
    return _Step(stage, change)


def _entity_end_step() -> _Step:
    stage = _stage(_ENTITIES, fold.EntityEnd, at_ms=_CURSORS.c.updated_at_ms.type)
    # By env as well, because the index of live entities begins with it.
    of_entity = [_ENTITIES.c.env == stage.c.env, _ENTITIES.c.entity_id == stage.c.entity_id]
    return _Step(
        stage,
        _delete_slots(stage, _SLOTS.c.entity_id == stage.c.entity_id),
        _end_balances(stage, _BALANCES.c.entity_id == stage.c.entity_id),
        _end_subscriptions(stage, _SUBSCRIPTIONS.c.entity_id == stage.c.entity_id),
        _end_entities(stage, *of_entity),
    )


def _customer_end_step() -> _Step:
    stage = _stage(_CUSTOMERS, fold.CustomerEnd, at_ms=_CURSORS.c.updated_at_ms.type)
    return _Step(
        stage,
        _delete_slots(stage),
        _end_balances(stage),
        _end_subscriptions(stage),
        _end_entities(stage),
    )


def _ended(table: Table, stage: Table) -> list[ColumnElement[bool]]:
    return [table.c.internal_id == stage.c.internal_id, table.c.seq < stage.c.seq]


def _delete_slots(stage: Table, *where: ColumnElement[bool]) -> Executable:
    # Found through the temporary table: a correlated EXISTS would walk every slot there is.
    found = select(*_SLOTS.primary_key).where(*_ended(_SLOTS, stage), *where)
    return delete(_SLOTS).where(tuple_(*_SLOTS.primary_key).in_(found.correlate(None)))


def _end_balances(stage: Table, *where: ColumnElement[bool]) -> Executable:
    live = [*_ended(_BALANCES, stage), _BALANCES.c.ended_at.is_(None)]
    return update(_BALANCES).where(*live, *where).values(ended_at=stage.c.at_ms)


def _end_subscriptions(stage: Table, *where: ColumnElement[bool]) -> Executable:
    table = _SUBSCRIPTIONS
    live = [*_ended(table, stage), table.c.status != _EXPIRED]
    ended_at = func.coalesce(table.c.ended_at, stage.c.at_ms)
    return update(table).where(*live, *where).values(status=_EXPIRED, ended_at=ended_at)


def _end_entities(stage: Table, *where: ColumnElement[bool]) -> Executable:
    live = [*_ended(_ENTITIES, stage), _ENTITIES.c.deleted_at.is_(None)]
    return update(_ENTITIES).where(*live, *where).values(deleted_at=stage.c.at_ms)


_STEPS = {name: _steps(insert_into) for name, insert_into in _INSERTS.items()}
