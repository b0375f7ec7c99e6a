"""The column that says what a row keeps at its reset."""

from __future__ import annotations

import pytest

from gateway.lifecycle.rollover import adopt_rollovers, roll_of
from gateway.messages.plans import Rollover
from gateway.rows import Flag, Kind, Row

GRANT = 1_000_001


@pytest.mark.parametrize(
    ("rollover", "roll"),
    [
        (None, ""),
        (Rollover(), ":1"),
        (Rollover(max="80"), "8000:1"),
        (Rollover(max_percentage="50"), "500000:1"),
        (Rollover(max_percentage="0.015"), "100:1"),
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


def _row(row_id: str, **columns: object) -> Row:
    return Row(**{"id": row_id, "kind": Kind.SHARED, **columns})  # type: ignore[arg-type]


def test_rollovers_go_to_the_next_row_unless_their_own_is_held_elsewhere() -> None:
    left = [_row(f"{name}~1", flags=Flag.ROLLOVER, roll=name) for name in ("gone", "away", "here")]
    added = _row("new", roll="600:1")
    held = [*left, _row("here"), added]

    def parents(rows: list[Row]) -> list[str]:
        return [row.roll for row in rows if row.rollover]

    assert parents(adopt_rollovers(held, [added], {"away"})) == ["new", "away", "here"]
    assert parents(adopt_rollovers(held, [], {"away"})) == ["away", "here"]
    per_entity = _row("new", kind=Kind.PER_ENTITY, roll="600:1")
    assert parents(adopt_rollovers(held, [per_entity])) == ["here"]
    never_rolls = _row("new")
    assert parents(adopt_rollovers(held, [never_rolls])) == ["here"]
    rolls = _row("rolls", roll=":0")
    assert parents(adopt_rollovers(held, [never_rolls, rolls], {"away"})) == [
        "rolls",
        "away",
        "here",
    ]


def test_a_rollover_that_comes_back_with_its_row_is_no_heir() -> None:
    back = _row("back~1", flags=Flag.ROLLOVER, roll="back")
    orphan = _row("gone~1", flags=Flag.ROLLOVER, roll="gone")
    added = [back, _row("back", roll="600:1")]
    adopted, *_ = adopt_rollovers([orphan, *added], added)
    assert (adopted.id, adopted.roll) == ("gone~1", "back")
