"""Amounts from the wire to units and back: nothing is lost, nothing is rounded twice."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.amounts import (
    PRECISION_MAX,
    UNITS_MAX,
    fit_precision,
    fits,
    format_units,
    parse_units,
    to_units,
)
from gateway.errors import InvalidInputsError

precisions = st.integers(0, PRECISION_MAX)
units = st.integers(-UNITS_MAX, UNITS_MAX)
numbers = st.decimals(-10_000, 10_000, allow_nan=False, allow_infinity=False, places=14)


@given(units, precisions)
def test_what_is_printed_is_read_back_exactly(amount: int, precision: int) -> None:
    printed = format_units(amount, precision)
    assert parse_units(printed.encode(), precision, field="value") == amount
    assert Fraction(printed) == Fraction(amount, 10**precision)


@given(units, precisions)
def test_what_is_printed_has_no_needless_digit(amount: int, precision: int) -> None:
    printed = format_units(amount, precision)
    assert "e" not in printed.lower()
    assert printed != "-0"
    if "." in printed:
        assert not printed.endswith(("0", "."))


@given(numbers, precisions)
@example(Decimal("0.30000000000000004"), 6)
@example(Decimal("0.5"), 0)
@example(Decimal("-0.5"), 0)
def test_rounding_is_half_up_and_never_makes_nothing_of_something(
    number: Decimal, precision: int
) -> None:
    rounded = number.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)
    if number and not rounded:
        with pytest.raises(InvalidInputsError, match="rounds to zero"):
            to_units(number, precision, field="value")
        return
    amount = to_units(number, precision, field="value")
    assert amount == int(rounded.scaleb(precision))
    assert abs(Fraction(amount, 10**precision) - Fraction(number)) <= Fraction(1, 2 * 10**precision)


@given(st.integers(UNITS_MAX + 1, UNITS_MAX * 10**9), precisions, st.sampled_from((1, -1)))
def test_what_redis_could_not_count_is_refused(amount: int, precision: int, sign: int) -> None:
    text = str(Decimal(sign * amount).scaleb(-precision))
    with pytest.raises(InvalidInputsError, match="outside the range"):
        parse_units(text.encode(), precision, field="value")


@given(st.decimals(0, 10**13, places=2), precisions, st.sampled_from((1, 1_000_000)))
def test_the_finest_precision_that_holds_a_grant_is_found(
    grant: Decimal, precision: int, copies: int
) -> None:
    grant *= copies
    found = fit_precision(grant, precision)
    assume(found is not None)
    assert found is not None
    assert fits(grant, found)
    assert found == precision or not fits(grant, found + 1)
