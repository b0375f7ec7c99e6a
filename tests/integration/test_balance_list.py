"""Which balances SQL lists, and that no page reads a whole table."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, text

from gateway.errors import InvalidCursorError
from gateway.listing import ACTIVE, EXPIRED, BalanceQuery, ListedEntity
from gateway.rows import Kind, RowDocument
from persistence.database import Database, EngineOptions, make_engine
from persistence.reads.balance_list import BalanceLists, page_of
from persistence.reads.pages import BalanceKey
from tests.integration.carrying import carry
from tests.unit.persistence.entries import (
    BASE_MS,
    History,
    customer,
    deduct,
    deleted_entity,
    ended,
    entity,
    row,
    subscription,
)


@pytest.fixture
async def lists(engine: Engine) -> AsyncIterator[BalanceLists]:
    database = Database(engine, threads=2, answer_ms=5_000)
    yield BalanceLists(database)
    await database.close()


def _query(**changes: object) -> BalanceQuery:
    return BalanceQuery(**{"env": "sandbox", "now_ms": BASE_MS, "limit": 9, **changes})  # type: ignore[arg-type]


async def test_a_per_entity_balance_is_one_row_or_one_slot(
    engine: Engine, lists: BalanceLists
) -> None:
    history = History()
    document = RowDocument(plan_id="team", subscription_id="sub_1")
    history.add(
        customer(),
        entity("seat_1", 1),
        entity("seat_2", 2),
        row("slots", kind=Kind.PER_ENTITY, document=document),
        row("slots~1~1", entity="seat_1", grant=7),
        row("flag", feature="sso", kind=Kind.FLAG),
        subscription("sub_1", "team"),
    )
    history.add(deduct("slots", 130, 130, total=130, entity="seat_1"))
    history.add(ended("slots"), subscription("sub_1", "team", status="expired"))
    carry(engine, history)
    assert (await lists.list_balances(_query())).items == []
    (one,) = (await lists.list_balances(_query(statuses=(EXPIRED,)))).items
    assert (one.entity_id, one.copies, one.used, one.over) == ("", 2, 130, 30)
    seat = ListedEntity("seat_2", "seats", BASE_MS)
    (one,) = (await lists.list_balances(_query(statuses=(EXPIRED,), entity=seat))).items
    assert (one.copies, one.used, one.over) == (1, 0, 0)


async def test_an_entity_has_nothing_of_an_earlier_one_with_its_id(
    engine: Engine, lists: BalanceLists
) -> None:
    history = History()
    document = RowDocument(plan_id="team", subscription_id="sub_1")
    history.add(
        customer(),
        entity("seat_1", 1),
        row("old", entity="seat_1", document=document),
        subscription("sub_1", "team", entity="seat_1"),
    )
    history.add(deleted_entity("seat_1"))
    history.add(entity("seat_1", 2, created_at=BASE_MS + 3), row("new", entity="seat_1"))
    carry(engine, history)
    both = (ACTIVE, EXPIRED)
    ids = [one.line.partition("\t")[0] for one in (await lists.list_balances(_query())).items]
    assert ids == ["new"]
    seat = ListedEntity("seat_1", "seats", BASE_MS + 3)
    found = (await lists.list_balances(_query(entity=seat, statuses=both))).items
    assert [one.line.partition("\t")[0] for one in found] == ["new"]
    found = (await lists.list_balances(_query(statuses=both))).items
    assert [one.status for one in found] == [EXPIRED, ACTIVE]


async def test_environments_are_apart_and_pages_join(engine: Engine, lists: BalanceLists) -> None:
    history = History()
    for number in range(3):
        owner = f"cus_{number}"
        created = customer(created_at=BASE_MS + number % 2)
        history.add(created, row("b"), row("a"), internal_id=owner, customer_id=owner)
    history.add(customer(), row("c"), env="live", customer_id="other", internal_id="cus_9")
    carry(engine, history)
    found: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await lists.list_balances(_query(limit=2, cursor=cursor))
        found += [(one.customer_id, one.line.partition("\t")[0]) for one in page.items]
        cursor = page.next_cursor
    order = ["cus_1", "cus_2", "cus_0"]
    assert found == [(owner, each) for owner in order for each in ("b", "a")]
    (live,) = (await lists.list_balances(_query(env="live"))).items
    assert live.customer_id == "other"
    with pytest.raises(InvalidCursorError):
        await lists.list_balances(_query(cursor="bm9uc2Vuc2U"))


def test_a_page_walks_customers_by_age_and_sorts_only_balances_of_one(
    migrated_sqlite: str,
) -> None:
    engine = make_engine(migrated_sqlite, EngineOptions())
    statement = page_of(_query(), BalanceKey(BASE_MS, "cus_1", "a"))
    compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        steps = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
        plan = [str(step.detail) for step in steps]
    engine.dispose()
    assert plan[0].startswith("SEARCH customers USING INDEX ix_customers_newest (env=? AND ")
    assert plan[1].startswith("SEARCH balances USING INDEX ")
    assert plan[1].endswith("(internal_id=?)")
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan
    assert not any(step.startswith("SCAN") for step in plan)
