"""Exact amounts: from the wire to units and back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import (
    UNITS_MAX,
    fit_precision,
    fits,
    format_units,
    json_type,
    parse_decimal,
    parse_units,
)
from gateway.errors import InvalidInputsError

units = st.integers(-UNITS_MAX, UNITS_MAX)
precisions = st.integers(0, 9)


@given(units, precisions)
def test_units_survive_the_wire(value: int, precision: int) -> None:
    text = format_units(value, precision)

    assert parse_units(text.encode(), precision, field="value") == value


@given(units, precisions)
def test_units_are_written_without_exponent_and_trailing_zeros(value: int, precision: int) -> None:
    text = format_units(value, precision)

    assert "e" not in text.lower()
    assert "." not in text or not text.endswith("0")
    assert Decimal(text) == Decimal(value).scaleb(-precision)


@pytest.mark.parametrize(
    ("raw", "precision", "expected"),
    [
        (b"1", 6, 1_000_000),
        (b"2.0", 0, 2),
        (b"0.30000000000000004", 6, 300_000),
        (b"0.0000005", 6, 1),
        (b"-0.0000005", 6, -1),
        (b"10.149999999999999", 2, 1015),
        (b"1E3", 0, 1000),
        (b"1e-3", 3, 1),
        (b"-0", 6, 0),
        (b"9007199254740991", 0, UNITS_MAX),
    ],
)
def test_a_number_is_rounded_half_up(raw: bytes, precision: int, expected: int) -> None:
    assert parse_units(raw, precision, field="value") == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'"5"', "value: must be a number (received string)"),
        (b"true", "value: must be a number (received boolean)"),
        (b"null", "value: must be a number (received null)"),
        (b"[1]", "value: must be a number (received array)"),
        (b"{}", "value: must be a number (received object)"),
        (b"1e400", "value: outside the range"),
        (b"-1e17", "value: outside the range"),
        (b"9007199255", "value: outside the range"),
        (b"0.0000004", "value: rounds to zero at 6 decimal places"),
        (b"1" * 65, "value: a number has at most 64 characters"),
    ],
)
def test_what_is_no_amount_is_refused_with_its_field(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        parse_units(raw, 6, field="value")

    assert caught.value.message.startswith(message)


def test_a_huge_exponent_costs_nothing() -> None:
    with pytest.raises(InvalidInputsError):
        parse_units(b"1e999999", 9, field="value")


def test_a_decimal_is_read_exactly() -> None:
    assert parse_decimal(b"0.1234567890123456789", field="x") == Decimal("0.1234567890123456789")


@given(st.integers(0, 10**19), precisions)
def test_the_finest_precision_that_fits_is_found(value: int, precision: int) -> None:
    found = fit_precision(Decimal(value), precision)

    if found is None:
        assert not fits(Decimal(value), 0)
    else:
        assert fits(Decimal(value), found)
        assert found == precision or not fits(Decimal(value), found + 1)


def test_a_million_tokens_a_seat_leave_three_decimal_places() -> None:
    assert fit_precision(Decimal(1_000_000) * 1_000_000, 6) == 3


def test_json_types_have_their_names() -> None:
    assert [json_type(raw) for raw in (b"1", b'"', b"t", b"n")] == [
        "number",
        "string",
        "boolean",
        "null",
    ]
