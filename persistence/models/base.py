"""What all tables share: names of constraints, and the SQL type of each Python type.

A table is written as a class with an annotation for each column, which mypy reads too; it says also
whether the column holds amounts. A table is made of SQLAlchemy's core alone: nothing here keeps
objects in step with rows, and the mapper that would is a sixth of what a process costs to start.
"""

from __future__ import annotations

import inspect
from datetime import date
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_origin

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnClause,
    Date,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

Field = ColumnClause
"""What annotates a column. It is a ``Column``, which is typed as one in a table alone."""


class Amounts(Enum):
    """Which amounts a column holds. They are units of a feature and change with its precision."""

    ONE = 1
    """One, of the feature that ``feature_id`` of the row names."""
    PART = 2
    """A part of the sum of several (``persistence.models.reports``), of that feature too."""
    INSIDE = 3
    """Any number, somewhere in a text, of whichever features that names."""


Units = Annotated[int, Amounts.ONE]
UnitsPart = Annotated[int, Amounts.PART]
UnitsText = Annotated[str, Amounts.INSIDE]

AMOUNTS = "amounts"
"""Where ``info`` of a column has its ``Amounts``, if it has any."""

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_TYPES: dict[Any, TypeEngine[Any]] = {
    int: BigInteger(),
    str: Text(),
    bool: Boolean(),
    bytes: LargeBinary(),
    date: Date(),
    list[str]: JSON(),
}


class _More(NamedTuple):
    items: tuple[SchemaItem, ...]
    options: dict[str, Any]


_PLAIN = _More((), {})


class _Conditional(NamedTuple):
    name: str
    columns: tuple[str, ...]
    where: TextClause
    unique: bool


def column(*items: SchemaItem, **options: Any) -> Any:  # noqa: ANN401 - a column in the end
    """Return what SQL has to know of a column beyond its name and its type."""
    return _More(items, options)


def conditional(name: str, *columns: str, where: TextClause, unique: bool = False) -> Any:  # noqa: ANN401
    """Return an index of the rows that meet a condition."""
    return _Conditional(name, columns, where, unique)


_CONDITIONAL: list[tuple[Table, _Conditional]] = []


@cache
def whole_metadata() -> MetaData:
    """Return all there is to know of the tables, for who compares them with a database.

    That is the conditional indexes too. To make one, SQLAlchemy loads the parts of both SQL
    engines, and to read and write rows takes no index.
    """
    for table, index in _CONDITIONAL:
        columns = [table.c[name] for name in index.columns]
        where = index.where
        Index(index.name, *columns, unique=index.unique, sqlite_where=where, postgresql_where=where)
    return Base.metadata


class Base:
    """The class of every table: its columns are attributes, and it stands for the table in SQL."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=_NAMES)
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[Any, ...]] = ()
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        columns = {
            name: _column(name, annotation, cls.__dict__.get(name, _PLAIN))
            for name, annotation in inspect.get_annotations(cls, eval_str=True).items()
        }
        later = [one for one in cls.__table_args__ if isinstance(one, _Conditional)]
        items = [one for one in cls.__table_args__ if not isinstance(one, _Conditional)]
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns.values(), *items)
        _CONDITIONAL.extend((cls.__table__, one) for one in later)
        for name, made in columns.items():
            setattr(cls, name, made)

    @classmethod
    def __clause_element__(cls) -> Table:
        """Return what SQLAlchemy takes where a table is asked for."""
        return cls.__table__


def table_of(model: type[Base]) -> Table:
    """Return the table of a model."""
    return model.__table__


def _column(name: str, annotation: Any, more: _More) -> Column[Any]:  # noqa: ANN401 - a type
    """Return the column of an annotation such as ``Field[int | None]``."""
    (kind,) = get_args(annotation)
    kinds = get_args(kind) if type(None) in get_args(kind) else (kind,)
    found = next(one for one in kinds if one is not type(None))
    is_key = bool(more.options.get("primary_key"))
    nullable = len(kinds) > 1 and not is_key
    plain, mark = get_args(found) if get_origin(found) is Annotated else (found, None)
    info = {AMOUNTS: mark} if mark else {}
    return Column(name, _TYPES[plain], *more.items, nullable=nullable, info=info, **more.options)
