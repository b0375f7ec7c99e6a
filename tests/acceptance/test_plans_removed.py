"""An attach may end other plans in the same step (``remove_plan_ids``, cold-path section 3.1)."""

from __future__ import annotations

import pytest

from tests.acceptance.store import Store
from tests.fixtures.gateways import Json


@pytest.fixture
def team(store: Store) -> Store:
    """Return a customer with a plan of another group and an add-on, half through their cycle."""
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000), store.item("users", 3))
    monthly = {"amount": 40, "interval": "month"}
    items = [store.monthly(100), store.item("users", 5)]
    store.plan("team", *items, group=store.name("other"), price=monthly)
    store.plan("lite", store.monthly(50), group=store.name("other"), price={**monthly, "amount": 4})
    store.plan("extra", store.monthly(10, "words"), add_on=True, price={**monthly, "amount": 10})
    store.take("team")
    store.take("extra")
    held = store.subscriptions()["team"]
    middle = (held["current_period_start"] + held["current_period_end"]) // 2
    store.gateway.call("clock.advance", to=middle)
    return store


def gone(store: Store, *plans: str) -> Json:
    return {"remove_plan_ids": [store.name(plan) for plan in plans]}


def test_what_is_left_of_a_plan_that_goes_is_paid_back(team: Store) -> None:
    before = team.subscriptions()["team"]
    seen = team.preview("premium", **gone(team, "team"))
    assert round(seen["total"], 2) == 5  # half of 50, less half of 40
    assert [one["plan_id"] for one in seen["outgoing"]] == [team.name("team")]
    assert seen["next_cycle"]["total"] == 60

    team.take("premium", **gone(team, "team"))
    held = team.subscriptions()
    assert set(held) == {"premium", "extra"}
    # It goes on in the cycle of the plan whose place it takes.
    assert held["premium"]["current_period_end"] == before["current_period_end"]
    assert team.view()["balances"][team.name("messages")]["granted"] == 1000
    assert team.gateway.refusal(
        "billing.update", **team.scope(None), plan_id=team.name("team"), cancel_action="uncancel"
    ) == (404, "cus_product_not_found")


def test_the_plan_of_the_same_group_and_others_go_together(team: Store) -> None:
    team.take("pro")
    seen = team.preview("premium", **gone(team, "team", "extra"))
    paid_back = {one["plan_id"] for one in seen["line_items"] if one["total"] < 0}
    assert paid_back == {team.name(plan) for plan in ("pro", "team", "extra")}
    team.take("premium", **gone(team, "team", "extra"))
    assert team.held() == {"premium": "active"}


def test_seats_that_are_taken_and_use_move_to_the_plan_that_comes(team: Store) -> None:
    team.entities("e1", "e2")
    team.track(30)
    team.take("premium", carry_over_usages={"enabled": True}, **gone(team, "team"))
    assert team.state(None, "messages") == [1000, 970, 30]
    assert team.state(None, "users") == [3, 1, 2]


def test_what_waits_for_a_plan_that_goes_goes_too(team: Store) -> None:
    team.take("lite")
    assert team.held()["lite"] == "scheduled"
    team.take("premium", **gone(team, "team"))
    assert team.held() == {"premium": "active", "extra": "active"}


def test_an_add_on_takes_the_place_of_another_one(team: Store) -> None:
    team.take("extra", **gone(team, "extra"))
    assert team.held() == {"team": "active", "extra": "active"}
    assert team.state(None, "words") == [10, 10, 0]


def test_a_plan_of_an_entity_goes_for_it_alone(team: Store) -> None:
    team.entities("e1")
    team.take("team", "e1")
    team.take("premium", "e1", **gone(team, "team"))
    own = [one["plan_id"] for one in team.view("e1")["subscriptions"] if one["scope"] == "entity"]
    assert own == [team.name("premium")]
    assert team.held() == {"team": "active", "extra": "active"}


@pytest.mark.parametrize(
    ("plan", "more", "refused"),
    [
        ("premium", {"remove_plan_ids": ["nobody_holds_it"]}, (400, "invalid_request")),
        ("premium", {"remove_plan_ids": "team"}, (400, "invalid_inputs")),
        ("premium", {"remove_plan_ids": ["no plan"]}, (400, "invalid_inputs")),
        ("lite", {}, (400, "invalid_request")),  # a step down that waits
    ],
)
def test_what_cannot_go_at_once_is_refused(
    team: Store, plan: str, more: Json, refused: tuple[int, str]
) -> None:
    assert team.not_taken(plan, **(more or gone(team, "extra"))) == refused
    assert team.held() == {"team": "active", "extra": "active"}
