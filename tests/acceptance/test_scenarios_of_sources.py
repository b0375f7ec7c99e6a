"""Scenarios A to D of the reference, over HTTP: what is owned, and the order it is spent in.

Each test carries the ids it plays; ``scenarios_left_out`` has those that no test plays.
"""

from __future__ import annotations

import asyncio

from tests.acceptance.test_concurrency import send_all
from tests.acceptance.world import World

PAYING = ("credits", "credits2")


def test_a01_nothing_owned_is_denied(world: World) -> None:
    answer = world.check()
    assert (answer["allowed"], answer["required_balance"], answer["balance"]) == (False, 1, None)


def test_a02_a_boolean_feature_is_a_flag(world: World) -> None:
    world.feature("dashboard", type="boolean")
    plan_id = world.attach({"feature_id": world.name("dashboard")})
    answer = world.check(feature="dashboard")
    assert (answer["allowed"], answer["balance"]) == (True, None)
    flag = answer["flag"]
    assert flag.pop("id")
    assert flag == {
        "plan_id": plan_id,
        "feature_id": world.name("dashboard"),
        "expires_at": None,
    }


def test_a04_unlimited_shows_zeros_and_no_reset(world: World) -> None:
    world.attach(world.item(unlimited=True))
    answer = world.check(10_000)
    assert (answer["allowed"], answer["balance"]["unlimited"]) == (True, True)
    assert world.state() == [0, 0, 0]
    (row,) = answer["balance"]["breakdown"]
    assert row["reset"] is None


def test_a05_pay_per_use_allows_overage(world: World) -> None:
    world.attach(world.pay_per_use(100))
    answer = world.check(5000)
    assert (answer["allowed"], answer["balance"]["overage_allowed"]) == (True, True)
    assert world.state() == [100, 100, 0]


def test_a07_max_purchase_is_the_boundary(world: World) -> None:
    world.attach(world.pay_per_use(100, 400))
    assert [world.check(500)["allowed"], world.check(501)["allowed"]] == [True, False]
    assert world.check()["balance"]["max_purchase"] == 400


def test_a08_prepaid_is_the_boundary(world: World) -> None:
    price = {
        "amount": 10,
        "interval": "month",
        "billing_method": "prepaid",
        "billing_units": 100,
    }
    plan_id = f"prepaid_{world.number}"
    item = world.item(included=100, price=price)
    world.gateway.call("plans.create", plan_id=plan_id, name="Prepaid", items=[item])
    world.gateway.call(
        "billing.attach",
        customer_id=world.customer,
        plan_id=plan_id,
        feature_quantities=[{"feature_id": world.name("messages"), "quantity": 600}],
    )
    assert [world.check(599)["allowed"], world.check(601)["allowed"]] == [True, False]
    (row,) = world.check()["balance"]["breakdown"]
    assert (row["included_grant"], row["prepaid_grant"]) == (100, 500)


def test_a10_a_grant_without_a_plan(world: World) -> None:
    world.grant(500)
    assert world.allows(1, 400, 999) == [True, True, False]
    assert world.state() == [500, 500, 0]
    (row,) = world.balance()["breakdown"]
    assert row["plan_id"] is None


def test_a11_a_plan_and_a_grant_are_one_balance(world: World) -> None:
    plan_id = world.attach(world.monthly(100))
    world.grant(500)
    assert world.allows(550, 700) == [True, False]
    assert world.state() == [600, 600, 0]
    assert [row["plan_id"] for row in world.balance()["breakdown"]] == [plan_id, None]


def test_a13_a_grant_of_an_entity_can_be_spent_by_the_customer_too(world: World) -> None:
    """The reference shows it to the customer but does not let it be spent there."""
    world.entities("e1")
    world.grant(500, "e1")
    assert world.allows(1, 400, 999, entity="e1") == [True, True, False]
    assert world.allows(1, 400, 999) == [True, True, False]
    assert [world.state("e1"), world.state()] == [[500, 500, 0]] * 2


def test_a14_grants_of_entities_are_apart(world: World) -> None:
    world.entities("e1", "e2")
    world.grant(100, "e1")
    world.grant(500, "e2")
    assert world.allows(200, entity="e1") == [False]
    assert world.left("e1", "e2", None) == [100, 500, 600]


def test_a16_entity_plans_add_up_at_customer_level(world: World) -> None:
    world.entities("e1", "e2", "e3")
    world.attach(world.monthly(100), entity="e1")
    world.attach_again(f"plan_{world.number}_1", "e2")
    world.attach_again(f"plan_{world.number}_1", "e3")
    assert world.state() == [300, 300, 0]
    for name in ("e1", "e2", "e3"):
        assert world.state(name) == [100, 100, 0]
        assert len(world.check(entity=name)["balance"]["breakdown"]) == 1


