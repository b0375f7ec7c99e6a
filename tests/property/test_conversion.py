"""Conversion between a feature and a credit system: the plain ledger's, on any ratio and any rows.

What all rows of a credit system gave together is worth what was asked for, to within one unit of
the credit system, however the amount was cut up between rows and whatever the precisions.
"""

from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import given

from gateway.rows import Kind, Row
from tests.property.balances import Balance, Place, Source
from tests.property.spending import Pool, Spending, convert

ratios = st.fractions(min_value=Fraction(1, 10**6), max_value=10**6, max_denominator=10**6).filter(
    bool
)
grants = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)
amounts = st.integers(1, 10**6)


def spend(grants: list[int], ratio: Fraction, amount: int) -> tuple[int, list[int]]:
    """Return tracked units left over, and what each row gave."""
    rows = [Row(id=str(at), kind=Kind.SHARED, grant=grant) for at, grant in enumerate(grants)]
    places = [Place(Balance(row, 0), "") for row in rows]
    sources = [Source(1, [place], "", None) for place in places]
    pools = [Pool("calls"), Pool("coins", ratio.numerator, ratio.denominator)]
    spending = Spending(pools, sources)
    spending.spend(amount)
    return spending.left, [place.used for place in places]


@given(amounts, ratios)
def test_conversion_is_the_nearest_unit_halves_up(units: int, ratio: Fraction) -> None:
    cost = convert(units, ratio.numerator, ratio.denominator)
    assert Fraction(-1, 2) < cost - units * ratio <= Fraction(1, 2)


@given(grants, ratios, amounts)
def test_deductions_convert_back_to_what_was_applied(
    grants: list[int], ratio: Fraction, amount: int
) -> None:
    left, given_by_rows = spend(grants, ratio, amount)
    # Half a unit of the credit system from rounding; less than one tracked unit from its end.
    off = sum(given_by_rows) - (amount - left) * ratio
    assert -1 < off < max(Fraction(1), ratio)
    if not left:
        assert abs(off) <= Fraction(1, 2)


@given(grants, ratios, amounts)
def test_how_rows_cut_a_grant_up_does_not_matter(
    grants: list[int], ratio: Fraction, amount: int
) -> None:
    left, given_by_rows = spend(grants, ratio, amount)
    assert (left, sum(given_by_rows)) == (
        (whole := spend([sum(grants)], ratio, amount))[0],
        sum(whole[1]),
    )


@given(grants, ratios, amounts)
def test_what_is_left_over_means_that_the_rows_are_empty(
    grants: list[int], ratio: Fraction, amount: int
) -> None:
    left, given_by_rows = spend(grants, ratio, amount)
    if left:
        assert given_by_rows == grants
        assert convert(amount, ratio.numerator, ratio.denominator) >= sum(grants)
