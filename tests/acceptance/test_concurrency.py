"""Many calls at once against the started gateway: nothing is lost, nothing is spent twice."""

from __future__ import annotations

import asyncio
import random

import httpx

from tests.fixtures.gateways import KEY, Gateway, Json, define_team

SUMMARIES = "meeting_summaries"
UNIT = 10**6


async def send_all(
    gateway: Gateway, bodies: list[tuple[str, Json]], **headers: str
) -> list[httpx.Response]:
    """Send all operations at once and return their answers in order."""
    limits = httpx.Limits(max_connections=100)
    headers = {"authorization": f"Bearer {KEY}", **headers}
    async with httpx.AsyncClient(
        base_url=f"{gateway.url}/v1/", headers=headers, limits=limits, timeout=60
    ) as client:
        return await asyncio.gather(*(client.post(name, json=body) for name, body in bodies))


def test_200_parallel_tracks_of_1_on_150_with_reject_are_150_successes(gateway: Gateway) -> None:
    define_team(gateway)
    gateway.call("customers.get_or_create", customer_id="org_123")
    gateway.call("billing.attach", customer_id="org_123", plan_id="team")
    for name in ("a", "b", "c"):
        gateway.call("entities.create", customer_id="org_123", entity_id=name, feature_id="seats")
    body = {"customer_id": "org_123", "feature_id": SUMMARIES, "overage_behavior": "reject"}
    answers = asyncio.run(send_all(gateway, [("balances.track", body)] * 200))
    assert sorted(one.status_code for one in answers) == [200] * 150 + [400] * 50
    left = [one.json()["balance"]["remaining"] for one in answers if one.status_code == 200]
    assert sorted(left) == list(range(150))
    codes = {one.json()["code"] for one in answers if one.status_code == 400}
    assert codes == {"insufficient_balance"}
    assert gateway.call("balances.check", **body)["balance"]["usage"] == 150


def test_1000_random_operations_at_once_keep_every_sum(gateway: Gateway) -> None:
    define_team(gateway, included=100)
    gateway.call("customers.get_or_create", customer_id="org_123")
    gateway.call("billing.attach", customer_id="org_123", plan_id="team")
    names = [f"seat_{number}" for number in range(20)]
    for name in names:
        gateway.call("entities.create", customer_id="org_123", entity_id=name, feature_id="seats")
    dice = random.Random(7)
    answers = asyncio.run(send_all(gateway, [_random_operation(dice, names) for _ in range(1000)]))
    assert {one.status_code for one in answers} <= {200, 400, 404, 409}
    assert all(one.json()["code"] != "internal_error" for one in answers if not one.is_success)

    listed = gateway.call("entities.list", customer_id="org_123", limit=1000)["list"]
    total = gateway.call("customers.get", customer_id="org_123")["balances"]
    for field in ("granted", "remaining", "usage"):
        of_entities = [one["balances"][SUMMARIES][field] for one in listed]
        assert round(sum(of_entities), 6) == total[SUMMARIES][field]
    assert total["seats"]["usage"] == len(listed)

    gateway.wait_for_writer()
    in_sql = dict(gateway.sql("SELECT feature_id, used FROM balances WHERE ended_at IS NULL"))
    assert in_sql == {name: round(total[name]["usage"] * UNIT) for name in (SUMMARIES, "seats")}
    of_slots = gateway.sql(
        "SELECT s.entity_id, s.used FROM slots s JOIN balances b"
        " ON b.internal_id = s.internal_id AND b.id = s.balance_id AND b.period = s.period"
    )
    used = {one["id"]: round(one["balances"][SUMMARIES]["usage"] * UNIT) for one in listed}
    assert {name: units for name, units in of_slots if units} == {
        name: units for name, units in used.items() if units
    }
    moved = gateway.sql("SELECT feature_id, sum(delta) FROM deductions GROUP BY feature_id")
    assert dict(moved) == in_sql
    applied = gateway.sql("SELECT feature_id, sum(applied) FROM events GROUP BY feature_id")
    assert dict(applied)["seats"] == in_sql["seats"]


def _random_operation(dice: random.Random, names: list[str]) -> tuple[str, Json]:
    subject = {"customer_id": "org_123"}
    choice = dice.random()
    if choice < 0.06:
        return "entities.create", subject | {
            "entity_id": f"seat_{dice.randrange(40)}",
            "feature_id": "seats",
        }
    if choice < 0.10:
        return "entities.delete", subject | {"entity_id": dice.choice(names)}
    body = subject | {
        "feature_id": SUMMARIES,
        "value": dice.choice([1, 2.5, 0.1, 7, -3, -0.25, 30]),
        "overage_behavior": dice.choice(["cap", "reject", "overflow"]),
    }
    if dice.random() < 0.7:
        body["entity_id"] = dice.choice(names)
    return "balances.track", body
