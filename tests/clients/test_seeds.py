"""Each example of the seeds, in the style of its own client; ``test_react.py`` has the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.shop import MONTHLY
from tests.fixtures.gateways import Gateway, define_team
from tests.fixtures.sdks import Json, Process, snake, start_node

ENTITY_KEYS = {
    "id",
    "name",
    "customer_id",
    "feature_id",
    "created_at",
    "env",
    "subscriptions",
    "purchases",
    "balances",
    "invoices",
}
SUBSCRIPTION_KEYS = {
    "plan_id",
    "auto_enable",
    "add_on",
    "status",
    "past_due",
    "canceled_at",
    "expires_at",
    "trial_ends_at",
    "started_at",
    "current_period_start",
    "current_period_end",
    "quantity",
}
BALANCE_KEYS = {
    "feature_id",
    "granted",
    "remaining",
    "usage",
    "unlimited",
    "overage_allowed",
    "max_purchase",
    "next_reset_at",
    "breakdown",
}
BREAKDOWN_KEYS = {
    "id",
    "plan_id",
    "included_grant",
    "prepaid_grant",
    "remaining",
    "usage",
    "unlimited",
    "reset",
    "price",
    "expires_at",
}


class Seeds:
    """The gateway of the seeds, and a Node process that runs their examples."""

    def __init__(self, gateway: Gateway, node: Process) -> None:
        self.gateway = gateway
        self._node = node

    def run(self, example: str, *arguments: Json) -> Json:
        return self._node.ask(client="seeds", method=example, args=list(arguments))

    def done(self, example: str, *arguments: Json) -> Json:
        """Run an example of 0.x, which says in its answer whether it was refused."""
        answer = self.run(example, *arguments)
        assert answer["error"] is None, answer
        return answer["data"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeds]:
    """Everything the examples take for granted."""
    gateway = Gateway(tmp_path_factory.mktemp("seeds") / "data")
    try:
        gateway.start()
        define_team(gateway)
        gateway.call(
            "features.create",
            feature_id="messages",
            name="Messages",
            type="metered",
            consumable=True,
        )
        gateway.call(
            "plans.create",
            plan_id="pro_plan",
            name="Pro",
            auto_enable=True,
            group="pro",
            items=[{"feature_id": "messages", "included": 100, "reset": MONTHLY}],
        )
        node = start_node(gateway)
        try:
            yield Seeds(gateway, node)
        finally:
            node.stop()
    finally:
        gateway.stop()


def test_an_entity_is_created_and_shown_with_its_balances_and_subscriptions(seeds: Seeds) -> None:
    entity = seeds.run("createEntity")
    seeds.gateway.call(
        "balances.track",
        customer_id="cus_123",
        entity_id="seat_42",
        feature_id="messages",
        value=28,
    )
    again = seeds.run("getEntity")

    for shown in (entity, again):
        assert {snake(name) for name in shown} >= ENTITY_KEYS
        (subscription,) = shown["subscriptions"]
        assert {snake(name) for name in subscription} >= SUBSCRIPTION_KEYS
        balance = shown["balances"]["messages"]
        assert {snake(name) for name in balance} >= BALANCE_KEYS
        assert {snake(name) for name in balance["breakdown"][0]} >= BREAKDOWN_KEYS
        assert (shown["id"], shown["name"], shown["env"]) == ("seat_42", "Seat 42", "sandbox")
        assert (shown["customerId"], shown["featureId"]) == ("cus_123", "seats")
        assert (subscription["planId"], subscription["autoEnable"]) == ("pro_plan", True)
        assert (shown["purchases"], shown["invoices"]) == ([], [])
    assert (again["balances"]["messages"]["remaining"], again["balances"]["messages"]["usage"]) == (
        72,
        28,
    )


def test_seats_of_a_team_come_and_go(seeds: Seeds) -> None:
    admin = seeds.done("createAdmin")
    assert admin["features"].get("meeting_summaries") is None  # no plan, so no balance yet
    seeds.gateway.call("billing.attach", customer_id="org_123", plan_id="team")
    for name in ("user_bob", "user_eve"):
        seeds.done("createMember", name, name)
    customer = {"customer_id": "org_123"}
    seats = seeds.gateway.call("balances.check", **customer, feature_id="seats")["balance"]

    assert seats["usage"] == 3
    assert seeds.run("totalBalance") == "Team has 150 total summaries remaining"
    assert seeds.done("removeBob") == {"success": True}
    assert seeds.run("totalBalance") == "Team has 100 total summaries remaining"
    seats = seeds.gateway.call("balances.check", **customer, feature_id="seats")["balance"]
    assert seats["usage"] == 2


def test_an_entity_is_deleted_by_the_static_client(seeds: Seeds) -> None:
    seeds.done("createMember", "user_abc", "John Doe")

    assert seeds.done("removeStatically") == {"success": True}
