"""Denials are counted in memory and sent once a second, each count until it is answered."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.engine import denials
from gateway.engine.denials import Denials
from gateway.errors import RedisUnavailableError, UnknownOutcomeError
from gateway.keys import Key, outbox_key, partition_of
from gateway.outbox import Denied, EntryKind, decode
from gateway.scripts import Scripts, Status
from tests.waiting import until

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000
PARTITIONS = 4


class _Clock:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self, env: str) -> int:
        return self.ms + (DAY_MS if env == "sandbox" else 0)


class _Outbox:
    """Takes counts, and loses as many answers as a test says."""

    def __init__(self) -> None:
        self.lost = 0
        self.away = ""
        self.sent: list[tuple[Key, int]] = []
        self.lines: list[Denied] = []

    async def count_denials(
        self, outbox: Key, counted: Key, number: int, keep_ms: int, entry: str
    ) -> Status:
        assert "denials" in counted
        if outbox == self.away:
            raise RedisUnavailableError
        assert keep_ms > 0
        if (outbox, number) not in self.sent:
            decoded = decode(0, "1-1", entry.encode())
            assert decoded.kind is EntryKind.DENIALS
            self.lines += cast("list[Denied]", decoded.changes)
        self.sent.append((outbox, number))
        if self.lost:
            self.lost -= 1
            raise UnknownOutcomeError
        return Status.DONE

    def denied(self) -> dict[tuple[Any, ...], int]:
        return {line[:5]: line.denied for line in self.lines}


def _made() -> tuple[Denials, _Outbox, _Clock]:
    outbox, clock = _Outbox(), _Clock()
    return Denials(cast("Scripts", outbox), clock, PARTITIONS), outbox, clock


async def test_counts_are_by_customer_feature_operation_and_day_of_the_environment() -> None:
    counts, outbox, clock = _made()
    counts.count("live", "ada", "messages", "check")
    counts.count("live", "ada", "messages", "check")
    counts.count("live", "ada", "messages", "track")
    counts.count("sandbox", "bob", "seats", "check")
    clock.ms += DAY_MS
    counts.count("live", "ada", "messages", "check")
    await counts.flush()
    today = NOW_MS - NOW_MS % DAY_MS
    assert outbox.denied() == {
        ("live", "ada", "messages", "check", today): 2,
        ("live", "ada", "messages", "track", today): 1,
        ("sandbox", "bob", "seats", "check", today + DAY_MS): 1,
        ("live", "ada", "messages", "check", today + DAY_MS): 1,
    }


async def test_a_partition_gets_one_entry_and_an_empty_second_gets_none() -> None:
    counts, outbox, _ = _made()
    names = [f"cus_{number}" for number in range(50)]
    for name in names:
        counts.count("live", name, "messages", "check")
    await counts.flush()
    await counts.flush()
    used = {outbox_key(partition_of("live", name, PARTITIONS)) for name in names}
    assert sorted(key for key, _ in outbox.sent) == sorted(used)


async def test_a_count_whose_answer_was_lost_is_sent_again_before_the_next_one() -> None:
    counts, outbox, _ = _made()
    counts.count("live", "ada", "messages", "check")
    outbox.lost = 1
    with pytest.raises(UnknownOutcomeError):
        await counts.flush()
    counts.count("live", "ada", "messages", "check")
    await counts.flush()
    await counts.flush()
    assert [number for _, number in outbox.sent] == [1, 1, 2]
    assert [line.denied for line in outbox.lines] == [1, 1]


async def test_a_partition_whose_server_is_gone_holds_no_other_up() -> None:
    counts, outbox, _ = _made()
    names = [f"cus_{number}" for number in range(50)]
    places = {name: outbox_key(partition_of("live", name, PARTITIONS)) for name in names}
    outbox.away = places[names[0]]
    for _ in range(2):
        for name in names:
            counts.count("live", name, "messages", "check")
        with pytest.raises(RedisUnavailableError):
            await counts.flush()
    others = sum(place != outbox.away for place in places.values())
    assert [line.denied for line in outbox.lines] == [1] * 2 * others
    outbox.away = ""
    await counts.flush()
    await counts.flush()
    assert sum(line.denied for line in outbox.lines) == 2 * len(names)
    numbers = [number for key, number in outbox.sent if key == places[names[0]]]
    assert numbers == sorted({*numbers})


async def test_an_entry_has_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denials, "LINES_MAX", 2)
    counts, outbox, _ = _made()
    for number in range(5):
        counts.count("live", "ada", f"feature_{number}", "check")
    await counts.flush()
    assert [number for _, number in outbox.sent] == [1, 2, 3]
    assert len(outbox.lines) == 5


async def test_what_is_counted_at_a_time_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(denials, "KINDS_MAX", 2)
    counts, outbox, _ = _made()
    for number in range(5):
        counts.count("live", "ada", f"feature_{number}", "check")
    counts.count("live", "ada", "feature_0", "check")
    await counts.flush()
    assert [line.denied for line in outbox.lines] == [2, 1]
    assert "3 denials are in no report" in caplog.text


async def test_the_task_sends_by_itself_and_once_more_when_it_is_stopped() -> None:
    counts, outbox, _ = _made()
    counts.count("live", "ada", "messages", "check")
    outbox.lost = 1
    counts.start()
    await until(lambda: len(outbox.sent) == 2)
    counts.count("live", "ada", "messages", "track")
    async with asyncio.timeout(10):
        await counts.stop()
    assert [line.operation for line in outbox.lines] == ["check", "track"]


async def test_what_waited_is_sent_with_what_was_counted_since() -> None:
    counts, outbox, _ = _made()
    counts.count("live", "ada", "messages", "check")
    outbox.lost = 1
    with pytest.raises(UnknownOutcomeError):
        await counts.flush()
    counts.count("live", "ada", "messages", "track")
    await counts.stop()
    assert [line.operation for line in outbox.lines] == ["check", "track"]
