"""Which entry of billing controls decides, and the text it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.amounts import UNITS_MAX
from gateway.cycles import DAY_MS, MONDAY_MS, WEEK_MS
from gateway.documents import Subscription
from gateway.errors import FeatureNotFoundError, InvalidInputsError
from gateway.lifecycle.controls import (
    ControlScope,
    Source,
    check_amounts,
    compile_rules,
    decide,
    features_of,
)
from gateway.lifecycle.rules import Window, decode_rules
from gateway.messages.common import JsonObject
from gateway.rows import Kind, Row, RowDocument
from tests.unit.gateway.lifecycle.records import SSO, feature

FEATURES = {
    "messages": feature("messages", precision=2),
    "tokens": feature("tokens", precision=0),
    "sso": SSO,
}


def plan(controls: JsonObject, **fields: Any) -> Subscription:  # noqa: ANN401 - of a subscription
    values = {"id": "sub_1", "plan_id": "pro", "version": 1, "billing_controls": controls, **fields}
    return Subscription(**values)


def row(included: int, subscription_id: str = "sub_1", **columns: Any) -> Row:  # noqa: ANN401 - of a row
    document = RowDocument(subscription_id=subscription_id, included=included)
    given: dict[str, Any] = {"id": "r", "kind": Kind.SHARED, "grant": included}
    return Row(document=document, **given | columns)


def scope(
    controls: JsonObject | None = None, *plans: Subscription, **rows: list[Row]
) -> ControlScope:
    return ControlScope(Source.CUSTOMER, controls or {}, plans, rows)


def text(
    controls: JsonObject | None = None,
    *plans: Subscription,
    of: str = "messages",
    **rows: list[Row],
) -> str:
    return compile_rules(scope(controls, *plans, **rows), FEATURES).get(of, "")


def one(array: str, **entry: object) -> JsonObject:
    return {array: [{"feature_id": "messages", **entry}]}


def usage(limit: float, interval: str = "day", **entry: object) -> JsonObject:
    return one("usage_limits", limit=limit, interval=interval, **entry)


def spend(limit: float, **entry: object) -> JsonObject:
    return one("spend_limits", enabled=True, overage_limit=limit, **entry)


def test_without_controls_there_are_no_rules() -> None:
    assert compile_rules(scope(messages=[row(100)]), FEATURES) == {}
    assert compile_rules(scope({"usage_limits": None}, plan({})), FEATURES) == {}


def test_rules_come_in_a_fixed_order() -> None:
    controls = {
        **one("usage_alerts", threshold=1.5, threshold_type="usage", name="half"),
        **usage(5, anchor="utc"),
        **spend(25),
        **one("overage_allowed", enabled=True),
    }
    assert text(controls).split("\n") == [
        "o\t1",
        "s\t2500\t0",
        f"w\t\t500\tf\t{DAY_MS}\t0\t{{}}",
        'a\tusage\t150\t"half"',
    ]


@pytest.mark.parametrize(
    ("number", "units"),
    [
        (0.1, 10),
        (0.29, 29),
        (1.005, 101),
        (1.115, 112),
        (4.35, 435),
        (7, 700),
        (0, 0),
        (1e300, UNITS_MAX),
    ],
)
def test_amounts_are_those_of_the_number_as_it_is_written(number: float, units: int) -> None:
    assert decode_rules(text(usage(number))).windows[0].limit == units


def test_a_long_integer_is_exact() -> None:
    controls = {
        "usage_limits": [{"feature_id": "tokens", "limit": UNITS_MAX - 1, "interval": "day"}]
    }
    assert decode_rules(text(controls, of="tokens")).windows[0].limit == UNITS_MAX - 1


def test_unknown_and_boolean_features_have_no_rules() -> None:
    controls = {
        "overage_allowed": [
            {"feature_id": "gone", "enabled": True},
            {"feature_id": "sso", "enabled": True},
        ]
    }
    assert compile_rules(scope(controls), FEATURES) == {}


@pytest.mark.parametrize(
    ("interval", "cycle"),
    [
        ("day", ("f", DAY_MS, 0)),
        ("week", ("f", WEEK_MS, MONDAY_MS)),
        ("month", ("m", 1, 0)),
        ("year", ("m", 12, 0)),
    ],
)
def test_windows_of_the_calendar(interval: str, cycle: tuple[str, int, int]) -> None:
    (window,) = decode_rules(text(usage(1, interval, anchor="utc"))).windows
    assert (window.unit, window.every, window.anchor_ms) == cycle


FREE = plan({}, id="free", anchor_ms=1)
ADD_ON = plan({}, id="add_on", anchor_ms=2, cycle_unit="m", add_on=True)
PAID = plan({}, id="paid", anchor_ms=3, cycle_unit="m")


def monthly(subscription_id: str, anchor_ms: int, **columns: object) -> Row:
    made = row(9, subscription_id, unit="m", every=1, anchor_ms=anchor_ms, **columns)
    return replace(made, document=replace(made.document, apart=subscription_id == "add_on"))


def windows_of(
    controls: JsonObject | None, plans: Sequence[Subscription], rows: list[Row]
) -> Sequence[Window]:
    return decode_rules(text(controls, *plans, messages=rows)).windows


@pytest.mark.parametrize(
    ("rows", "anchor_ms"),
    [
        ([monthly("", 7), monthly("add_on", 6), monthly("free", 5)], 5),
        ([monthly("", 7), monthly("add_on", 6)], 6),
        ([monthly("", 7), row(9)], 7),
    ],
)
def test_windows_follow_the_balance_of_their_feature(rows: list[Row], anchor_ms: int) -> None:
    """Cold-path section 4.4: that of a plan outranks one of none."""
    cap = usage(1, "month")
    (window,) = decode_rules(text(cap, FREE, ADD_ON, PAID, messages=rows)).windows
    assert window.anchor_ms == anchor_ms


def test_a_window_of_an_entity_goes_along_with_its_own_balance_or_its_customers() -> None:
    entity = scope(usage(1, "month"), PAID)._replace(source=Source.ENTITY)
    held = entity._replace(rows={"messages": [monthly("free", 5)]})
    calendar = scope(usage(1, "month", anchor="utc"))._replace(source=Source.ENTITY)
    for of, found in ((entity, (3, True)), (held, (5, False)), (calendar, (0, False))):
        (window,) = decode_rules(compile_rules(of, FEATURES)["messages"]).windows
        assert (window.anchor_ms, window.follows) == found


@pytest.mark.parametrize("backwards", [False, True])
def test_windows_are_the_same_in_whatever_order_plans_and_rows_are_read(backwards: bool) -> None:
    rows = [monthly("free", 5, rank="1"), monthly("paid", 6, rank="2")]
    weekly = plan(usage(70, "week"), id="a", started_at=2)
    daily = plan(usage(10, "day"), id="b", started_at=1)
    older = plan({}, id="d", started_at=1, anchor_ms=8, cycle_unit="m")
    newer = plan({}, id="c", started_at=2, anchor_ms=9, cycle_unit="m")
    turn = -1 if backwards else 1
    (with_rows,) = windows_of(usage(1), (FREE, PAID), rows[::turn])
    (without,) = windows_of(usage(1), (older, newer)[::turn], [])
    (tied,) = windows_of(None, (weekly, daily)[::turn], [])
    assert (with_rows.anchor_ms, without.anchor_ms, tied.every) == (5, 8, DAY_MS)


@pytest.mark.parametrize(
    ("interval", "plans", "anchor_ms"),
    [
        ("month", [FREE, ADD_ON, PAID], 3),
        ("month", [FREE, ADD_ON], 0),
        ("week", [], MONDAY_MS),
    ],
)
def test_windows_of_what_never_resets_follow_the_main_paid_plan_or_else_the_calendar(
    interval: str, plans: list[Subscription], anchor_ms: int
) -> None:
    rows = [row(9), monthly("", 7, expires_ms=8)]
    (window,) = decode_rules(text(usage(1, interval), *plans, messages=rows)).windows
    assert window.anchor_ms == anchor_ms


def test_filters_make_limits_of_their_own() -> None:
    filters = [None, {"properties": {"model": "a"}}, {"properties": {"model": ["b", "a"]}}]
    controls = {
        "usage_limits": [
            {"feature_id": "messages", "limit": at, "interval": "day", "filter": one}
            for at, one in enumerate(filters)
        ]
    }
    windows = decode_rules(text(controls)).windows
    assert [window.filter for window in windows] == [
        '{"model":"a"}',
        '{"model":["a","b"]}',
        "{}",
    ]
    assert len({window.key for window in windows}) == 3
    assert windows[-1].key == ""


def test_of_plans_the_lowest_rate_per_day_counts_and_of_equals_the_calendar() -> None:
    monthly, daily = plan(usage(60, "month")), plan(usage(3, "day"))
    assert decode_rules(text(None, daily, monthly)).windows[0].limit == 6000
    cycle, calendar = plan(usage(30, "month")), plan(usage(1, "day", anchor="utc"))
    assert decode_rules(text(None, cycle, calendar)).windows[0].every == DAY_MS
    off = plan(usage(1, enabled=False))
    assert decode_rules(text(None, off, daily)).windows[0].limit == 300


def test_an_own_limit_wins_over_those_of_plans_and_hides_them_even_when_it_is_off() -> None:
    assert decode_rules(text(usage(100), plan(usage(5)))).windows[0].limit == 10000
    assert text(usage(100, enabled=False), plan(usage(5))) == ""
    assert text(one("spend_limits", enabled=False), plan(spend(5))) == ""
    assert text(one("overage_allowed"), plan(one("overage_allowed", enabled=True))) == "o\t0"


def test_an_own_limit_with_a_filter_leaves_that_of_a_plan_without_one() -> None:
    own = usage(1, filter={"properties": {"a": 1}})
    limits = [window.limit for window in decode_rules(text(own, plan(usage(5)))).windows]
    assert sorted(limits) == [100, 500]


def test_an_entry_of_an_entity_that_is_off_hides_that_of_the_customer() -> None:
    controls = {**usage(5, enabled=False), **one("spend_limits", overage_limit=1)}
    own = scope(controls, plan(usage(9)), plan(spend(9)))._replace(source=Source.ENTITY)
    assert compile_rules(own, FEATURES) == {"messages": "h\ts\nh\tw\t"}
    of_its_plan = scope(None, plan(usage(5, enabled=False)))._replace(source=Source.ENTITY)
    assert compile_rules(of_its_plan, FEATURES) == {}


def test_of_plans_a_forbidden_overage_counts() -> None:
    yes, no = one("overage_allowed", enabled=True), one("overage_allowed", enabled=False)
    assert text(None, plan(yes), plan(no)) == "o\t0"
    assert text(None, plan(yes)) == "o\t1"


def test_of_plans_the_lowest_spend_limit_counts() -> None:
    off = one("spend_limits", overage_limit=1)
    assert text(None, plan(spend(50)), plan(spend(10)), plan(off)) == "s\t1000\t0"
    assert text(None, plan(off)) == ""


def test_a_percentage_is_a_share_in_millionths() -> None:
    for percent, share in ((120, 1_200_000), (0.00005, 1), (33.33333, 333_333), (0, 0)):
        controls = spend(percent, limit_type="usage_percentage")
        assert text(controls, messages=[row(1)]) == f"s\t{share}\t1"


def test_percentages_of_plans_are_compared_by_what_main_recurring_plans_include() -> None:
    half = spend(50, limit_type="usage_percentage")
    others = [plan({}, id="sub_2", add_on=True), plan({}, id="sub_3", one_off=True)]
    rows = [row(300, kind=Kind.PER_ENTITY), row(500), row(1, "sub_2"), row(1, "sub_3"), row(1, "")]
    for limit, line in ((3.99, "s\t399\t0"), (4.01, "s\t500000\t1")):
        of_plans = [plan(half), plan(spend(limit)), *others]
        assert text(None, *of_plans, messages=rows) == line
    assert text(None, plan(half), plan(spend(4)), messages=rows[2:]) == "s\t400\t0"


def test_an_entry_without_a_feature_is_for_all_the_scope_has_rows_of() -> None:
    controls = {
        "spend_limits": [
            {"enabled": True, "overage_limit": 3},
            {"feature_id": "tokens", "enabled": True, "overage_limit": 1},
        ],
        "usage_alerts": [{"threshold": 80, "threshold_type": "usage_percentage"}],
    }
    rows = {"messages": [row(1)], "tokens": [row(1)], "sso": [row(0, kind=Kind.FLAG)]}
    assert compile_rules(scope(controls, **rows), FEATURES) == {
        "messages": "s\t300\t0\na\tusage_percentage\t8000\t",
        "tokens": "s\t1\t0\na\tusage_percentage\t8000\t",
    }
    assert compile_rules(scope(controls), FEATURES) == {"tokens": "s\t1\t0"}


def test_own_alerts_hide_those_of_plans() -> None:
    of_plan = plan(one("usage_alerts", threshold=1, threshold_type="remaining"))
    own = one("usage_alerts", threshold=12.345, threshold_type="remaining_percentage")
    assert text(own, of_plan) == "a\tremaining_percentage\t1235\t"
    assert text(None, of_plan, of_plan) == "a\tremaining\t100\t\na\tremaining\t100\t"
    assert (
        text(one("usage_alerts", threshold=1, threshold_type="usage", enabled=False), of_plan) == ""
    )


def test_a_decision_says_whose_entry_it_is() -> None:
    held = scope(spend(5), plan(usage(5)))._replace(source=Source.ENTITY)
    decisions = decide(held, FEATURES["messages"])
    assert [(one.source, one.array) for one in decisions] == [
        (Source.ENTITY, "spend_limits"),
        (Source.PLAN, "usage_limits"),
    ]


@pytest.mark.parametrize(
    ("controls", "place"),
    [
        (usage(1e300), "billing_controls.usage_limits.0.limit"),
        (usage(0.001), "billing_controls.usage_limits.0.limit"),
        (spend(1e17), "billing_controls.spend_limits.0.overage_limit"),
        (
            {"overage_allowed": [{"feature_id": "sso"}]},
            "billing_controls.overage_allowed.0.feature_id",
        ),
    ],
)
def test_amounts_a_feature_cannot_hold_are_refused(controls: JsonObject, place: str) -> None:
    with pytest.raises(InvalidInputsError, match=f"^{place}: "):
        check_amounts(controls, FEATURES)


def test_controls_of_an_unknown_feature_are_refused() -> None:
    controls = {"auto_topups": [{"feature_id": "gone", "threshold": 1, "quantity": 1}]}
    with pytest.raises(FeatureNotFoundError, match=r"^billing_controls.auto_topups.0.feature_id: "):
        check_amounts(controls, FEATURES)
    assert features_of(controls) == {"gone"}


def test_a_percentage_may_be_finer_than_the_feature() -> None:
    check_amounts(spend(0.001, limit_type="usage_percentage"), FEATURES)
    check_amounts({"spend_limits": [{"enabled": True, "overage_limit": 5}]}, FEATURES)


def test_windows_of_a_credit_system_say_that_they_are_about_its_rows() -> None:
    system = feature("messages", type="credit_system")
    limited = scope(usage(5), messages=[row(100)])
    assert compile_rules(limited, {"messages": system})["messages"].split("\n")[1:] == ["c\t1"]
    assert compile_rules(limited, FEATURES)["messages"].count("\n") == 0
    spending = scope(spend(5), messages=[row(100)])
    assert "c\t1" not in compile_rules(spending, {"messages": system})["messages"]
