"""The plain ledger itself on worked examples (hot-path sections 3.6, 3.8 and 5): whoever compares
with it must be able to trust it.
"""

from __future__ import annotations

import pytest

from gateway.rows import Kind, Row
from gateway.scripts import Status
from tests.property.balances import Balance
from tests.property.reference import Ledger
from tests.property.rules import Properties, RuleText, Spend, Window

JAN, FEB, MAR, APR = 1_704_067_200_000, 1_706_745_600_000, 1_709_251_200_000, 1_711_929_600_000
DAY = 86_400_000
CREDIT = {"action1": [("credits", 1, 5)], "action2": [("credits", 3, 5)]}


def row(row_id: str, grant: int, **columns: object) -> Row:
    return Row(id=row_id, kind=Kind.SHARED, **({"grant": grant, "rank": row_id} | columns))  # type: ignore[arg-type]


def slots(row_id: str, grant: int, **columns: object) -> Row:
    each = {"kind": Kind.PER_ENTITY, "entity_feature": "seats", "grant": grant, "rank": row_id}
    return Row(id=row_id, **(each | columns))  # type: ignore[arg-type]


def ledger(*seats: str, **rows: list[Row]) -> Ledger:
    made = Ledger(CREDIT)
    for feature, some in rows.items():
        made.shared[feature] = [Balance(one, FEB if one.unit else 0) for one in some]
    for name in seats:
        assert made.create_entity(JAN, name, "seats", 1, 10) is Status.DONE
    return made


def left(of: Ledger, feature: str, scope: str = "") -> list[int]:
    return [
        place.balance.row.grant - place.used
        for source in of.sources([feature], scope)
        for place in source.places
    ]


def track(of: Ledger, feature: str, amount: int, mode: str = "cap", scope: str = "") -> int:
    """Return what was applied."""
    return sum(of.track(JAN, scope, mode, [(feature, amount)]).applied)


def test_own_units_go_first_and_credits_pay_the_rest_converted() -> None:
    of = ledger(action1=[row("a", 1000)], credits=[row("c", 2000)])  # units of a tenth
    track(of, "action1", 405)
    assert left(of, "action1") == [595]
    track(of, "action1", 800)
    assert (left(of, "action1"), left(of, "credits")) == ([0], [1959])


def test_conversion_rounds_half_up_once_over_all_rows_of_a_pool() -> None:
    of = ledger(credits=[row("a", 1), row("b", 1), row("c", 10)])
    track(of, "action2", 4)  # 2.4 credits
    assert left(of, "credits") == [0, 0, 10]
    track(of, "action2", 6)  # 3.6
    assert left(of, "credits") == [0, 0, 6]


def test_what_credits_cannot_cover_is_dropped_or_refuses_all() -> None:
    of = ledger(credits=[row("c", 2)])
    assert track(of, "action1", 15, "reject") == 0
    assert left(of, "credits") == [2]
    assert track(of, "action1", 15) == 10


def test_rollovers_of_all_pools_go_first_by_expiry() -> None:
    rolled = {"flags": "r", "roll": "x"}
    of = ledger(
        action1=[row("late", 10, expires_ms=APR, **rolled), row("main", 10)],
        credits=[row("soon", 1, expires_ms=MAR, **rolled), row("ever", 1, **rolled)],
    )
    assert of.track(JAN, "", "cap", [("action1", 12)]).moved == [{"soon": 1, "late": 7}]
    assert of.track(JAN, "", "cap", [("action1", 11)]).moved == [{"late": 3, "ever": 1, "main": 3}]
    assert of.track(JAN, "", "cap", [("action1", -20)]).moved == [{"main": -3}]


def test_credits_go_by_rank_whichever_system_they_are_of() -> None:
    of = ledger(gold=[row("a", 1), row("c", 1)], iron=[row("b", 1), row("d", 1)])
    of.credit = {"action1": [("gold", 1, 1), ("iron", 1, 1)]}
    assert of.track(JAN, "", "cap", [("action1", 3)]).moved == [{"a": 1, "b": 1, "c": 1}]


