"""An event of which SQL has only a half is told, and nothing makes up the other half."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    and_,
    delete,
    insert,
    select,
    update,
)

from gateway.audit.findings import Plan, plan
from gateway.audit.records import Kind, Scope, Trail
from gateway.ports import CatalogChange, FeatureRecord
from persistence.catalog import SqlCatalog
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.lost_events import without_deductions, without_event
from persistence.models import Balance, Deduction, Event
from tests.fixtures.auditing import ACME, Site
from tests.unit.persistence.entries import StillClock

pytestmark = pytest.mark.redis_kinds("embedded")


async def test_an_event_that_is_not_there_is_named_by_its_deductions(site: Site) -> None:
    ((event_id,),) = site.read(select(Event.id).where(Event.value == 4))
    site.change(delete(Event).where(Event.id == event_id))
    drifts = await site.in_sql()
    assert [(one.kind, one.what, one.event_id) for one in drifts] == [
        (Kind.EVENT, "event", event_id),
        (Kind.EVENT, "event", event_id),
    ]
    found = [(one.balance_id, one.entity_id, one.feature_id, one.events) for one in drifts]
    assert found == [("bal_2", "seat_2", "messages", 1), ("bal_3", "seat_2", "messages", 3)]
    assert [one.trail and one.trail.count for one in drifts] == [1, 1]
    assert await site.in_sql(Scope("sandbox", "acme")) == drifts
    assert await site.in_sql(Scope("sandbox", "other")) + await site.in_redis() == []
    assert plan(drifts) == Plan([], [], [], tuple(drifts))


async def test_deductions_of_several_entities_are_told_once_for_each_balance(site: Site) -> None:
    site.change(update(Deduction).where(Deduction.delta == 1).values(event_id="evt_p00_1-0"))
    site.change(
        update(Deduction).where(Deduction.delta == 7).values(event_id="evt_p00_1-0", position=9)
    )
    told, *_ = await site.in_sql()
    assert (told.event_id, told.balance_id, told.entity_id) == ("evt_p00_1-0", "bal_2", "")
    assert told.trail == Trail(total=8, count=2)


async def test_an_event_whose_deductions_are_not_there_keeps_its_customer_from_repair(
    site: Site,
) -> None:
    site.change(delete(Deduction).where(Deduction.delta == 7))
    drifts = await site.in_sql()
    half = drifts[-1]
    ((event_id,),) = site.read(select(Event.id).where(Event.value == 7))
    assert (half.kind, half.what, half.event_id, half.sql) == (
        Kind.EVENT,
        *("deductions", event_id, 7),
    )
    assert {one.kind for one in drifts[:-1]} == {Kind.EVENTS}
    made = plan(drifts)
    assert (made.mends, made.evictions) == ([], [])
    assert made.left_alone == [
        (ACME, f"what {event_id} moved is in no deduction: the others are not all there was")
    ]


async def test_what_credits_may_have_paid_for_needs_no_deduction(site: Site) -> None:
    """So little may be used that not even the smallest unit of the credits is."""
    site.change(delete(Deduction).where(Deduction.delta == 7))
    assert Kind.EVENT in {one.kind for one in await site.in_sql()}
    catalog = SqlCatalog(site.database, StillClock())
    system = FeatureRecord(
        env="sandbox",
        id="credits",
        name="Credits",
        type="credit_system",
        consumable=True,
        precision=6,
        in_use=True,
        archived=False,
    )
    assert await catalog.apply(CatalogChange(revision=0, features=((None, system),)))
    assert Kind.EVENT in {one.kind for one in await site.in_sql()}
    site.change(update(Balance).where(Balance.id == "bal_1").values(feature_id="credits"))
    assert Kind.EVENT not in {one.kind for one in await site.in_sql()}


@pytest.mark.parametrize("statement", [without_event, without_deductions])
async def test_no_table_is_read_whole_for_lost_events(site: Site, statement: Any) -> None:  # noqa: ANN401 - either
    def span(column: ColumnClause[str]) -> ColumnElement[bool]:
        return and_(column > "", column <= "cus_1")

    compiled = statement(span).compile(site.engine, compile_kwargs={"literal_binds": True})
    is_sqlite = site.engine.dialect.name == "sqlite"
    with site.engine.connect() as connection:
        if not is_sqlite:  # A small table is read whole.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        steps = connection.exec_driver_sql(f"{explain} {compiled}".replace("%", "%%"))
        found = [str(step[-1]) for step in steps]
    touched = ("SCAN deductions", "SCAN events", "SCAN balances", "Seq Scan")
    assert not [step for step in found if any(word in step for word in touched)], found


@pytest.mark.parametrize("statement", [without_event, without_deductions])
def test_to_find_lost_events_costs_as_much_more_as_there_are_more(
    migrated_sqlite: str,
    statement: Any,  # noqa: ANN401 - either
) -> None:
    """SQLite tells how many steps it took, which no other program slows down."""
    engine = make_engine(migrated_sqlite, EngineOptions())
    costs = []
    for first in (0, 1_000, 2_000):
        with write_transaction(engine) as connection:
            for number in range(first, first + 1_000):
                _add_event(connection, f"evt_p00_1-{number}")
        with engine.connect() as connection:
            costs.append(_steps(connection, statement(lambda column: column.in_(["cus_1"]))))
    engine.dispose()
    second, third = costs[1] - costs[0], costs[2] - costs[1]
    assert second > 100
    assert third < 1.5 * second


def _add_event(connection: Connection, event_id: str) -> None:
    for table, key in ((Event, "id"), (Deduction, "event_id")):
        own = {key: event_id, "internal_id": "cus_1", "applied": 1}
        connection.execute(
            insert(table).values(
                {
                    column.name: own.get(column.name, column.type.python_type())
                    for column in table.__table__.columns
                    if not column.nullable
                }
            )
        )


def _steps(connection: Connection, statement: Any) -> int:  # noqa: ANN401 - either
    """Return how often ten instructions of SQLite's machine were carried out."""
    driver: Any = connection.connection.driver_connection
    count = 0

    def note() -> int:
        nonlocal count
        count += 1
        return 0

    driver.set_progress_handler(note, 10)
    assert connection.execute(statement).all() == []
    return count
