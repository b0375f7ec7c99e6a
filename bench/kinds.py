"""What each kind of check and track costs beside a plain one: features of every type and price,
controls, entities, keys, holds, older versions.

One gateway, one Redis with its append-only file, no writer, and one customer who has every kind of
feature. All kinds are asked round by round in turn, in closed loop; the load is in Python and
shares the cores, so it is the time of gateway and scripts that tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.load import NUMBER
from bench.measure import Effort, Way, figures, measure
from bench.results import Outcome
from bench.stage import Api, gateway, http_plan, request, stage

Body = dict[str, Any]

CONNECTIONS = 64
CUSTOMER: Body = {"customer_id": "cus_1"}
GRANT = 1_000_000_000
MONTH = {"interval": "month"}
KEY = NUMBER.decode()

FEATURES: dict[str, tuple[Body, Body]] = {
    "calls": ({"included": GRANT, "reset": MONTH}, {}),
    "flag": ({}, {"type": "boolean", "consumable": None}),
    "endless": ({"unlimited": True}, {}),
    "paid": (
        {
            "included": 1,
            "reset": MONTH,
            "price": {
                "amount": 1,
                "interval": "month",
                "billing_method": "usage_based",
                "billing_units": 1,
            },
        },
        {},
    ),
    "limited": ({"included": GRANT, "reset": MONTH}, {}),
    "coins": (
        {"included": 1_000_000, "reset": MONTH},
        {
            "type": "credit_system",
            "consumable": None,
            "credit_schema": [{"metered_feature_id": "words", "credit_cost": 0.0001}],
        },
    ),
    "reports": ({"included": GRANT, "entity_feature_id": "seats"}, {}),
}
"""Of each feature the item of the plan, and what else it is made with."""

FEATURE_KINDS: dict[str, Body] = {
    "plain": {"feature_id": "calls"},
    "flag": {"feature_id": "flag"},
    "unlimited": {"feature_id": "endless"},
    "pay per use, below zero": {"feature_id": "paid"},
    "usage limit": {"feature_id": "limited"},
    "paid by credits": {"feature_id": "words"},
    "slot of an entity": {"feature_id": "reports", "entity_id": "seat_1"},
}
CHECK_KINDS: dict[str, Body] = {
    "uses units (send_event)": {"feature_id": "calls", "send_event": True},
    "with properties": {"feature_id": "calls", "properties": {"model": "large"}},
}
TRACK_KINDS: dict[str, Body] = {
    "with properties": {"feature_id": "calls", "properties": {"model": "large"}},
    "rejects on shortfall": {"feature_id": "calls", "overage_behavior": "reject"},
    "key in the body": {"feature_id": "calls", "idempotency_key": KEY},
}


async def run(effort: Effort) -> Outcome:
    """Measure every kind."""
    async with stage() as place, gateway(place) as served, Api(served.base) as api:
        await _prepare(api)
        ways = [
            Way(name, http_plan(served, [[one]], CONNECTIONS), served.pid)
            for name, one in _requests()
        ]
        answers = await api.digest(
            "balances.check", (CUSTOMER | one for one in FEATURE_KINDS.values())
        )
        found = await measure(place.client, ways, effort)
    return Outcome(
        about=f"one gateway, one customer, {CONNECTIONS} connections, closed loop; median of "
        f"{effort.rounds} rounds of {effort.seconds:g} s",
        answers=answers,
        figures=[*figures(found)],
    )


def _requests() -> Iterator[tuple[str, bytes]]:
    for name, body in (FEATURE_KINDS | CHECK_KINDS).items():
        yield f"check: {name}", request("balances.check", CUSTOMER | body)
    for name, body in (FEATURE_KINDS | TRACK_KINDS).items():
        if name != "flag":  # there is nothing to use
            yield f"track: {name}", request("balances.track", CUSTOMER | body)
    plain = CUSTOMER | FEATURE_KINDS["plain"]
    for operation in ("check", "track"):
        for name, header in (
            ("key in the head", ("Idempotency-Key", KEY)),
            ("2.1", ("x-api-version", "2.1")),
        ):
            yield f"{operation}: {name}", request(f"balances.{operation}", plain, header=header)


async def _prepare(api: Api) -> None:
    for feature_id, (_, made) in {
        "seats": ({}, {"consumable": False}),
        "words": ({}, {}),
        **FEATURES,
    }.items():
        kind = {"name": feature_id, "type": "metered", "consumable": True} | made
        told = {name: value for name, value in kind.items() if value is not None}
        await api.call("features.create", feature_id=feature_id, **told)
    items = [{"feature_id": name, **item} for name, (item, _) in FEATURES.items()]
    limit = {"feature_id": "limited", "limit": GRANT, "enabled": True, **MONTH}
    await api.call("plans.create", plan_id="all", name="All", items=items)
    await api.call(
        "customers.get_or_create", **CUSTOMER, billing_controls={"usage_limits": [limit]}
    )
    await api.call("billing.attach", **CUSTOMER, plan_id="all")
    await api.call("entities.create", **CUSTOMER, entity_id="seat_1", feature_id="seats")
    await api.call("balances.track", **CUSTOMER, feature_id="paid", value=2)
