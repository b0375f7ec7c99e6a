"""Decimal amounts on the wire, scaled integers everywhere else: no float ever holds a balance.

An amount is an integer number of 10^-precision units. Redis' Lua counts exactly up to 2^53, so
precision and range trade off per feature: precision 6 leaves 9.0e9 units, 9 leaves 9.0e6, 0 leaves
9.0e15. ``fit_precision`` finds the finest precision that still holds a grant. Everything else in
the project adds plain integers.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

from gateway.errors import InvalidInputsError

UNITS_MAX = 9_007_199_254_740_991
"""Largest count of units: 2^53 - 1; beyond it Lua numbers are no longer exact."""

INCLUDED_MAX = Decimal(10) ** 13
"""Largest grant a plan may ask for, ten trillion (cold-path section 2.3, rule 3)."""

ENTITIES_MAX = 1_000_000
"""Entities a per-entity grant is counted for when its range is checked."""

ENTITIES_SURE = 1_000
"""Entities a per-entity grant has room for whatever the precision of its feature, which stays as it
is once the feature is in use; with more of them ``create_entity`` looks.
"""

PRECISION_MAX = 9
PRECISION_DEFAULT = 6
PRECISION_CREDITS = 9

_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")
_DIGITS_MAX = len(str(UNITS_MAX))
_TEXT_MAX = 64  # characters of a JSON number; longer ones carry no meaning a balance could hold
_EXPONENT_MAX = len("e-9999")
_EXACT = Context(prec=200, rounding=ROUND_HALF_UP, Emin=-999_999, Emax=999_999)


def json_type(raw: bytes) -> str:
    """Name the JSON type of a raw value the way error messages do."""
    first = raw[:1]
    names = {
        b'"': "string",
        b"{": "object",
        b"[": "array",
        b"t": "boolean",
        b"f": "boolean",
        b"n": "null",
    }
    return names.get(first, "number")


def parse_decimal(raw: bytes, *, field: str) -> Decimal:
    """Return the exact decimal of a raw JSON number.

    Errors: ``InvalidInputsError`` naming the field for another JSON type or a number of absurd
    length.
    """
    match = _NUMBER.match(raw)
    if match is None:
        raise InvalidInputsError(f"{field}: must be a number (received {json_type(raw)})")
    if len(raw) > _TEXT_MAX or len(match[2] or b"") > _EXPONENT_MAX:
        raise InvalidInputsError(
            f"{field}: a number has at most {_TEXT_MAX} characters, its exponent 4 digits"
        )
    return _EXACT.create_decimal(raw.decode())


def parse_units(raw: bytes, precision: int, *, field: str) -> int:
    """Return a raw JSON number as units of 10^-precision, rounded half up.

    Errors: ``InvalidInputsError`` when the value is not a number, is outside the range of the
    precision, or is not zero but would round to zero (nothing is dropped in silence).
    """
    return to_units(parse_decimal(raw, field=field), precision, field=field)


def to_units(value: Decimal, precision: int, *, field: str) -> int:
    """Return a decimal as units of 10^-precision, rounded half up; errors as ``parse_units``."""
    if value.adjusted() + precision > _DIGITS_MAX:  # before scaling, so that 1e400 costs nothing
        raise _out_of_range(field, precision)
    units = int(value.scaleb(precision, _EXACT).to_integral_value(ROUND_HALF_UP, _EXACT))
    if abs(units) > UNITS_MAX:
        raise _out_of_range(field, precision)
    if units == 0 and value:
        smallest = format_units(1, precision)
        raise InvalidInputsError(
            f"{field}: rounds to zero at {precision} decimal places; the smallest is {smallest}"
        )
    return units


def _out_of_range(field: str, precision: int) -> InvalidInputsError:
    largest = format_units(UNITS_MAX, precision)
    return InvalidInputsError(
        f"{field}: outside the range ±{largest} of precision {precision}; "
        "a feature with a lower precision holds larger amounts, and tallygate rescale changes that "
        "of one in use",
    )


def format_units(units: int, precision: int) -> str:
    """Return units as an exact decimal JSON number: 10.15, not 10.149999 and not 10.150000."""
    if precision == 0:
        return str(units)
    scale = 10**precision
    whole, fraction = divmod(abs(units), scale)
    sign = "-" if units < 0 else ""
    if fraction == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:0{precision}d}".rstrip("0")


def fits(value: Decimal, precision: int) -> bool:
    """Whether a grant of this value stays inside the range of the precision."""
    return value.scaleb(precision) <= UNITS_MAX


def fit_precision(value: Decimal, precision: int) -> int | None:
    """Return the finest precision up to the given one that holds a grant of this value, or None."""
    for candidate in range(precision, -1, -1):
        if fits(value, candidate):
            return candidate
    return None
