"""Numbers of the reference that hold here too, over HTTP; each test carries the ids it plays."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from tests.acceptance.test_concurrency import send_all
from tests.fixtures.gateways import Gateway, Json

_numbers = count(1)


class World:
    """One customer with features and plans of its own, on a shared gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.number = next(_numbers)
        self.customer = f"cus_s{self.number}"
        self.plans = 0
        for name, consumable in (("messages", True), ("users", False), ("workflows", False)):
            self.feature(name, type="metered", consumable=consumable)
        gateway.call("customers.get_or_create", customer_id=self.customer)

    def name(self, name: str) -> str:
        return f"{name}_s{self.number}"

    def feature(self, name: str, **kind: object) -> None:
        self.gateway.call("features.create", feature_id=self.name(name), name=name, **kind)

    def attach(self, *items: Json, entity: str | None = None, add_on: bool = False) -> None:
        self.plans += 1
        plan_id = f"plan_{self.number}_{self.plans}"
        self.gateway.call(
            "plans.create",
            plan_id=plan_id,
            name=plan_id,
            group=plan_id,
            add_on=add_on,
            items=list(items),
        )
        self.attach_again(plan_id, entity)

    def attach_again(self, plan_id: str, entity: str | None) -> None:
        scope = {"entity_id": entity} if entity else {}
        self.gateway.call("billing.attach", customer_id=self.customer, plan_id=plan_id, **scope)

    def item(self, feature: str = "messages", /, included: float = 0, **more: object) -> Json:
        return {"feature_id": self.name(feature), "included": included, **more}

    def monthly(self, included: float, **more: object) -> Json:
        return self.item(included=included, reset={"interval": "month"}, **more)

    def lifetime(self, included: float, **more: object) -> Json:
        return self.item(included=included, **more)

    def pay_per_use(self, included: float, most: float | None = None, **more: object) -> Json:
        price = {"amount": 1, "interval": "month", "billing_method": "usage_based"}
        if most is not None:
            price["max_purchase"] = most
        return self.item(included=included, price=price, **more)

    def entities(self, *names: str) -> None:
        for name in names:
            self.gateway.call(
                "entities.create",
                customer_id=self.customer,
                entity_id=name,
                feature_id=self.name("users"),
            )

    def body(self, entity: str | None, feature: str, **more: object) -> Json:
        scope = {"entity_id": entity} if entity else {}
        return {"customer_id": self.customer, "feature_id": self.name(feature), **scope, **more}

    def check(
        self,
        required: float = 1,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        body = self.body(entity, feature, required_balance=required, **more)
        return self.gateway.call("balances.check", **body)

    def track(
        self,
        value: float,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        body = self.body(entity, feature, value=value, **more)
        return self.gateway.call("balances.track", **body)

    def state(self, entity: str | None = None, feature: str = "messages") -> list[float]:
        """Return granted, remaining and usage."""
        balance = self.check(entity=entity, feature=feature)["balance"]
        return [balance["granted"], balance["remaining"], balance["usage"]]

    def breakdown(self) -> list[float]:
        """Return what is left of each source, in spending order."""
        return [one["remaining"] for one in self.check()["balance"]["breakdown"]]

    def refused(self, value: float, entity: str | None = None, feature: str = "messages") -> bool:
        body = self.body(entity, feature, value=value, overage_behavior="reject")
        answer = self.gateway.post("balances.track", body)
        if answer.status_code == 400:
            assert answer.json()["code"] == "insufficient_balance"
            return True
        assert answer.status_code == 200
        return False


@pytest.fixture
def world(shared_gateway: Gateway) -> World:
    return World(shared_gateway)


def test_a01_nothing_owned_is_denied(world: World) -> None:
    answer = world.check()
    assert (answer["allowed"], answer["required_balance"], answer["balance"]) == (False, 1, None)


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


def test_f01_f02_give_backs_stop_at_the_grant(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(-5)
    assert world.state() == [100, 100, 0]
    for value, left in ((30, 70), (-10, 80), (-50, 100)):
        assert world.track(value)["balance"]["remaining"] == left


def test_f05_give_backs_heal_overage_first(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(50), world.pay_per_use(0))
    world.track(180)
    assert world.state() == [150, 0, 180]
    world.track(-20)
    assert world.state() == [150, 0, 160]
    world.track(-20)
    assert world.state() == [150, 10, 140]
    world.track(-50)
    assert world.state() == [150, 60, 90]


def test_f07_overflow_gives_back_beyond_the_grant(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(30)
    world.track(-50, overage_behavior="overflow")
    assert world.state() == [100, 120, -20]


def test_g01_a_shared_row_is_seen_by_every_entity(world: World) -> None:
    world.attach(world.monthly(300))
    world.entities("e1", "e2", "e3")
    world.track(50)
    assert [world.state(name)[1] for name in (None, "e1", "e2", "e3")] == [250] * 4


def test_g02_per_entity_sums(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    world.entities("e1", "e2", "e3")
    for name in ("e1", "e2", "e3"):
        world.track(10, name)
    assert world.state()[1] == 270
    world.track(10)
    assert world.state()[1] == 260
    assert sum(world.state(name)[1] for name in ("e1", "e2", "e3")) == 260


def test_g04_customer_row_before_per_entity_at_customer_level(world: World) -> None:
    each = world.lifetime(50, entity_feature_id=world.name("users"))
    world.attach(world.monthly(100), each)
    world.entities("e1", "e2", "e3")
    assert (world.state()[1], world.state("e1")[1]) == (250, 150)
    world.track(50)
    assert world.state()[1] == 200
    world.track(60)
    assert (world.state()[1], world.state("e1")[1]) == (140, 40)
    for name in ("e1", "e2", "e3"):
        world.track(10, name)
    assert [world.state(name)[1] for name in ("e1", "e2", "e3")] == [30, 40, 40]


def test_g05_an_entity_plan_is_used_by_its_owner(world: World) -> None:
    world.entities("e1", "e2", "e3")
    world.attach(world.monthly(100), entity="e1")
    for name in ("e2", "e3"):
        world.attach_again(f"plan_{world.number}_1", name)
    for name in ("e1", "e2", "e3"):
        world.track(10, name)
    assert [world.state(name)[1] for name in (None, "e1", "e2", "e3")] == [270, 90, 90, 90]


def test_g07_own_units_before_the_customers(world: World) -> None:
    world.entities("e1")
    world.attach(world.monthly(100))
    world.attach_again(f"plan_{world.number}_1", "e1")
    world.track(50, "e1")
    assert (world.state("e1")[1], world.state()[1]) == (150, 150)
    world.track(120, "e1")
    assert (world.state("e1")[1], world.state()[1]) == (30, 30)


def test_g08_per_entity_items_and_entity_plans_together(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    world.entities("e1", "e2")
    world.attach(world.monthly(50), entity="e1")
    world.attach_again(f"plan_{world.number}_2", "e2")
    assert world.state()[1] == 300
    world.track(80, "e1")
    assert world.state("e1")[1:] == [70, 80]
    assert world.state()[1:] == [220, 80]
    assert world.state("e2")[1:] == [150, 0]


def test_g14_allocated_rows_of_customer_and_entities(world: World) -> None:
    world.entities("e1", "e2")
    world.attach(world.item("workflows", 10))
    world.attach(world.item("workflows", 5), entity="e1")
    world.attach_again(f"plan_{world.number}_2", "e2")
    assert [world.state(name, "workflows")[1] for name in (None, "e1")] == [20, 15]
    bodies = [
        ("balances.track", world.body(name, "workflows", value=1)) for name in (None, "e1", "e2")
    ]
    asyncio.run(send_all(world.gateway, bodies))
    left = [world.state(name, "workflows")[1] for name in (None, "e1", "e2")]
    assert left == [17, 13, 13]


def test_h16_overflow_goes_below_zero_and_cap_then_takes_nothing(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(150, overage_behavior="overflow")
    assert world.state() == [100, 0, 150]
    assert world.check()["allowed"] is False
    world.track(10)
    assert world.state() == [100, 0, 150]


def test_m01_cap_takes_what_is_there(world: World) -> None:
    world.attach(world.monthly(5))
    body = world.body(None, "messages", value=10)
    answers = asyncio.run(send_all(world.gateway, [("balances.track", body)] * 5))
    assert {one.status_code for one in answers} == {200}
    assert world.state() == [5, 0, 5]


def test_m02_free_allocated_accepts_overage_unless_it_is_rejected(world: World) -> None:
    world.attach(world.item("workflows", 1))
    body = world.body(None, "workflows", value=1)
    asyncio.run(send_all(world.gateway, [("balances.track", body)] * 5))
    assert world.state(feature="workflows") == [1, 0, 5]
    assert world.refused(1, feature="workflows")


def test_m04_each_slot_has_its_own_floor(world: World) -> None:
    seats = world.name("users")
    world.attach(world.pay_per_use(500, 100, entity_feature_id=seats))
    world.entities("seat1", "seat2")
    body = world.body("seat1", "messages", value=200, overage_behavior="reject")
    answers = asyncio.run(send_all(world.gateway, [("balances.track", body)] * 5))
    assert sorted(one.status_code for one in answers) == [200] * 3 + [400] * 2
    assert world.state("seat1") == [500, 0, 600]
    assert world.state("seat2") == [500, 500, 0]


def test_p05_many_entities_at_once_each_get_their_balance(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    bodies = [
        (
            "entities.create",
            {
                "customer_id": world.customer,
                "entity_id": f"e{number}",
                "feature_id": world.name("users"),
            },
        )
        for number in range(20)
    ]
    answers = asyncio.run(send_all(world.gateway, bodies))
    assert {one.status_code for one in answers} == {200}
    assert world.state() == [2000, 2000, 0]
    assert [world.state(f"e{number}") for number in range(20)] == [[100, 100, 0]] * 20


def test_seats_over_the_included_ones_are_created(world: World) -> None:
    world.attach(world.item("users", 3))
    world.entities("e1", "e2", "e3", "e4")
    answer = world.check(feature="users")
    assert (answer["allowed"], world.state(feature="users")) == (False, [3, 0, 4])


def test_s50_an_entity_that_exists_is_counted_once_over_base_and_add_on(world: World) -> None:
    world.entities("e1")
    world.attach(world.item("users", 4))
    world.attach(world.item("users", 2), add_on=True)
    assert world.state(feature="users") == [6, 5, 1]
