"""Every rule the seeds state, over HTTP; each test is named after its rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.fixtures.gateways import Gateway, Json

_numbers = count(1)


class Team:
    """One customer with features and plans of its own, on a shared gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.number = next(_numbers)
        self.id = f"org_{self.number}"
        self.defaults: list[str] = []
        self.seats, self.words = f"seats_{self.number}", f"words_{self.number}"
        kind = {"name": "x", "type": "metered"}
        gateway.call("features.create", feature_id=self.seats, consumable=False, **kind)
        gateway.call("features.create", feature_id=self.words, consumable=True, **kind)
        gateway.call("customers.get_or_create", customer_id=self.id)

    def plan(self, name: str, *items: dict[str, object], **more: object) -> str:
        plan_id = f"{name}_{self.number}"
        group = {"group": f"group_{self.number}"}
        self.gateway.call(
            "plans.create", plan_id=plan_id, name=name, items=list(items), **(group | more)
        )
        if more.get("auto_enable"):
            self.defaults.append(plan_id)
        return plan_id

    def close(self) -> None:
        """Keep the defaults of this test from customers of others."""
        for plan_id in self.defaults:
            self.gateway.call("plans.update", plan_id=plan_id, auto_enable=False)

    def monthly(self, included: float, **more: object) -> dict[str, object]:
        reset = {"interval": "month"}
        return {"feature_id": self.words, "included": included, "reset": reset, **more}

    def each_seat(self, included: float) -> dict[str, object]:
        return self.monthly(included, entity_feature_id=self.seats)

    def attach(self, plan_id: str, entity_id: str | None = None) -> None:
        scope = {"entity_id": entity_id} if entity_id else {}
        self.gateway.call("billing.attach", customer_id=self.id, plan_id=plan_id, **scope)

    def seat(self, entity_id: str) -> None:
        self.gateway.call(
            "entities.create", customer_id=self.id, entity_id=entity_id, feature_id=self.seats
        )

    def check(
        self, entity_id: str | None = None, feature: str | None = None, **more: object
    ) -> Json:
        scope = {"entity_id": entity_id} if entity_id else {}
        feature_id = feature or self.words
        return self.gateway.call(
            "balances.check", customer_id=self.id, feature_id=feature_id, **(scope | more)
        )

    def left(self, entity_id: str | None = None) -> Json:
        balance = self.check(entity_id)["balance"]
        return None if balance is None else balance["remaining"]

    def track(self, value: float, entity_id: str | None = None, **more: object) -> Json:
        scope = {"entity_id": entity_id} if entity_id else {}
        return self.gateway.call(
            "balances.track",
            customer_id=self.id,
            feature_id=self.words,
            value=value,
            **(scope | more),
        )


@pytest.fixture
def team(shared_gateway: Gateway) -> Iterator[Team]:
    opened = Team(shared_gateway)
    yield opened
    opened.close()


def test_creating_an_entity_counts_a_seat_and_gives_it_its_balance(team: Team) -> None:
    seats = {"feature_id": team.seats, "included": 5}
    team.attach(team.plan("team", seats, team.each_seat(50)))
    for name in ("a", "b", "c", "d"):
        team.seat(name)
    assert team.check(feature=team.seats)["balance"]["usage"] == 4
    assert [team.left(name) for name in ("a", "b", "c", "d")] == [50] * 4


def test_a_plan_that_comes_later_counts_the_seats_and_gives_the_balances(team: Team) -> None:
    team.seat("a")
    team.seat("b")
    team.attach(team.plan("team", {"feature_id": team.seats, "included": 5}, team.each_seat(50)))
    assert team.check(feature=team.seats)["balance"]["usage"] == 2
    assert (team.left("a"), team.left("b"), team.left()) == (50, 50, 100)


def test_an_entity_made_before_any_plan_has_no_balance(team: Team) -> None:
    team.seat("a")
    answer = team.check("a")
    assert (answer["allowed"], answer["balance"]) == (False, None)


def test_deleting_an_entity_gives_the_seat_back_and_removes_its_balance(team: Team) -> None:
    team.attach(team.plan("team", {"feature_id": team.seats, "included": 5}, team.each_seat(50)))
    team.seat("a")
    team.seat("b")
    team.track(20, "a")
    team.gateway.call("entities.delete", customer_id=team.id, entity_id="a")
    seats = team.check(feature=team.seats)["balance"]
    assert (seats["usage"], seats["remaining"]) == (1, 4)
    assert team.left() == 50
    refused = team.gateway.refusal("entities.get", customer_id=team.id, entity_id="a")
    assert refused == (404, "entity_not_found")


def test_an_entity_made_again_is_a_new_one_and_last_in_creation_order(team: Team) -> None:
    team.attach(team.plan("team", team.each_seat(50)))
    team.seat("a")
    team.seat("b")
    team.track(20, "a")
    team.gateway.call("entities.delete", customer_id=team.id, entity_id="a")
    team.seat("a")
    assert team.left("a") == 50
    team.track(60)
    assert (team.left("b"), team.left("a")) == (0, 40)


def test_a_customer_level_track_spends_the_first_created_entity_first(team: Team) -> None:
    team.attach(team.plan("team", team.each_seat(50)))
    for name in ("zoe", "max", "ann"):
        team.seat(name)
    team.track(70)
    assert [team.left(name) for name in ("zoe", "max", "ann")] == [0, 30, 50]
    assert team.left() == 80


