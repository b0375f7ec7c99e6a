"""Numbers and look-ups the catalog rules share."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidInputsError
from gateway.lifecycle.catalog import (
    bounded,
    decimal_places,
    feature_view,
    item_total,
    needs_of,
    plain,
    resolve_reset,
)
from gateway.messages.features import StoredCost
from gateway.messages.plans import ItemPrice, PlanDocument, PlanItem
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature, plan

amounts = st.decimals(0, 10**13, places=9)


@given(amounts)
def test_a_plain_text_is_the_same_number(value: Decimal) -> None:
    assert Decimal(plain(value)) == value
    assert "E" not in plain(value)


@pytest.mark.parametrize(
    ("text", "expected"), [("1E+3", "1000"), ("10.1500", "10.15"), ("0.00", "0"), ("-0", "0")]
)
def test_a_plain_text_has_no_exponent_and_no_trailing_zeros(text: str, expected: str) -> None:
    assert plain(Decimal(text)) == expected


@given(amounts, st.integers(0, 9))
def test_a_bounded_number_has_no_more_places_than_asked_for(value: Decimal, places: int) -> None:
    if value and value < Decimal("0.5").scaleb(-places):
        with pytest.raises(InvalidInputsError):
            bounded(value, places, Decimal(10) ** 13, "x")
        return
    rounded = bounded(value, places, Decimal(10) ** 13, "x")

    assert decimal_places(rounded) <= places
    assert abs(rounded - value) <= Decimal("0.5").scaleb(-places)


@pytest.mark.parametrize("text", ["-1", "101", "1E+999999"])
def test_a_number_outside_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputsError, match="x: must"):
        bounded(Decimal(text), 2, Decimal(100), "x")


def test_a_per_entity_grant_counts_for_a_million_entities() -> None:
    item = PlanItem(feature_id="f", included="1.5", entity_feature_id="seats")

    assert item_total(item) == Decimal(1_500_000)


def test_what_may_be_bought_counts_and_what_is_unlimited_does_not() -> None:
    price = ItemPrice(interval="month", billing_method="usage_based", max_purchase="400")

    assert item_total(PlanItem(feature_id="f", included="100", price=price)) == Decimal(500)
    assert item_total(PlanItem(feature_id="f", unlimited=True)) == 0


def test_the_need_of_a_feature_is_the_largest_plan_and_the_finest_grant() -> None:
    first = PlanDocument(name="a", items=[PlanItem(feature_id="f", included="10.25")])
    second = PlanDocument(
        name="b",
        items=[PlanItem(feature_id="f", included="7"), PlanItem(feature_id="f", included="8")],
    )

    need = needs_of("f", [plan("a", first), plan("b", second)])

    assert need == (Decimal(15), 2)


def test_resets_are_resolved() -> None:
    yearly = ("year", 1)

    assert resolve_reset(SEATS, ("month", 1), yearly) == ("never", 1)
    assert resolve_reset(SSO, None, None) == ("never", 1)
    assert resolve_reset(feature(), None, None) == ("one_off", 1)
    assert resolve_reset(feature(), None, yearly) == yearly
    assert resolve_reset(feature(), ("month", 3), yearly) == ("month", 3)


def test_a_credit_system_shows_its_schema_and_others_have_none() -> None:
    cost = StoredCost(metered_feature_id="m", credit_cost="0.3")
    system = feature("credits", type="credit_system", credit_schema=[cost])

    shown = feature_view(system)

    assert isinstance(shown.credit_schema, list)
    assert bytes(shown.credit_schema[0].credit_cost) == b"0.3"
    assert not isinstance(feature_view(feature()).credit_schema, list)
