"""Stream ids sort by number, not as text."""

from __future__ import annotations

from persistence.stream_ids import BEGINNING, following, place


def test_ids_sort_by_number() -> None:
    assert place("9-9") < place("10-0") < place("10-2") < place("10-10")


def test_beginning_is_before_every_id() -> None:
    assert place(BEGINNING) < place("0-1")


def test_following_is_the_next_sequence() -> None:
    assert following("1771409161016-41") == "1771409161016-42"
