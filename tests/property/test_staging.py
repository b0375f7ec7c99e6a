"""Whatever stands in a column, PostgreSQL reads from its array."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from persistence.sync import staging

MARKS = ('"', "\\", '","', "{", "}", ",", "NULL", "null", "", " ", "\n", "\t", "'", "\U0001f600")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.lists(
    st.sampled_from(MARKS)
).map("".join)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "bytea": st.binary(),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False).map(Decimal),
    "boolean": st.booleans(),
}
BARE = {"bigint", "numeric", "boolean"}


def test_an_array_holds_what_was_put_in(migrated_postgres: str) -> None:
    engine = create_engine(migrated_postgres)
    try:
        for type_, values in COLUMNS.items():
            _check(engine, type_, values)
    finally:
        engine.dispose()


def _check(engine: Engine, type_: str, values: st.SearchStrategy[Any]) -> None:
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        loaded: Any = engine.dialect.loaded_dbapi
        cursor = loaded.RawCursor(driver)

        @settings(max_examples=50, deadline=None, suppress_health_check=[*HealthCheck])
        @given(st.lists(values, min_size=1) | st.lists(st.none() | values, min_size=1))
        def holds(column: list[Any]) -> None:
            text = staging._array(column, type_ in BARE)  # noqa: SLF001 - what is tested
            cursor.execute(f"SELECT $1::{type_}[]".encode(), (text,))
            assert cursor.fetchone() == (column,)

        holds()