def test_unlimited_credits_leave_finite_rows_alone() -> None:
    of = ledger(action1=[row("a", 100)], credits=[row("u", 0, flags="u")])
    assert of.track(JAN, "", "cap", [("action1", 5)]).moved == [{"u": 1}]


def test_group_order_of_an_entity_and_of_the_customer() -> None:
    of = ledger("zoe", action1=[row("a", 1), slots("s", 1)], credits=[row("c", 1), slots("k", 1)])
    of.entities["zoe"].own["action1"] = [Balance(row("own", 1), 0)]
    entity, customer = (
        of.sources(["action1", "credits"], "zoe"),
        of.sources(["action1", "credits"], ""),
    )
    assert [one.places[0].balance.row.id for one in entity] == ["own", "s", "k", "a", "c"]
    assert [one.places[0].balance.row.id for one in customer] == ["a", "c", "s", "k", "own"]


def test_a_spend_limit_replaces_the_cap_and_is_one_for_the_pool() -> None:
    rows = [row("ppu", 100, flags="o", floor=300), row("life", 1000)]
    of = ledger(calls=rows)
    of.set_rules("calls", "", RuleText(spend=Spend(25)))
    assert track(of, "calls", 1120) == 1120
    assert track(of, "calls", 10, "reject") == 0
    assert track(of, "calls", 10) == 5
    assert track(of, "calls", 10, "overflow") == 0


def test_a_spend_limit_binds_each_entity_call_alone_and_the_customer_over_all_slots() -> None:
    of = ledger("e0", "e1", calls=[slots("s", 800, flags="o")])
    of.set_rules("calls", "", RuleText(spend=Spend(25)))
    assert [track(of, "calls", 810, scope=name) for name in ("e0", "e1")] == [810, 810]
    assert track(of, "calls", 10) == 5


def test_what_entities_overdraw_of_their_own_is_not_in_the_limit_of_the_customer() -> None:
    of = ledger("zoe", calls=[row("a", 10, flags="o")])
    of.entities["zoe"].own["calls"] = [Balance(row("own", 10, flags="o"), 0)]
    of.set_rules("calls", "zoe", RuleText(spend=Spend(100)))
    of.set_rules("calls", "", RuleText(spend=Spend(25)))
    assert track(of, "calls", 70, scope="zoe") == 70
    assert track(of, "calls", 50) == 25


def test_what_a_spend_limit_leaves_of_an_overflow_is_dropped() -> None:
    of = ledger(action1=[row("a", 0)], credits=[row("c", 0, flags="o")])
    of.set_rules("action1", "", RuleText(spend=Spend(25)))
    assert track(of, "action1", 40, "overflow") == 25
    assert (left(of, "action1"), left(of, "credits")) == ([-25], [0])


@pytest.mark.parametrize(
    ("overage", "flags", "applied"),
    [("1", "", 15), ("", "", 10), ("0", "o", 10), ("0", "af", 10), ("", "o", 15), ("", "af", 15)],
)
def test_a_control_allows_or_forbids_overage(overage: str, flags: str, applied: int) -> None:
    of = ledger(calls=[row("a", 10, flags=flags)])
    of.set_rules("calls", "", RuleText(overage=overage))
    assert track(of, "calls", 15) == applied


def test_a_control_adds_nothing_where_a_row_is_pay_per_use() -> None:
    of = ledger(calls=[row("a", 10), row("b", 0, flags="o", floor=3)])
    of.set_rules("calls", "", RuleText(overage="1"))
    assert track(of, "calls", 20) == 13
    assert left(of, "calls") == [0, -3]


def test_a_window_of_the_tracked_feature_counts_whatever_paid() -> None:
    of = ledger(action1=[row("a", 5)], credits=[row("c", 100)])
    of.set_rules("action1", "", RuleText(windows=[Window(8, "f", DAY, JAN)]))
    assert of.track(JAN, "", "cap", [("action1", 10)]).moved == [{"a": 5, "c": 1}]
    assert track(of, "action1", 1) == 0
    assert track(of, "action1", 1, "reject") == 0
    assert track(of, "action1", 10, "overflow") == 10
    assert sum(of.track(JAN + DAY, "", "cap", [("action1", 10)]).applied) == 8


