"""The column that says what a row keeps at its reset."""

from __future__ import annotations

import pytest

from gateway.lifecycle.rollover import roll_of
from gateway.messages.plans import Rollover

GRANT = 1_000_001


@pytest.mark.parametrize(
    ("rollover", "roll"),
    [
        (None, ""),
        (Rollover(), ":1"),
        (Rollover(max="80"), "8000:1"),
        (Rollover(max_percentage="50"), "500000:1"),
        (Rollover(max_percentage="33.5", expiry_duration_length=3), "335000:3"),
        (Rollover(expiry_duration_type="forever"), ":0"),
        (Rollover(expiry_duration_type="forever", expiry_duration_length=7), ":0"),
        (Rollover(expiry_duration_length=0), ""),
    ],
)
def test_a_rollover_is_a_maximum_in_units_and_a_number_of_months(
    rollover: Rollover | None, roll: str
) -> None:
    assert roll_of(rollover, GRANT, 2, field="rollover") == roll