def test_the_sum_of_the_entities_is_the_top_level_after_any_interleaving(team: Team) -> None:
    team.attach(team.plan("team", team.each_seat(50)))
    names = ("a", "b", "c")
    for name in names:
        team.seat(name)
    moves = [(30, None), (20, "b"), (-10, None), (45, "c"), (25, None), (-5, "b"), (12.5, "a")]
    for value, entity_id in moves:
        team.track(value, entity_id)
        assert sum(team.left(name) for name in names) == team.left()


def test_plans_at_entity_level_give_each_seat_its_own_tier(team: Team) -> None:
    free = team.plan("free", team.monthly(10))
    pro = team.plan("pro", team.monthly(100))
    team.seat("a")
    team.seat("b")
    team.attach(free, "a")
    team.attach(pro, "b")
    assert (team.left("a"), team.left("b"), team.left()) == (10, 100, 110)
    team.track(30, "b")
    assert (team.left("a"), team.left("b"), team.left()) == (10, 70, 80)
    plans = [
        team.gateway.call("entities.get", customer_id=team.id, entity_id=name)["subscriptions"]
        for name in ("a", "b")
    ]
    assert [[(one["plan_id"], one["scope"]) for one in each] for each in plans] == [
        [(free, "entity")],
        [(pro, "entity")],
    ]


def test_a_customer_level_track_spends_entity_plans_last(team: Team) -> None:
    team.attach(team.plan("team", team.monthly(20)))
    pro = team.plan("pro", team.monthly(100))
    team.seat("a")
    team.seat("b")
    team.attach(pro, "a")
    team.attach(pro, "b")
    team.track(130)
    assert (team.left("a"), team.left("b"), team.left()) == (0, 90, 90)


def test_a_customer_level_row_is_the_fallback_of_every_entity(team: Team) -> None:
    team.attach(team.plan("team", team.monthly(100), team.each_seat(50)))
    team.seat("a")
    team.seat("b")
    assert (team.left("a"), team.left("b"), team.left()) == (150, 150, 200)
    team.track(70, "a")
    assert (team.left("a"), team.left("b"), team.left()) == (80, 130, 130)


def test_check_and_track_create_the_entity_and_customer_they_bring_data_of(team: Team) -> None:
    team.plan("team", team.each_seat(50), auto_enable=True)
    new = f"new_{team.number}"
    answer = team.gateway.call(
        "balances.check",
        customer_id=new,
        entity_id="user_abc",
        feature_id=team.words,
        customer_data={"name": "New"},
        entity_data={"feature_id": team.seats, "name": "John"},
    )
    assert (answer["allowed"], answer["balance"]["remaining"]) == (True, 50)
    tracked = team.gateway.call(
        "balances.track",
        customer_id=new,
        entity_id="user_def",
        feature_id=team.words,
        value=10,
        entity_data={"feature_id": team.seats},
    )
    assert tracked["balance"]["remaining"] == 40
    assert team.gateway.call("customers.get", customer_id=new)["name"] == "New"


def test_unknown_customers_and_entities_are_refused_without_their_data(team: Team) -> None:
    check = {"feature_id": team.words}
    refusal = team.gateway.refusal
    unknown = refusal("balances.check", customer_id="nobody", **check)
    assert unknown == (404, "customer_not_found")
    unknown = refusal("balances.check", customer_id=team.id, entity_id="nobody", **check)
    assert unknown == (404, "entity_not_found")


def test_a_switch_of_plan_keeps_seats_and_starts_consumables_anew(team: Team) -> None:
    free = team.plan("free", {"feature_id": team.seats, "included": 3}, team.monthly(100))
    pro = team.plan("pro", {"feature_id": team.seats, "included": 10}, team.monthly(500))
    team.attach(free)
    team.seat("a")
    team.seat("b")
    team.track(30)
    team.attach(pro)
    assert team.left() == 500
    seats = team.check(feature=team.seats)["balance"]
    assert (seats["granted"], seats["usage"], seats["remaining"]) == (10, 2, 8)
    again = team.gateway.refusal("billing.attach", customer_id=team.id, plan_id=pro)
    assert again == (409, "plan_already_attached")


def test_decimals_are_exact_on_the_wire(team: Team) -> None:
    team.attach(team.plan("team", team.monthly(10.6)))
    team.track(0.1)
    answer = team.gateway.post(
        "balances.track",
        {"customer_id": team.id, "feature_id": team.words, "value": 0.30000000000000004},
    )
    assert b'"value":0.3,' in answer.content
    assert b'"remaining":10.2,' in answer.content
    assert team.check(required_balance=10.2)["allowed"] is True
    assert team.check(required_balance=10.200001)["allowed"] is False


def test_send_event_spends_all_or_nothing(team: Team) -> None:
    team.attach(team.plan("team", team.monthly(1000)))
    allowed = team.check(required_balance=150, send_event=True)
    assert (allowed["allowed"], allowed["balance"]["remaining"]) == (True, 850)
    denied = team.check(required_balance=900, send_event=True)
    assert (denied["allowed"], denied["balance"]["remaining"]) == (False, 850)


def test_booleans_are_flags(team: Team) -> None:
    sso = f"sso_{team.number}"
    team.gateway.call("features.create", feature_id=sso, name="SSO", type="boolean")
    assert team.check(feature=sso)["allowed"] is False
    plan = team.plan("team", {"feature_id": sso})
    team.attach(plan)
    answer = team.check(feature=sso)
    assert (answer["allowed"], answer["balance"]) == (True, None)
    assert answer["flag"]["plan_id"] == plan
    customer = team.gateway.call("customers.get", customer_id=team.id)
    assert list(customer["flags"]) == [sso]
    assert sso not in customer["balances"]
