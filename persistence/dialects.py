"""What SQLAlchemy has for one SQL engine and not for the other; loaded for the one that is used.

PostgreSQL's part and its driver cost a process an eighth of its start, and most never see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Dialect, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    InsertInto = Callable[[Table], postgresql.Insert | sqlite.Insert]

_Made = TypeVar("_Made")


class ByDialect(dict[str, _Made]):
    """Something for each dialect by its name, made when it is first asked for."""

    def __init__(self, make: Callable[[str], _Made]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> _Made:
        made = self[name] = self._make(name)
        return made


def _insert_of(name: str) -> InsertInto:
    if name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - see above

        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

    return postgresql.insert


def _speller_of(name: str) -> Any:  # noqa: ANN401 - a dialect, whose makers are not typed
    if name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - see above

        return sqlite.dialect(paramstyle="qmark")
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

    return postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


INSERTS: ByDialect[InsertInto] = ByDialect(_insert_of)
"""An insert that may say what becomes of rows that are there."""

SPELLERS: ByDialect[Dialect] = ByDialect(_speller_of)
"""Dialects that spell a statement for the driver itself."""
