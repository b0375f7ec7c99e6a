"""Many calls at once against the started gateway: nothing is lost, nothing is spent twice."""

from __future__ import annotations

import asyncio
import json
import random

import httpx

from tests.fixtures.gateways import KEY, Gateway, Json, form_team
from tests.wire import Line, request

CONNECTIONS = 100
SUMMARIES = "meeting_summaries"
UNIT = 10**6


async def send_all(
    gateway: Gateway, bodies: list[tuple[str, Json]], **headers: str
) -> list[httpx.Response]:
    """Send all operations at once, over up to 100 connections; return their answers in order.

    A client's pool looks at every call that waits whenever one of them ends, which for a thousand
    calls is far more work than the calls are.
    """
    kind = {"content_type": "application/json"}
    waiting = enumerate(
        request(json.dumps(body).encode(), name=name, key=KEY, length=True, **(kind | headers))
        for name, body in bodies
    )
    answers: dict[int, httpx.Response] = {}

    async def go_on(host: str, port: int) -> None:
        line = Line(*await asyncio.open_connection(host, port))
        try:
            for at, data in waiting:
                reply = await line.ask(data)
                answers[at] = httpx.Response(
                    reply.status, headers=reply.headers, content=reply.body
                )
        finally:
            await line.close()

    url = httpx.URL(gateway.url)
    assert url.port is not None
    async with asyncio.TaskGroup() as group:
        for _ in range(min(CONNECTIONS, len(bodies))):
            group.create_task(go_on(url.host, url.port))
    return [answers[at] for at in range(len(bodies))]


def test_200_parallel_tracks_of_1_on_150_with_reject_are_150_successes(gateway: Gateway) -> None:
    form_team(gateway, "a", "b", "c")
    body = {"customer_id": "org_123", "feature_id": SUMMARIES, "overage_behavior": "reject"}
    answers = asyncio.run(send_all(gateway, [("balances.track", body)] * 200))
    assert sorted(one.status_code for one in answers) == [200] * 150 + [400] * 50
    left = [one.json()["balance"]["remaining"] for one in answers if one.status_code == 200]
    assert sorted(left) == list(range(150))
    codes = {one.json()["code"] for one in answers if one.status_code == 400}
    assert codes == {"insufficient_balance"}
    assert gateway.call("balances.check", **body)["balance"]["usage"] == 150


def test_1000_random_operations_at_once_keep_every_sum(gateway: Gateway) -> None:
    form_team(gateway, included=100)
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
