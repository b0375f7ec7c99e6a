"""Questions over the driver itself, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, column, func, insert, literal, select, table

from gateway.errors import UnavailableError
from persistence.database import (
    Database,
    EngineOptions,
    make_engine,
    read_transaction,
    write_transaction,
)
from persistence.models import Cursor
from persistence.questions import Question

_REACHED = select(Cursor.partition, Cursor.stream_id).order_by(Cursor.partition)
_CURSOR = {"updated_at_ms": 0, "applied": 0, "owner": "", "epoch": 0, "seen_id": "0-0"}

_NUMBERS = select(literal(1).label("n")).cte(recursive=True)
_ENDLESS = select(func.count()).select_from(_NUMBERS.union_all(select(_NUMBERS.c.n + 0)))


@pytest.fixture
def database(database_url: str) -> Database:
    engine = make_engine(database_url, EngineOptions(statement_timeout_ms=200))
    rows = [{"partition": at, "stream_id": f"{at}-0"} | _CURSOR for at in range(3)]
    with write_transaction(engine) as connection:
        connection.execute(insert(Cursor), rows)
    return Database(engine, threads=1, answer_ms=None)


async def test_a_question_is_answered_as_in_a_transaction(database: Database) -> None:
    question = Question(_REACHED)
    with read_transaction(database.engine) as connection:
        expected = [tuple(row) for row in connection.execute(_REACHED)]
    assert await database.run(question.rows) == expected == [(0, "0-0"), (1, "1-0"), (2, "2-0")]
    await database.close()


async def test_a_question_sees_what_was_written_since(database: Database) -> None:
    question = Question(_REACHED)
    before = await database.run(question.rows)
    with write_transaction(database.engine) as connection:
        connection.execute(insert(Cursor), {"partition": 9, "stream_id": "9-0"} | _CURSOR)
    assert await database.run(question.rows) == [*before, (9, "9-0")]
    await database.close()


async def test_values_go_where_they_belong(database: Database) -> None:
    above, below = (Cursor.partition > bindparam("low")), (Cursor.partition < bindparam("high"))
    question = Question(select(Cursor.stream_id).where(below, above, Cursor.owner == ""))
    assert question.rows(database.engine, low=0, high=2) == [("1-0",)]
    assert question.rows(database.engine, low=1, high=3) == [("2-0",)]
    await database.close()


async def test_a_question_that_takes_too_long_ends_and_says_so(database: Database) -> None:
    with pytest.raises(UnavailableError, match="SQL took longer than a statement may; try again"):
        await database.run(Question(_ENDLESS).rows)
    assert len(await database.run(Question(_REACHED).rows)) == 3
    await database.close()


async def test_a_question_about_a_table_that_is_not_there_is_a_fault_of_sql(
    database: Database,
) -> None:
    nowhere = Question(select(column("a")).select_from(table("nowhere")))
    with pytest.raises(UnavailableError, match="SQL is unavailable; try again"):
        await database.run(nowhere.rows)
    assert len(await database.run(Question(_REACHED).rows)) == 3
    await database.close()


async def test_a_question_to_nobody_is_a_fault_of_sql() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", EngineOptions())
    database = Database(engine, threads=1, answer_ms=None)
    with pytest.raises(UnavailableError, match="SQL is unavailable; try again"):
        await database.run(Question(_REACHED).rows)
    await database.close()
