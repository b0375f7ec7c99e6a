"""How the rows of a list reach a table: each way once, for both SQL engines.

``Step`` merges all of them by one statement that reads them as a small table, and both engines run
the same one. On PostgreSQL that table is made of an array for each column: rows and statement
travel together, and those of a whole batch at once (``database.batch_transaction``). SQLite fills a
temporary table by one prepared insert. Two ways are SQLite's alone and cost it less: ``BlockStep``
has some dozens of rows in the text of its insert, and ``RowStep`` runs one prepared update for
each row.

Cost on PostgreSQL: a message for each list of a batch that has rows, and no round trip of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    MetaData,
    Numeric,
    Table,
    delete,
    select,
)
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from persistence.dialects import SPELLERS

Rows = Sequence[tuple[Any, ...]]
RowClass = Any
"""A NamedTuple whose fields are columns."""

_STAGES = "stages"
"""Under this name a connection keeps which temporary tables it has."""

_BARE = (Integer, Numeric, Boolean)
"""Types whose values need no quotes in an array."""

_BLOCKS = (64, 8, 1)
"""Rows of a statement: as many as there are, of the largest first. Four times as many cost no less,
and SQLite takes no more than 32,766 parameters."""

_DIVISION_BY_ZERO = "22012"


class RowMissedError(Exception):
    """A row did not find the one it was to change."""


class Runs(Protocol):
    """A way of rows into SQL."""

    def run(self, connection: Connection, rows: Rows) -> None:
        """Carry rows. What PostgreSQL has against them may be told when the transaction ends."""


def stage_of(target: Table, row: RowClass, **others: TypeEngine[Any]) -> Table:
    """Return the small table of a row class; ``others`` are columns the target has not."""
    types = {column.name: column.type for column in target.c} | others
    return Table(
        f"stage_{row.__name__.lower()}",
        MetaData(),
        *(Column(name, types[name], nullable=True) for name in row._fields),
        prefixes=["TEMPORARY"],
    )


@contextmanager
def forgetting_stages(connection: Connection) -> Iterator[None]:
    """Take no temporary table for granted after a fault: a rollback takes those it made along."""
    kept = connection.info  # A connection that was lost gives nothing away any more.
    try:
        yield
    except BaseException:
        kept.pop(_STAGES, None)
        raise


def is_missed_row(error: Exception) -> bool:
    """Whether an ``is_exact`` step found that a row is missed."""
    found = getattr(error, "orig", None) or error
    is_division = getattr(found, "sqlstate", None) == _DIVISION_BY_ZERO
    return is_division or isinstance(found, RowMissedError)


class Step:
    """A small table and the statements that merge it.

    On PostgreSQL the statements are parts of one and see the tables as they were before it, so no
    two of them may change the same rows. ``is_exact`` fails unless there is one merge and it
    touches as many rows as there are. What ``unless`` holds for is left out before the first merge.
    """

    def __init__(
        self,
        stage: Table,
        *merges: Executable,
        is_exact: bool = False,
        unless: ColumnElement[bool] | None = None,
    ) -> None:
        self._stage = stage
        self._merges = merges
        self._is_exact = is_exact
        self._unless = unless
        self._create = CreateTable(stage, if_not_exists=True)
        self._empty = delete(stage)
        self._bare = [isinstance(column.type, _BARE) for column in stage.c]

    def run(self, connection: Connection, rows: Rows) -> None:
        """Merge rows."""
        if rows and connection.dialect.name == "postgresql":
            arrays = map(_array, zip(*rows, strict=True), self._bare)
            send(connection, self._statement, *arrays)
        elif rows:
            self._run_in_sqlite(connection, rows)

    def _run_in_sqlite(self, connection: Connection, rows: Rows) -> None:
        stages = connection.info.setdefault(_STAGES, set())
        if self._stage.name not in stages:
            connection.execute(self._create)
            stages.add(self._stage.name)
        connection.execute(self._empty)  # SQLite has no ON COMMIT DELETE ROWS.
        connection.exec_driver_sql(self._fill, list(rows))
        if self._unless is not None:
            connection.execute(self._empty.where(self._unless))
        for merge in self._merges:
            touched = connection.execute(merge).rowcount
            if self._is_exact and touched != len(rows):
                raise RowMissedError

    @cached_property
    def _fill(self) -> str:
        return f"INSERT INTO {self._stage.name} VALUES {_marks(self._stage)}"  # noqa: S608 - names of our own tables

    @cached_property
    def _statement(self) -> str:
        """What PostgreSQL runs; its parameters are the columns, each as one array."""
        dialect = SPELLERS["postgresql"]
        spell = dialect.identifier_preparer.quote
        columns = self._stage.c
        names = ", ".join(spell(column.name) for column in columns)
        types = [column.type.compile(dialect=dialect) for column in columns]
        # Not in FROM, where each array would be kept as a table of its own before the first row.
        arrays = ", ".join(f"unnest(${number}::{one}[])" for number, one in enumerate(types, 1))
        *others, last = [_text(merge, "postgresql") for merge in self._merges]
        parts = [f"merge_{number} AS ({one})" for number, one in enumerate(others)]
        name = spell(self._stage.name)
        if self._is_exact:
            # Nothing else makes a statement fail for what it did not find. The server then leaves
            # out all that was sent after it.
            parts.append(f"touched AS ({last} RETURNING 1)")
            last = f"SELECT 1 / (count(*) = (SELECT count(*) FROM {name}))::int FROM touched"  # noqa: S608 - names of our own tables
        rows = f"SELECT {arrays}"
        if self._unless is not None:
            left = select(self._stage).where(~self._unless)
            rows = f"WITH {name} ({names}) AS ({rows}) {_text(left, 'postgresql')}"
        stage = f"{name} ({names}) AS ({rows})"
        return f"WITH {', '.join([stage, *parts])} {last}"


class BlockStep:
    """Inserts of SQLite that have their small table in themselves, each a part of the rows.

    To begin and end a statement costs SQLite a third of what a row does. The insert may look at
    other tables, and no two rows at the same of its own.
    """

    def __init__(self, stage: Table, merge: Any) -> None:  # noqa: ANN401 - an insert of either kind
        spell = SPELLERS["sqlite"].identifier_preparer.quote
        names = ", ".join(spell(column.name) for column in stage.c)
        # With OR FAIL, SQLite keeps no copy of each page for the case that it has to take back the
        # statement alone: a fault ends the transaction here.
        into, select_, rest = _text(merge.prefix_with("OR FAIL"), "sqlite").partition("SELECT ")
        row = _marks(stage)
        # The driver runs what begins with INSERT for many rows at once, and nothing with WITH.
        self._texts = {
            size: f"{into}WITH {stage.name} ({names}) AS (VALUES {', '.join([row] * size)}) "
            + select_
            + rest
            for size in _BLOCKS
        }

    def run(self, connection: Connection, rows: Rows) -> None:
        """Run the insert for all rows."""
        at = 0
        for size, text in self._texts.items():
            end = at + (len(rows) - at) // size * size
            if end > at:
                starts = range(at, end, size)
                blocks = [tuple(chain.from_iterable(rows[one : one + size])) for one in starts]
                connection.exec_driver_sql(text, blocks)
                at = end


class RowStep:
    """One statement of SQLite for each row, whose columns are its parameters by number."""

    def __init__(self, statement: Executable) -> None:
        self._text = _text(statement, "sqlite")

    def run(self, connection: Connection, rows: Rows) -> None:
        """Run the statement for each row."""
        if rows:
            connection.exec_driver_sql(self._text, list(rows))


def send(connection: Connection, statement: str, *parameters: str) -> None:
    """Run a statement of PostgreSQL, prepared once it has come a few times.

    By the driver itself: the way through SQLAlchemy costs more than a small batch.
    """
    driver: Any = connection.connection.driver_connection
    loaded: Any = connection.dialect.loaded_dbapi
    loaded.RawCursor(driver).execute(statement.encode(), parameters)


def _text(statement: Any, dialect: str) -> str:  # noqa: ANN401 - anything that compiles
    literal = {"literal_binds": True}
    return str(statement.compile(dialect=SPELLERS[dialect], compile_kwargs=literal))


def _marks(stage: Table) -> str:
    return f"({', '.join('?' * len(stage.c))})"


def _array(values: Sequence[Any], is_bare: bool) -> str:  # noqa: FBT001 - mapped over columns
    """Return a column as PostgreSQL reads it."""
    if is_bare:
        return f"{{{','.join(map(str, values)).replace('None', 'NULL')}}}"
    try:
        text = '","'.join(values)
    except TypeError:  # One of them is None, or bytes.
        return f"{{{','.join(map(_element, values))}}}"
    # The quotes between the values are no others: nothing in them needs an escape.
    if "\\" in text or text.count('"') != 2 * (len(values) - 1):
        return f"{{{','.join(map(_element, values))}}}"
    return f'{{"{text}"}}'


def _element(value: str | bytes | None) -> str:
    if value is None:
        return "NULL"
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else value
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
