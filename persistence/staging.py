"""How the rows of a list reach a table: each way once, for both SQL engines.

``Step`` takes them through a temporary table, filled by COPY on PostgreSQL and by one prepared
insert on SQLite, so that one statement merges all of them and both engines run the same one.
``RowStep`` runs one prepared statement for each row, which on SQLite costs less where no merge has
to look at other tables. ``CopyStep`` is COPY into the table itself, for PostgreSQL: nothing is
faster, but a row that is there already makes it fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Column, Connection, Executable, MetaData, Table, delete, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

Rows = Sequence[tuple[Any, ...]]
RowClass = Any
"""A NamedTuple whose fields are columns."""

_STAGES = "stages"
"""Under this name a connection keeps which temporary tables it has."""


class Runs(Protocol):
    """A way of rows into SQL."""

    def run(self, connection: Connection, rows: Rows) -> int:
        """Carry rows; return how many rows the last statement touched."""


def stage_of(target: Table, row: RowClass, **others: TypeEngine[Any]) -> Table:
    """Return the temporary table of a row class; ``others`` are columns the target has not."""
    types = {column.name: column.type for column in target.c} | others
    return Table(
        f"stage_{row.__name__.lower()}",
        MetaData(),
        *(Column(name, types[name], nullable=True) for name in row._fields),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
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


class Step:
    """A temporary table and the statements that merge it."""

    def __init__(self, stage: Table, *merges: Executable) -> None:
        self._merges = merges
        self._name = stage.name
        self._create = CreateTable(stage, if_not_exists=True)
        self._empty = delete(stage)
        self._fill = _sqlite_text(insert(stage))
        self._copy = _copy_of(stage.name, [column.name for column in stage.c])

    def run(self, connection: Connection, rows: Rows) -> int:
        """Merge rows; return how many rows the last statement touched."""
        if not rows:
            return 0
        stages = connection.info.setdefault(_STAGES, set())
        if self._name not in stages:
            connection.execute(self._create)
            stages.add(self._name)
        if connection.dialect.name == "postgresql":
            _copy_in(connection, self._copy, rows)
        else:
            connection.execute(self._empty)  # SQLite has no ON COMMIT DELETE ROWS.
            connection.exec_driver_sql(self._fill, list(rows))
        touched = 0
        for merge in self._merges:
            touched = connection.execute(merge).rowcount
        return touched


class RowStep:
    """One statement of SQLite for each row, whose columns are its parameters by number."""

    def __init__(self, statement: ClauseElement) -> None:
        self._text = _sqlite_text(statement)

    def run(self, connection: Connection, rows: Rows) -> int:
        """Run the statement for each row; return how many rows were touched."""
        return connection.exec_driver_sql(self._text, list(rows)).rowcount if rows else 0


class CopyStep:
    """COPY into a table of PostgreSQL."""

    def __init__(self, target: Table, row: RowClass) -> None:
        self._copy = _copy_of(target.name, row._fields)

    def run(self, connection: Connection, rows: Rows) -> int:
        """Add rows; a row that is there fails all of them."""
        if rows:
            _copy_in(connection, self._copy, rows)
        return len(rows)


def _sqlite_text(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


def _copy_of(table: str, names: Sequence[str]) -> bytes:
    return f"COPY {table} ({', '.join(names)}) FROM STDIN".encode()


def _copy_in(connection: Connection, statement: bytes, rows: Rows) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        write = copy.write_row
        for row in rows:
            write(row)
