"""What is known to be due soon, and what is too far ahead to be kept."""

from __future__ import annotations

from gateway.engine.agenda import HORIZON_MS, Agenda

NOW_MS = 1_800_000_000_000


def test_what_is_due_is_found_by_its_customer() -> None:
    agenda = Agenda()
    agenda.note("sandbox", "ann", "", NOW_MS + 10, NOW_MS)
    agenda.note("sandbox", "ann", "seat", NOW_MS, NOW_MS)
    agenda.note("live", "bob", "", NOW_MS, NOW_MS)
    assert agenda.due("sandbox", "ann", NOW_MS) == ["seat"]
    assert agenda.due("sandbox", "ann", NOW_MS + 10) == ["", "seat"]
    assert agenda.due("sandbox", "bob", NOW_MS) == []
    assert agenda.first("sandbox", "ann", NOW_MS - 1) is None
    assert agenda.first("sandbox", "ann", NOW_MS + 10) == (NOW_MS, "seat")
    assert agenda.first("sandbox", "bob", NOW_MS) is None
    assert agenda.owners("sandbox", NOW_MS) == ["ann"]
    assert agenda.owners("live", NOW_MS) == ["bob"]


def test_what_is_far_ahead_or_over_is_forgotten() -> None:
    agenda = Agenda()
    agenda.note("sandbox", "ann", "", NOW_MS + HORIZON_MS + 1, NOW_MS)
    assert agenda.known == {}
    agenda.note("sandbox", "ann", "", NOW_MS, NOW_MS)
    agenda.note("sandbox", "ann", "seat", NOW_MS, NOW_MS)
    agenda.note("sandbox", "ann", "", None, NOW_MS)
    assert agenda.due("sandbox", "ann", NOW_MS) == ["seat"]
    agenda.note("sandbox", "ann", "seat", None, NOW_MS)
    assert agenda.known == {}
    agenda.note("sandbox", "ann", "", NOW_MS, NOW_MS)
    agenda.forget("sandbox", "ann")
    assert agenda.known == {}


def test_what_sql_says_is_heard_unless_something_happens_before() -> None:
    agenda = Agenda()
    agenda.hear("sandbox", "ann", "", NOW_MS + 10, NOW_MS)
    agenda.hear("sandbox", "ann", "", NOW_MS + 20, NOW_MS)
    assert agenda.first("sandbox", "ann", NOW_MS + 20) == (NOW_MS + 10, "")
    agenda.note("sandbox", "ann", "", NOW_MS + 20, NOW_MS)
    assert agenda.first("sandbox", "ann", NOW_MS + 20) == (NOW_MS + 20, "")
    agenda.hear("sandbox", "ann", "", NOW_MS + HORIZON_MS + 1, NOW_MS)
    assert agenda.first("sandbox", "ann", NOW_MS + 20) == (NOW_MS + 20, "")