def test_a17_per_entity_items_are_one_breakdown_item(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    world.entities("e1", "e2", "e3")
    assert world.state() == [300, 300, 0]
    assert len(world.check()["balance"]["breakdown"]) == 1
    assert [world.state(name) for name in ("e1", "e2", "e3")] == [[100, 100, 0]] * 3


def test_a19_an_unknown_customer_is_created_only_with_customer_data(world: World) -> None:
    """The reference stopped doing so with version 2.1."""
    body = {"customer_id": f"{world.customer}_new", "feature_id": world.name("messages")}
    unknown = (404, "customer_not_found")
    assert world.gateway.refusal("balances.check", **body) == unknown
    assert world.gateway.refusal("balances.track", **body) == unknown
    named = {"customer_id": body["customer_id"]}
    assert world.gateway.refusal("customers.get", **named) == unknown
    answer = world.gateway.call("balances.check", **body, customer_data={"name": "New"})
    assert (answer["allowed"], answer["balance"]) == (False, None)
    assert world.gateway.call("customers.get", **named)["name"] == "New"


def test_c01_send_event_on_allocated_stops_at_the_grant(world: World) -> None:
    world.attach(world.item("workflows", 5))
    body = world.body(None, "workflows", send_event=True)
    answers = asyncio.run(send_all(world.gateway, [("balances.check", body)] * 7))
    assert sorted(one.json()["allowed"] for one in answers) == [False] * 2 + [True] * 5
    assert world.check(feature="workflows", send_event=True)["allowed"] is False
    assert world.state(feature="workflows") == [5, 0, 5]


def test_c02_150_parallel_send_events_of_2_on_200_are_100_allowed(world: World) -> None:
    world.attach(world.monthly(200))
    body = world.body(None, "messages", send_event=True, required_balance=2)
    answers = asyncio.run(send_all(world.gateway, [("balances.check", body)] * 150))
    assert sum(one.json()["allowed"] for one in answers) == 100
    assert world.state() == [200, 0, 200]


def test_c04_and_e07_unlimited_counts_its_usage(world: World) -> None:
    world.attach(world.item(unlimited=True))
    assert world.check(1000, send_event=True)["allowed"] is True
    assert world.state() == [0, 0, 1000]
    world.track(7)
    world.track(-4)
    assert world.state() == [0, 0, 1003]


def test_d01_d02_default_value_and_decimals(world: World) -> None:
    world.attach(world.monthly(100))
    world.gateway.call("balances.track", **world.body(None, "messages"))
    assert world.state() == [100, 99, 1]
    world.track(22.47)
    assert world.state() == [100, 76.53, 23.47]


def test_d07_monthly_before_lifetime(world: World) -> None:
    world.attach(world.monthly(500), world.lifetime(200))
    world.track(100)
    assert world.breakdown() == [400, 200]
    world.track(450)
    assert world.breakdown() == [0, 150]
    assert world.state() == [700, 150, 550]


def test_d08_three_plans_are_one_balance(world: World) -> None:
    world.attach(world.monthly(100))
    world.attach(world.monthly(50), add_on=True)
    world.attach(world.lifetime(200), add_on=True)
    world.track(120)
    assert world.state() == [350, 230, 120]
    world.track(200)
    assert world.state() == [350, 30, 320]
    assert sum(world.breakdown()) == 30


def test_d10_pay_per_use_goes_below_zero_last(world: World) -> None:
    world.attach(world.pay_per_use(500), world.lifetime(200))
    world.track(100)
    assert world.breakdown() == [400, 200]
    world.track(500)
    assert world.breakdown() == [0, 100]
    world.track(200)
    assert world.breakdown() == [0, 0]
    balance = world.check()["balance"]
    assert balance["usage"] == 800
    assert [one["usage"] for one in balance["breakdown"]] == [600, 200]


def test_d11_a_new_grant_does_not_pay_old_overage(world: World) -> None:
    world.attach(world.pay_per_use(500))
    world.track(600)
    world.attach(world.lifetime(200), add_on=True)
    assert world.state() == [700, 200, 600]
    world.track(150)
    assert world.state() == [700, 50, 750]
    world.track(100)
    assert world.state() == [700, 0, 850]


def test_d16_an_event_name_tracks_every_feature_that_lists_it(world: World) -> None:
    event = world.name("action-event")
    for name in ("action1", "action3"):
        world.feature(name, type="metered", consumable=True, event_names=[event])
    world.attach(
        world.item("action1", 200, reset={"interval": "month"}),
        world.item("action3", 150, reset={"interval": "month"}),
    )
    answer = world.gateway.call(
        "balances.track", customer_id=world.customer, event_name=event, value=45.67
    )
    assert answer["balance"] is None
    left = {name: balance["remaining"] for name, balance in answer["balances"].items()}
    assert left == {world.name("action1"): 154.33, world.name("action3"): 104.33}


def test_an_event_of_which_one_feature_has_a_balance_shows_that_or_what_paid(world: World) -> None:
    world.actions()
    world.attach(world.lifetime(2, "credits"), world.lifetime(7, "credits2"))

    def use(value: float) -> tuple[str | None, list[float]]:
        body = {"customer_id": world.customer, "event_name": world.name("action-event")}
        answer = world.gateway.call("balances.track", **body, value=value)
        shown = answer["balance"] and answer["balance"]["feature_id"]
        return shown, [answer["balances"][world.name(one)]["remaining"] for one in PAYING]

    assert use(1) == (world.name("credits"), [1.8, 5.6])
    world.attach(world.lifetime(1, "action3"))
    assert use(1) == (world.name("action3"), [1.6, 5.6])
    assert use(1) == (world.name("credits"), [1.4, 4.2])
    world.attach(world.lifetime(1, "action1"))
    assert use(1) == (None, [1.4, 2.8])
