"""Customers read back from SQL: those asked for at once are read together, each as it is alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from gateway.errors import UnavailableError
from gateway.stream_ids import BEGINNING
from persistence.database import Database
from persistence.reads.images import TOGETHER, Images, Wanted
from persistence.sync import store
from persistence.sync.fold import fold
from tests.unit.persistence.entries import (
    BASE_MS,
    History,
    customer,
    deduct,
    entity,
    lock,
    row,
    subscription,
    window,
)
from tests.waiting import until

STATEMENTS = 8
"""Cursors, customers, and the six lists of what those hold."""

NAMES = [f"cus_{number}" for number in range(2 * TOGETHER)]


@pytest.fixture
async def database(engine: Engine) -> AsyncIterator[Database]:
    made = Database(engine, threads=2, answer_ms=5_000)
    yield made
    await made.close()


@pytest.fixture
def stocked(engine: Engine) -> str:
    """Customers that hold some of everything; returns the cursor of their partition."""
    history = History()
    for number, name in enumerate(NAMES):
        fields: Any = {"customer_id": name, "internal_id": f"int_{name}"}
        lines = [customer(name), row("shared", used=number)]
        if number % 2:
            lines += [entity("seat_2", 2), entity("seat_1", 1), window(number, 900)]
            lines += [row("held", entity="seat_1", used=number), subscription(f"sub_{name}")]
            lines.append(lock(f"lock_{name}"))
        history.add(*lines, **fields)
        history.add(deduct("shared", used=number + 1, total=number + 1), **fields)
    expected = store.open_cursors(engine, [history.partition])
    batch = fold(history.entries)
    store.apply(engine, batch, expected=expected, now_ms=BASE_MS)
    return batch.cursors[0].stream_id


@pytest.fixture
def statements(engine: Engine) -> Iterator[list[str]]:
    """What SQL was asked."""
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("SELECT"):
            asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


async def test_each_of_many_is_what_it_is_alone(
    database: Database, stocked: str, statements: list[str]
) -> None:
    alone = [await Images(database).load(Wanted("sandbox", name, 7)) for name in NAMES]
    assert len(statements) == STATEMENTS * len(NAMES)
    statements.clear()
    loader = Images(database)
    together = await asyncio.gather(*(loader.load(Wanted("sandbox", one, 7)) for one in NAMES))
    assert together == alone
    assert len(statements) == 2 * STATEMENTS
    for number, (name, (cursor, image)) in enumerate(zip(NAMES, together, strict=True)):
        assert cursor == stocked
        assert image is not None
        assert (image.customer_id, image.rows[0].used) == (name, number + 1)
        assert [one.entity_id for one in image.entities] == ["seat_1", "seat_2"] * (number % 2)
        assert [one.lock_id for one in image.locks] == [f"lock_{name}"] * (number % 2)
        assert [one.used for one in image.windows] == [number] * (number % 2)
        assert len(image.subscriptions) == number % 2
        assert len(image.rows) == 1 + number % 2


async def test_who_is_not_there_has_the_cursor_of_its_partition(
    database: Database, stocked: str
) -> None:
    loader = Images(database)
    asked = [
        Wanted("sandbox", "nobody", 7),
        Wanted("live", NAMES[0], 7),
        Wanted("sandbox", NAMES[0], 8),
        Wanted("sandbox", NAMES[0], 7),
    ]
    found = await asyncio.gather(*map(loader.load, asked))
    assert [one.cursor for one in found] == [stocked, stocked, BEGINNING, stocked]
    assert [one.customer is None for one in found] == [True, True, False, False]


async def test_a_fault_reaches_everybody_who_asked_and_nobody_after(
    database: Database, stocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = Images(database)

    async def failing(_: object) -> None:
        raise UnavailableError("SQL is away")

    with monkeypatch.context() as patched:
        patched.setattr(database, "run", failing)
        asked = (loader.load(Wanted("sandbox", name, 7)) for name in NAMES)
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in told] == [UnavailableError] * len(NAMES)
    assert (await loader.load(Wanted("sandbox", NAMES[0], 7))).cursor == stocked


async def test_who_waits_for_a_round_that_sql_does_not_answer_waits_for_no_other(
    database: Database, stocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ends = asyncio.Event(), asyncio.Event()
    loader = Images(database)
    rounds: list[object] = []

    async def hanging(work: object) -> None:
        rounds.append(work)
        began.set()
        await ends.wait()
        raise UnavailableError("SQL did not answer in time")

    with monkeypatch.context() as patched:
        patched.setattr(database, "run", hanging)
        first = asyncio.create_task(loader.load(Wanted("sandbox", NAMES[0], 7)))
        await began.wait()
        late = [asyncio.create_task(loader.load(Wanted("sandbox", one, 7))) for one in NAMES]
        await until(lambda: len(loader._waiting) == len(NAMES))  # noqa: SLF001 - no public way
        ends.set()
        told = await asyncio.gather(first, *late, return_exceptions=True)
    assert [type(one) for one in told] == [UnavailableError] * (1 + len(NAMES))
    assert len(rounds) == 1
    assert (await loader.load(Wanted("sandbox", NAMES[0], 7))).cursor == stocked


async def test_who_leaves_takes_nothing_from_the_others(
    database: Database, stocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()
    run: Callable[..., Awaitable[object]] = database.run

    async def held(work: object) -> object:
        began.set()
        await goes_on.wait()
        return await run(work)

    monkeypatch.setattr(database, "run", held)
    loader = Images(database)
    calls = [
        asyncio.create_task(loader.load(Wanted("sandbox", name, 7))) for name in NAMES[:TOGETHER]
    ]
    await began.wait()
    calls[0].cancel()
    late = asyncio.create_task(loader.load(Wanted("sandbox", NAMES[-1], 7)))
    goes_on.set()
    told = await asyncio.gather(*calls, late, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert [one.cursor for one in told[1:] if not isinstance(one, BaseException)] == [stocked] * (
        TOGETHER
    )
