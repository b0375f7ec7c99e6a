"""Which entries go the short way; that it leads to the same is in tests/property/test_tracks.py."""

from __future__ import annotations

import pytest

from gateway.outbox import Entry
from persistence.sync.tracks import read_entry
from tests.unit.persistence.entries import BASE_MS, alert, deduct, event, payload, reset, window


def test_a_plain_track_goes_the_short_way() -> None:
    found = read_entry(7, "5-1", payload(event(entity="seat_1"), deduct(entity="seat_1")))
    assert not isinstance(found, Entry)
    partition, stream_id, row, move = found
    assert (partition, stream_id, row.id, move.event_id) == (7, "5-1", "evt_p07_5-1", row.id)
    assert (row.entity_id, row.timestamp_ms, move.resets_at) == ("seat_1", BASE_MS, None)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (event(),),
        (deduct(), event()),
        (event(), event()),
        (event(), reset()),
        (event(), deduct(), deduct("bal_2")),
        (event(), deduct(), window(3)),
        (event(), deduct(), alert()),
    ],
)
def test_any_other_track_is_read_by_the_outbox(lines: tuple[str, ...]) -> None:
    assert isinstance(read_entry(7, "5-1", payload(*lines)), Entry)


def test_an_entry_of_another_kind_is_read_by_the_outbox() -> None:
    assert isinstance(read_entry(7, "5-1", payload(event(), deduct(), kind="lock")), Entry)