def test_a_window_of_a_credit_system_counts_its_units_whatever_was_tracked() -> None:
    of = ledger(credits=[row("c", 100)])
    of.set_rules("credits", "", RuleText(windows=[Window(1, "f", DAY, JAN)]))
    assert track(of, "action1", 8) == 5
    assert track(of, "action2", 1) == 0
    assert left(of, "credits") == [99]


def test_what_costs_nothing_is_not_paid_where_nothing_may_be_used() -> None:
    of = ledger(credits=[row("c", 100)])
    assert track(of, "action1", 2) == 2  # 0.4 credits
    of.set_rules("credits", "", RuleText(windows=[Window(0, "f", DAY, JAN)]))
    assert track(of, "action1", 2) == 0


def test_a_filtered_window_binds_only_what_it_is_about() -> None:
    of = ledger(calls=[row("a", 100)])
    only = Window(3, "f", DAY, JAN, '{"model":["big",1]}')
    of.set_rules("calls", "", RuleText(windows=[only]))
    uses: list[Properties] = [
        {"model": "big"},
        {"model": 1},
        {"model": True},
        {"model": "small"},
        {},
    ]
    outcomes = [of.track(JAN, "", "cap", [("calls", 2)], use) for use in uses]
    assert [one.applied for one in outcomes] == [[2], [1], [2], [2], [2]]


def test_a_window_of_an_entity_stands_in_for_the_customers() -> None:
    of = ledger("zoe", "bob", calls=[row("a", 100)])
    of.set_rules("calls", "", RuleText(windows=[Window(5, "f", DAY, JAN)]))
    of.set_rules("calls", "zoe", RuleText(windows=[Window(9, "f", DAY, JAN)]))
    assert [track(of, "calls", 20, scope=one) for one in ("zoe", "bob", "")] == [9, 5, 0]


def test_events_of_several_features_are_one_step() -> None:
    of = ledger(action1=[row("a", 5)], credits=[row("c", 1)])
    both = [("action1", 10), ("action2", 2)]
    assert of.track(JAN, "", "reject", both).status is Status.DENIED
    assert of.track(JAN, "", "cap", both).applied == [10, 0]


def test_what_is_left_rolls_over_within_the_maximum_and_expires() -> None:
    monthly = {"unit": "m", "every": 1, "anchor_ms": JAN}
    of = ledger(calls=[row("m", 400, roll="80:1", **monthly)])
    track(of, "calls", 250)
    of.arrive(FEB)
    assert left(of, "calls") == [80, 400]
    of.arrive(MAR - 1)
    assert left(of, "calls") == [80, 400]
    of.arrive(MAR)
    assert left(of, "calls") == [80, 400]
    assert [one.row.expires_ms for one in of.shared["calls"]] == [APR, 0]


def test_the_rollover_that_expires_first_is_cut_first() -> None:
    monthly = {"unit": "m", "every": 1, "anchor_ms": JAN}
    of = ledger(calls=[row("m", 500, roll="600:3", **monthly)])
    of.arrive(FEB)
    of.arrive(MAR)
    assert left(of, "calls") == [100, 500, 500]


def test_each_slot_rolls_over_to_its_entity() -> None:
    of = ledger("e0", "e1", calls=[slots("s", 400, roll="500:0", unit="m", every=1, anchor_ms=JAN)])
    assert (track(of, "calls", 100, scope="e0"), track(of, "calls", 200, scope="e1")) == (100, 200)
    of.arrive(FEB)
    assert (left(of, "calls", "e0"), left(of, "calls", "e1")) == ([300, 400], [200, 400])
    of.arrive(MAR)
    assert (left(of, "calls", "e0"), left(of, "calls", "e1")) == ([100, 400, 400], [100, 400, 400])
    assert sum(left(of, "calls")) == 1800


def test_use_beyond_the_grant_stays_where_the_row_says_so() -> None:
    of = ledger(calls=[row("m", 50, flags="ok", unit="m", every=1, anchor_ms=JAN)])
    track(of, "calls", 70)
    of.arrive(FEB)
    assert left(of, "calls") == [30]
