"""More of scenarios D and F of the reference, over HTTP: track, its order, and giving back.

Each test carries the ids it plays.
"""

from __future__ import annotations

from tests.acceptance.world import World


def test_d04_cap_takes_what_a_grant_has(world: World) -> None:
    world.grant(20)
    assert world.track(50)["value"] == 50
    assert world.state() == [20, 0, 20]
    assert world.refused(1)


def test_d05_a_plan_is_spent_before_a_grant(world: World) -> None:
    world.attach(world.monthly(10))
    world.grant(50)
    world.track(15)
    assert (world.breakdown(), world.state()) == ([0, 45], [60, 45, 15])
    world.track(30)
    assert world.state() == [60, 15, 45]


def test_grants_that_expire_sooner_are_spent_first(world: World) -> None:
    day = 86_400_000
    world.grant(100, expires_at=world.created_at + 365 * day)
    world.grant(100, expires_at=world.created_at + 30 * day)
    world.track(60)
    assert world.breakdown() == [40, 100]


def test_d13_pay_per_use_stops_at_its_max_purchase(world: World) -> None:
    world.attach(world.prepaid(100), world.pay_per_use(200, most=300), quantities={"messages": 600})
    world.track(600)
    assert world.state() == [800, 200, 600]
    world.track(400)
    assert world.state() == [800, 0, 1000]
    answer = world.track(200)
    assert (answer["value"], answer["deductions"][0]["value"]) == (200, 100)
    assert world.state() == [800, 0, 1100]
    assert world.stored_usage() == 1100


def test_d14_reject_takes_all_or_nothing(world: World) -> None:
    world.attach(world.prepaid(2), quantities={"messages": 5})
    assert world.refused(7)
    assert world.state() == [5, 5, 0]
    world.track(4)
    assert world.state() == [5, 1, 4]


def test_d17_an_event_of_which_one_feature_is_owned(world: World) -> None:
    world.actions()
    world.attach(world.monthly(150, "action1"))
    answer = world.track_event(37.89)
    balance = answer["balance"]
    assert (balance["feature_id"], balance["remaining"]) == (world.name("action1"), 112.11)
    assert answer["balances"][world.name("action1")] == balance
    assert answer["balances"][world.name("credits")] is None


def test_d22_small_fractions_of_credits_are_exact(world: World) -> None:
    world.actions()
    world.attach(world.monthly(500, "credits"))
    world.track(0.1, feature="action1")
    world.track(0.2, feature="action1")
    answer = world.check(10.3, feature="action1", send_event=True)
    assert (answer["allowed"], answer["required_balance"]) == (True, 2.06)
    assert world.state(None, "credits") == [500, 497.88, 2.12]


def test_f04_a_give_back_stops_at_the_grant_it_has_now(world: World) -> None:
    world.attach(world.item("workflows", 5))
    world.track(8, feature="workflows")
    assert world.state(feature="workflows") == [5, 0, 8]
    world.track(-20, feature="workflows")
    assert world.state(feature="workflows") == [5, 5, 0]
    world.update(feature="workflows", remaining=10, included_grant=10)
    assert world.state(feature="workflows") == [10, 10, 0]
    world.track(5, feature="workflows")
    assert world.state(feature="workflows") == [10, 5, 5]
    world.track(-100, feature="workflows")
    assert world.state(feature="workflows") == [10, 10, 0]


def test_a_give_back_refills_the_row_that_resets_first(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(50))
    world.track(140)
    assert world.breakdown() == [0, 10]
    world.track(-30)
    assert world.breakdown() == [30, 10]
    world.track(-120)
    assert world.breakdown() == [100, 50]


def test_what_is_tracked_without_waiting_is_answered_without_a_balance(world: World) -> None:
    world.actions()
    world.entities("e1")
    world.attach(world.monthly(100), world.monthly(100, "credits"))
    for entity, feature in ((None, "messages"), ("e1", "messages"), (None, "action1")):
        body = world.body(entity, feature, value=5) | {"async": True}
        answer = world.gateway.post("balances.track", body)
        expected = {**world.scope(entity), "value": 5, "balance": None}
        assert (answer.status_code, answer.json()) == (202, expected)
    assert world.left(None) == [90]
    assert world.left(None, feature="credits") == [99]
