"""Scenarios H and I of the reference, over HTTP: overage, who allows it, and what caps it.

Each test carries the ids it plays.
"""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Json


def test_h01_a_control_lets_a_free_balance_go_below_zero(world: World) -> None:
    world.attach(world.lifetime(100))
    world.control(world.overage(enabled=True))
    world.track(130)
    assert world.state() == [100, 0, 130]
    assert world.balance()["overage_allowed"] is True
    assert world.stored_usage() == 130


def test_h02_without_the_control_it_stops_at_zero(world: World) -> None:
    world.attach(world.lifetime(100))
    world.track(130)
    assert world.state() == [100, 0, 100]
    assert world.stored_usage() == 100


def test_h04_reject_accepts_allowed_overage(world: World) -> None:
    world.attach(world.lifetime(50))
    world.control(world.overage(enabled=True))
    world.track(50)
    assert world.allows(1_000_000) == [True]
    assert not world.refused(30)
    assert world.state() == [50, 0, 80]


def test_h05_overage_that_is_no_longer_allowed_stays_as_it_is(world: World) -> None:
    world.attach(world.lifetime(100))
    world.control(world.overage(enabled=True))
    world.track(120)
    world.control(world.overage(enabled=False))
    world.track(50)
    assert world.allows(1) == [False]
    assert world.state() == [100, 0, 120]


def test_h07_a_control_does_not_lift_the_max_purchase(world: World) -> None:
    world.attach(world.pay_per_use(100, most=50))
    world.control(world.overage(enabled=True))
    assert world.allows(150, 151) == [True, False]
    world.track(200)
    assert world.state() == [100, 0, 150]


@pytest.mark.parametrize("value", [130, 250])
def test_h08_a_control_stops_pay_per_use_at_zero(world: World, value: float) -> None:
    world.attach(world.pay_per_use(100, most=300))
    world.control(world.overage(enabled=False))
    assert world.allows(100, 101) == [True, False]
    world.track(value)
    assert world.state() == [100, 0, 100]


def test_h08_a_plan_may_stop_its_pay_per_use_at_zero(world: World) -> None:
    world.attach(world.pay_per_use(100, most=300), billing_controls=world.overage(enabled=False))
    assert world.allows(100, 101) == [True, False]
    world.track(130)
    assert world.state() == [100, 0, 100]


def test_h10_credits_go_below_zero_where_allowed(world: World) -> None:
    world.actions()
    world.attach(world.monthly(100, "credits"))
    world.control(world.overage("credits", enabled=True))
    world.track(600, feature="action1")
    assert world.state(None, "credits") == [100, 0, 120]


def test_h11_an_entity_may_forbid_what_its_customer_allows(world: World) -> None:
    world.attach(world.lifetime(100))
    world.entities("e1")
    world.control(world.overage(enabled=True))
    world.control(world.overage(enabled=False), "e1")
    assert world.allows(100, 101, entity="e1") == [True, False]
    world.track(130, "e1")
    assert world.state("e1") == [100, 0, 100]
    assert world.allows(1) == [True]


def test_h13_an_entity_inherits_what_its_customer_allows(world: World) -> None:
    world.attach(world.lifetime(100))
    world.entities("e1")
    world.control(world.overage(enabled=True))
    world.track(130, "e1")
    assert world.state("e1") == [100, 0, 130]


def test_h14_a_plan_may_allow_overage(world: World) -> None:
    world.attach(world.lifetime(100), billing_controls=world.overage(enabled=True))
    world.track(130)
    assert world.state() == [100, 0, 130]


def test_h14_one_plan_that_forbids_overage_is_enough(world: World) -> None:
    world.attach(world.lifetime(100), billing_controls=world.overage(enabled=True))
    world.attach(world.lifetime(100), billing_controls=world.overage(enabled=False), add_on=True)
    world.track(260)
    assert world.state() == [200, 0, 200]


def test_h17_overflow_passes_a_usage_limit_and_is_counted(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5))
    world.track(3)
    world.track(10, overage_behavior="overflow")
    assert (world.state(), world.counter()) == ([100, 87, 13], 13)
    world.track(2)
    assert (world.state(), world.counter()) == ([100, 87, 13], 13)
    assert world.allows(1) == [False]


def test_i01_a_spend_limit_caps_overage(world: World) -> None:
    world.attach(world.lifetime(1000), world.pay_per_use(100, most=300))
    world.control(world.spend_limit(25))
    assert world.allows(1125, 1126) == [True, False]
    world.track(1120)
    assert world.state() == [1100, 0, 1120]
    assert world.allows(5, 6) == [True, False]
    world.track(10)
    assert world.state() == [1100, 0, 1125]
    assert world.refused(1)
    assert world.check(1, send_event=True)["allowed"] is False
    assert world.state() == [1100, 0, 1125]


def test_overflow_is_capped_by_a_spend_limit_too(world: World) -> None:
    world.attach(world.lifetime(1000), world.pay_per_use(100, most=300))
    world.control(world.spend_limit(25))
    world.track(1120)
    world.track(10, overage_behavior="overflow")
    assert world.state() == [1100, 0, 1125]


def test_i02_a_spend_limit_with_units_bought_beforehand(world: World) -> None:
    world.attach(world.prepaid(100), world.pay_per_use(200), quantities={"messages": 600})
    world.control(world.spend_limit(25))
    world.track(820)
    assert world.state() == [800, 0, 820]
    world.track(10)
    assert world.state() == [800, 0, 825]


def test_i04_a_customers_spend_limit_over_all_entities(world: World) -> None:
    _each_has_800(world)
    world.control(world.spend_limit(25))
    for name in ("e0", "e1"):
        world.track(810, name)
        assert world.state(name) == [800, 0, 810]
    assert world.allows(5, 6) == [True, False]
    world.track(10)
    assert world.state() == [1600, 0, 1625]
    assert world.refused(1)


