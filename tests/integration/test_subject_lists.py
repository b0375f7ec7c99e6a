"""Lists of customers by age and by time of creation, on both engines."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import Engine
from sqlalchemy import event as hooks

from gateway.errors import InvalidCursorError
from gateway.ports import EventQuery, ListQuery, Reader
from tests.integration.carrying import carry
from tests.unit.persistence.entries import BASE_MS, History, customer, entity

NAMES = ["ann", "bob", "cy", "dot", "eve"]
"""Two were created in each millisecond from ``BASE_MS`` on, and the last one alone."""


@pytest.fixture
def reader(engine: Engine, reader: Reader) -> Reader:
    history = History()
    for number, name in enumerate(NAMES):
        created = BASE_MS + number // 2
        history.add(
            customer(created_at=created), entity(), customer_id=name, internal_id=f"cus_{name}"
        )
    carry(engine, history)
    return reader


async def _listed(reader: Reader, **asked: Any) -> list[str]:  # noqa: ANN401 - fields of a query
    """Return the customers of all pages of two."""
    query = ListQuery(env="sandbox", limit=2, **asked)
    page = await reader.list_customers(query)
    names = [name for name, _ in page.items]
    while page.next_cursor is not None:
        page = await reader.list_customers(structs.replace(query, cursor=page.next_cursor))
        names += [name for name, _ in page.items]
    counted = await reader.list_customers(structs.replace(query, offset=0))
    assert counted.total == len(names)
    return names


async def test_one_order_is_the_other_backwards(reader: Reader) -> None:
    assert await _listed(reader, oldest_first=True) == NAMES
    assert await _listed(reader) == NAMES[::-1]
    last = ListQuery(env="sandbox", limit=2, offset=4, oldest_first=True)
    assert await reader.list_customers(last) == ([("eve", "")], None, 5)


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (0, None, NAMES),
        (1, None, NAMES[2:]),
        (None, 0, NAMES[:2]),
        (0, 1, NAMES[:4]),
        (2, 2, NAMES[4:]),
        (3, None, []),
        (None, -1, []),
    ],
)
async def test_both_ends_of_a_range_are_in_it(
    reader: Reader, first: int | None, last: int | None, found: list[str]
) -> None:
    created = tuple(end if end is None else BASE_MS + end for end in (first, last))
    assert await _listed(reader, created=created, oldest_first=True) == found
    assert await _listed(reader, created=created) == found[::-1]


async def test_a_cursor_goes_on_in_its_own_order_only(reader: Reader) -> None:
    for oldest_first in (False, True):
        query = ListQuery(env="sandbox", limit=2, oldest_first=oldest_first)
        cursor = (await reader.list_customers(query)).next_cursor
        assert cursor is not None
        turned = ListQuery(env="sandbox", limit=2, oldest_first=not oldest_first, cursor=cursor)
        with pytest.raises(InvalidCursorError):
            await reader.list_customers(turned)


async def test_nobody_has_a_payment_processor(reader: Reader) -> None:
    query = ListQuery(env="sandbox", limit=2, offset=0, processors=("stripe", "vercel"))
    assert await reader.list_customers(query) == ([], None, 0)
    assert await reader.list_entities(query) == ([], None, 0)
    with pytest.raises(InvalidCursorError):
        await reader.list_customers(structs.replace(query, cursor="?"))


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("created", [(None, None), (BASE_MS, None), (BASE_MS, BASE_MS + 9)])
async def test_an_index_gives_a_page_in_its_order(
    engine: Engine, reader: Reader, *, oldest_first: bool, created: tuple[int | None, int | None]
) -> None:
    query = ListQuery(env="sandbox", limit=2, created=created, oldest_first=oldest_first)
    pages: list[str] = []
    counts: list[str] = []

    @hooks.listens_for(engine, "before_cursor_execute")
    def explain(*call: Any) -> None:  # noqa: ANN401 - a hook of the driver
        connection, _, statement, parameters = call[:4]
        if not statement.startswith("SELECT"):
            return
        cursor = connection.connection.dbapi_connection.cursor()
        if engine.dialect.name == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        else:
            # The table is small here, and a small table is read whole and sorted.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(str(line[-1]) for line in cursor.fetchall())
        (pages if "LIMIT" in statement else counts).append(plan)

    page = await reader.list_customers(query)
    await reader.list_customers(structs.replace(query, cursor=page.next_cursor))
    await reader.list_customers(structs.replace(query, offset=2))

    assert (len(pages), len(counts)) == (3, 1)
    assert all("ix_customers_newest" in plan for plan in pages), pages
    assert not any("Sort" in plan or "TEMP B-TREE" in plan for plan in pages), pages
    assert not any("Seq Scan" in plan or "SCAN" in plan for plan in pages + counts), counts


@pytest.mark.parametrize("offset", [None, 0])
async def test_only_a_page_by_offset_counts_what_there_is(
    engine: Engine, reader: Reader, offset: int | None
) -> None:
    """To count costs as much as there is; a page by cursor costs what is on it."""
    asked: list[str] = []

    @hooks.listens_for(engine, "before_cursor_execute")
    def note(*call: Any) -> None:  # noqa: ANN401 - a hook of the driver
        asked.append(call[2])

    query = ListQuery(env="sandbox", limit=2, offset=offset)
    customers = await reader.list_customers(query)
    entities = await reader.list_entities(query)
    events = await reader.list_events(EventQuery(env="sandbox", limit=2, offset=offset))

    assert len(customers.items) == len(entities.items) == 2
    if offset is None:
        assert (customers.total, entities.total, events.total) == (None, None, None)
        assert not [one for one in asked if "count(" in one]
    else:
        assert (customers.total, entities.total, events.total) == (5, 5, 0)
