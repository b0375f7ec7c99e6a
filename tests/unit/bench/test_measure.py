"""What is made of the numbers of two loads."""

from __future__ import annotations

from bench.measure import share


def test_a_load_in_whose_time_nothing_ran_is_no_fault() -> None:
    assert share(3.0, 2.0) == 1.5
    assert share(0.0, 0.0) == 0
    assert share(3.0, 0.0) > 1_000_000
