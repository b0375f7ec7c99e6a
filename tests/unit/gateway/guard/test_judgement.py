"""Every way in which Redis and SQL can differ, as a judgement on what was read of both."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.guard.judgement import (
    Finding,
    ForeignError,
    Label,
    Stream,
    expects_seals,
    incident_of,
    is_sql_behind,
    judge,
)
from gateway.installation import IncidentKind, Past, Reached

OURS = "inst_1"
NEW = Past(OURS, "", {0: Reached(), 1: Reached()})
SEALED = Label("2", OURS)


def past(cursor: str = "5-0", seen: str = "0-0") -> Past:
    return Past(OURS, "run", {0: Reached(cursor, seen), 1: Reached()})


def stream(first: str | None = "5-0", last: str = "5-0", length: int = 1, **more: Any) -> Stream:  # noqa: ANN401 - columns
    return Stream(first, last, length, length, OURS)._replace(**more)


def found(reached: Past, one: Stream, *, seals: bool = True) -> list[Finding]:
    return list(judge(reached, {0: one}, expects_seals=seals))


def test_a_stream_at_its_cursor_is_right() -> None:
    assert found(past(), stream()) == []


def test_a_stream_beyond_its_cursor_is_right() -> None:
    assert found(past(seen="7-0"), stream(last="9-1", length=3)) == []


def test_a_stream_that_was_never_used_is_right() -> None:
    assert found(NEW, Stream(seal=OURS)) == []


def test_a_stream_below_its_cursor_is_older_than_sql() -> None:
    (finding,) = found(past("5-2", "5-2"), stream("4-0", "5-1", 2))
    assert finding == Finding(0, IncidentKind.REDIS_BEHIND, "5-1", "5-2")
    assert finding.needs_repair


def test_what_was_seen_and_never_applied_is_part_of_what_is_missing() -> None:
    (finding,) = found(past("5-0", "8-3"), stream("4-0", "4-0"))
    assert finding.to_id == "8-3"


def test_ids_are_compared_as_numbers() -> None:
    (finding,) = found(past("10-0"), stream("9-0", "9-0"))
    assert finding.kind is IncidentKind.REDIS_BEHIND


def test_a_stream_that_is_gone_is_behind_from_the_beginning() -> None:
    (finding,) = found(past(), Stream(seal=OURS))
    assert (finding.kind, finding.from_id) == (IncidentKind.REDIS_BEHIND, "0-0")


def test_a_partition_that_lost_its_seal_was_emptied_whatever_came_after() -> None:
    (finding,) = found(past(), stream("9-0", "9-0", seal=None))
    assert (finding.kind, finding.from_id) == (IncidentKind.REDIS_FLUSHED, "0-0")
    assert finding.needs_repair


def test_a_seal_nobody_has_set_yet_is_no_loss() -> None:
    assert found(past(), stream(seal=None), seals=False) == []
    assert found(NEW, Stream()) == []


def test_entries_lost_between_what_sql_has_and_what_was_seen_leave_redis_as_it_is() -> None:
    (finding,) = found(past("5-0", "8-0"), stream("5-0", "6-0", 2))
    assert finding == Finding(0, IncidentKind.ENTRIES_LOST, "6-0", "8-0")
    assert not finding.needs_repair


@pytest.mark.parametrize(
    ("cursor", "seen_stream"),
    [
        ("5-0", stream("6-0", "9-0", 4)),
        ("5-0", stream(None, "9-0", 0)),
        ("0-0", stream("6-0", "9-0", 4, added=6)),
    ],
)
def test_entries_trimmed_beyond_the_cursor_mean_that_sql_is_older(
    cursor: str, seen_stream: Stream
) -> None:
    (finding,) = found(past(cursor), seen_stream)
    assert finding.kind is IncidentKind.SQL_BEHIND
    assert not finding.needs_repair


def test_a_writer_that_went_on_explains_a_stream_that_was_trimmed() -> None:
    assert not is_sql_behind(Reached("6-0"), stream("6-0", "9-0", 4))


def test_redis_and_sql_of_one_installation_expect_seals() -> None:
    assert expects_seals(SEALED, past(), {0: stream()})


def test_redis_without_a_label_was_emptied_or_is_new() -> None:
    assert expects_seals(Label(), past(), {0: Stream()})
    assert expects_seals(Label(), NEW, {0: Stream()})
    assert expects_seals(Label(), past(), {0: stream("9-0", "9-0", seal=None)})


def test_a_label_from_before_identities_is_adopted_where_the_streams_fit() -> None:
    assert not expects_seals(Label("2"), past(), {0: stream(seal=None)})


@pytest.mark.parametrize(
    ("label", "known", "streams", "blamed"),
    [
        (Label("2", "inst_2"), NEW, {0: stream()}, "database is not the one"),
        (Label("2", "inst_2"), past(), {0: stream()}, "the Redis URL or the database URL"),
        (Label("2"), NEW, {0: stream()}, "database is not the one"),
        (Label("2"), past("9-0"), {0: stream(seal=None)}, "Redis is not the one"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    label: Label, known: Past, streams: dict[int, Stream], blamed: str
) -> None:
    with pytest.raises(ForeignError, match=blamed):
        expects_seals(label, known, streams)


def test_an_incident_says_up_to_when_sql_has_everything() -> None:
    (finding,) = found(past("1700000000123-2"), Stream(seal=OURS))
    told = incident_of(finding, Reached("1700000000123-2"), 7, "run_2")
    assert (told.from_id, told.to_id, told.reseeded) == ("0-0", "1700000000123-2", 7)
    assert told.detail.endswith("SQL has everything up to 2023-11-14 22:13:20.123000")
    assert told.lost is None