def test_i05_each_entity_has_a_spend_limit_of_its_own(world: World) -> None:
    _each_has_800(world)
    for name, limit, second, usage in (("e0", 25, 10, 825), ("e1", 40, 25, 840)):
        world.control(world.spend_limit(limit), name)
        world.track(820, name)
        world.track(second, name)
        assert world.state(name) == [800, 0, usage]
    assert world.state() == [1600, 0, 1665]


def _each_has_800(world: World) -> None:
    world.attach(
        world.prepaid(100, **world.each),
        world.pay_per_use(200, **world.each),
        quantities={"messages": 600},
    )
    world.entities("e0", "e1")


def test_i07_parallel_tracks_stop_at_the_spend_limit_of_an_entity(world: World) -> None:
    world.entities("e1")
    world.attach(world.pay_per_use(5), entity="e1")
    world.control(world.spend_limit(5), "e1")
    body = world.body("e1", "messages", value=3, overage_behavior="reject")
    answers = world.at_once(*[("balances.track", body)] * 5)
    assert sorted(one.status_code for one in answers) == [200] * 3 + [400] * 2
    assert [world.state("e1"), world.state()] == [[5, 0, 9]] * 2
    assert world.stored_usage() == 9


def test_i08_a_spend_limit_in_credits(world: World) -> None:
    world.actions()
    world.attach(world.pay_per_use(100, most=300, feature="credits"))
    world.control(world.spend_limit(25, "credits"))
    world.track(600, feature="action1")
    assert world.state(None, "credits") == [100, 0, 120]
    world.track(50, feature="action1")
    assert world.state(None, "credits") == [100, 0, 125]
    assert world.refused(5, feature="action1")


def test_i10_a_spend_limit_that_is_disabled_caps_nothing(world: World) -> None:
    world.attach(world.pay_per_use(100))
    world.control(world.spend_limit(25))
    world.track(120)
    world.control(world.spend_limit(25, enabled=False))
    assert not world.refused(10)
    assert world.state() == [100, 0, 130]


def test_i11_a_spend_limit_in_percent_of_the_allowance(world: World) -> None:
    world.attach(world.monthly(100), world.pay_per_use(0))
    world.control(world.spend_limit(120, limit_type="usage_percentage"))
    world.track(210)
    assert world.state() == [100, 0, 210]
    world.track(10)
    assert world.state() == [100, 0, 220]
    assert world.refused(1)


def test_i13_the_allowance_of_an_add_on_does_not_raise_the_percentage(world: World) -> None:
    world.attach(world.monthly(100), world.pay_per_use(0))
    world.attach(world.monthly(100), add_on=True)
    world.control(world.spend_limit(120, limit_type="usage_percentage"))
    assert world.allows(320, 321) == [True, False]
    world.track(320)
    assert world.state() == [200, 0, 320]
    assert world.refused(1)


def test_i14_a_percentage_of_nothing_is_no_cap(world: World) -> None:
    world.attach(world.lifetime(100), price={"amount": 10, "interval": "one_off"})
    world.control(
        world.overage(enabled=True) | world.spend_limit(120, limit_type="usage_percentage")
    )
    world.track(100)
    assert not world.refused(500)
    assert world.state() == [100, 0, 600]


def test_i16_the_lowest_spend_limit_of_several_plans_counts(world: World) -> None:
    world.attach(
        world.lifetime(2000), world.pay_per_use(100), billing_controls=world.spend_limit(10)
    )
    world.attach(world.pay_per_use(100), billing_controls=world.spend_limit(50), add_on=True)
    world.track(2200)
    assert world.state() == [2200, 0, 2200]
    world.track(30)
    assert world.state() == [2200, 0, 2210]
    assert world.refused(1)


def percentage(world: World, percent: float) -> Json:
    return world.spend_limit(percent, limit_type="usage_percentage")


@pytest.mark.parametrize(
    ("limited", "items", "used"),
    [
        ("e1", {"each": 100}, 150),
        ("e1", {"shared": 100}, 150),
        ("e1", {"own": 100}, 150),
        ("e1", {"each": 40, "shared": 100, "own": 60}, 300),
        (None, {"each": 100}, 150),
        (None, {"own": 100}, 150),
        (None, {"shared": 60, "own": 100}, 240),
    ],
)
def test_a_percentage_is_one_of_what_plans_include_wherever_they_are(
    world: World, limited: str | None, items: dict[str, float], used: float
) -> None:
    world.entities("e1", "e2")
    for kind, included in items.items():
        more = world.each if kind == "each" else {}
        entity = "e1" if kind == "own" else None
        world.attach(world.pay_per_use(included, **more), entity=entity)
    world.control(percentage(world, 50), limited)
    included = sum(items.values())
    assert world.allows(used, used + 1, entity="e1") == [True, False]
    world.track(999, "e1")
    assert world.state("e1") == [included, 0, used]
    world.forget()
    assert world.refused(1, "e1")
    assert world.state("e1") == [included, 0, used]


def test_a_percentage_follows_the_plans(world: World) -> None:
    world.attach(world.pay_per_use(100), group="one")
    world.attach(world.monthly(30), add_on=True)
    world.entities("e1")
    world.control(percentage(world, 10), "e1")
    world.track(999, "e1")
    assert world.state("e1") == [130, 0, 140]
    world.attach(world.pay_per_use(300), group="one", price={"amount": 1, "interval": "month"})
    assert world.state("e1") == [330, 300, 30]
    world.track(999, "e1")
    assert world.state("e1") == [330, 0, 360]
