"""What SQL knows of subscriptions, on both engines: who holds a plan, and what is due when."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from gateway.holders import PlanDue, PlanFilter
from gateway.ports import ListQuery, Reader
from tests.integration.carrying import carry
from tests.unit.persistence.entries import (
    DELETED,
    History,
    customer,
    deleted_entity,
    entity,
    subscription,
)

ANN: dict[str, Any] = {"customer_id": "ann", "internal_id": "cus_ann"}
BOB: dict[str, Any] = {"customer_id": "bob", "internal_id": "cus_bob"}


async def test_what_is_due_comes_with_the_earliest_first(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(
        customer(),
        entity("seat_1", 1),
        subscription("a", expires_at=30),
        subscription("b", entity="seat_1", status="scheduled", started_at=20),
        subscription("c", status="expired", expires_at=10),
        subscription("d"),
        **ANN,
    )
    history.add(customer(), subscription("e", status="scheduled", started_at=25), **BOB)
    carry(engine, history)
    found = await reader.plans_due({"sandbox": 30, "live": 99}, 9)
    assert found == [
        PlanDue("sandbox", "ann", "seat_1", 20),
        PlanDue("sandbox", "bob", "", 25),
        PlanDue("sandbox", "ann", "", 30),
    ]
    assert await reader.plans_due({"sandbox": 24}, 9) == found[:1]
    assert await reader.plans_due({"sandbox": 30}, 2) == found[:2]
    assert await reader.plans_due({"live": 30}, 9) == []


async def test_nothing_is_due_of_who_is_gone(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), entity("seat_1", 1), **ANN)
    history.add(subscription("a", entity="seat_1", status="scheduled", started_at=20), **ANN)
    history.add(customer(), subscription("b", status="scheduled", started_at=20), **BOB)
    carry(engine, history)
    assert len(await reader.plans_due({"sandbox": 30}, 9)) == 2
    history.entries.clear()
    history.add(deleted_entity("seat_1"), **ANN)
    history.add(DELETED, **BOB)
    carry(engine, history)
    assert await reader.plans_due({"sandbox": 30}, 9) == []


async def test_holders_are_known_for_good(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), subscription("a", "pro"), **ANN)
    history.add(customer(), subscription("b", "pro", status="expired"), **BOB)
    carry(engine, history)
    assert await reader.plan_holders("sandbox", "pro") == {"active", "expired"}
    assert await reader.plan_holders("live", "pro") == set()
    assert await reader.has_subscription("sandbox", "bob", "b")
    assert not await reader.has_subscription("sandbox", "ann", "b")


async def test_trials_are_known_for_good(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), entity("seat_1", 1), **ANN)
    history.add(subscription("a", "pro", status="expired", trial_ends_at=20), **ANN)
    history.add(subscription("b", "free"), **ANN)
    history.add(subscription("c", "team", entity="seat_1", trial_ends_at=20), **ANN)
    carry(engine, history)
    assert await reader.tried_plans("sandbox", "ann", "") == {"pro"}
    assert await reader.tried_plans("sandbox", "ann", "seat_1") == {"team"}
    assert await reader.tried_plans("live", "ann", "") == set()


async def test_plans_of_entities_with_a_cycle_are_known(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), entity("seat_1", 1), entity("seat_2", 2), **ANN)
    history.add(subscription("a", "pro", anchor_ms=3), **ANN)
    history.add(subscription("b", "free", entity="seat_1"), **ANN)
    for number in (1, 2):
        line = subscription(f"c{number}", "pro", entity=f"seat_{number}", anchor_ms=number)
        history.add(line, **ANN)
    carry(engine, history)

    async def anchors(limit: int = 9) -> list[int]:
        return [one.anchor_ms for one in await reader.entity_plans("sandbox", "ann", limit)]

    assert (await anchors(), await anchors(1)) == ([1, 2], [1])
    assert await reader.entity_plans("live", "ann", 9) == []
    history.entries.clear()
    history.add(deleted_entity("seat_1"), **ANN)
    carry(engine, history)
    assert await anchors() == [2]


async def test_customers_are_listed_by_version_and_by_status(
    engine: Engine, reader: Reader
) -> None:
    history = History()
    history.add(customer(), subscription("a", "pro"), **ANN)
    history.add(customer(), subscription("b", "pro", status="scheduled", started_at=9), **BOB)
    carry(engine, history)

    async def listed(*plans: PlanFilter, status: str | None = None) -> list[str]:
        query = ListQuery(env="sandbox", limit=9, plans=plans, status=status)
        return sorted(name for name, _ in (await reader.list_customers(query)).items)

    assert await listed(PlanFilter("pro")) == ["ann", "bob"]
    assert await listed(status="scheduled") == ["bob"]
    assert await listed(PlanFilter("pro", (1,)), status="active") == ["ann"]
    assert await listed(PlanFilter("pro", (2,))) == []
