"""Stream ids sort by number, not as text."""

from __future__ import annotations

from gateway.stream_ids import BEGINNING, following, place


def test_ids_sort_by_number() -> None:
    assert place("9-9") < place("10-0") < place("10-2") < place("10-10")


def test_beginning_is_before_every_id() -> None:
    assert place(BEGINNING) < place("0-1")


def test_nothing_fits_between_an_id_and_the_following_one() -> None:
    assert following("7-0") == "7-1"
    assert following("7-9") == "7-10"
