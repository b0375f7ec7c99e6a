"""When there is too much that SQL has not got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from gateway.engine.backlog import Backlog
from gateway.engine.sweeper import Sweeper
from gateway.errors import BacklogError, RedisUnavailableError, UnavailableError
from gateway.keys import Key, outbox_key
from tests.fixtures.app import NOW_MS
from tests.waiting import until

PARTITIONS = 3


class Stores:
    """The outboxes, oldest entry first, and SQL's cursors."""

    def __init__(self) -> None:
        self.outboxes: dict[Key, list[int]] = {outbox_key(at): [] for at in range(PARTITIONS)}
        self.applied = dict.fromkeys(range(PARTITIONS), "0-0")
        self.sql_is_gone = self.redis_is_gone = False
        self.fault: Exception | None = None
        self.looks = self.questions = 0

    async def outbox_lengths(self, partitions: int) -> list[int]:
        return [len(self.outboxes[outbox_key(at)]) for at in range(partitions)]

    async def next_entries(self, after: Mapping[Key, str]) -> list[str]:
        self.looks += 1
        if self.redis_is_gone:
            raise RedisUnavailableError
        if self.fault is not None:
            raise self.fault
        found = []
        for key, stream_id in after.items():
            done = int(stream_id.partition("-")[0])
            found += [f"{ms}-0" for ms in self.outboxes[key] if ms > done][:1]
        return found

    async def now_ms(self) -> int:
        return NOW_MS

    async def cursors(self, partitions: Sequence[int]) -> dict[int, str]:
        self.questions += 1
        if self.sql_is_gone:
            raise UnavailableError
        return {at: self.applied[at] for at in partitions}


@pytest.fixture
def stores() -> Stores:
    return Stores()


def backlog(stores: Stores, *, entries_max: int = 0, lag_seconds_max: int = 0) -> Backlog:
    part = cast("Any", stores)
    return Backlog(
        part,
        part,
        partitions=PARTITIONS,
        entries_max=entries_max,
        lag_seconds_max=lag_seconds_max,
    )


async def full(watched: Backlog) -> bool:
    await watched.look()
    return watched.is_full


def fill(stores: Stores, partition: int, *ages_s: int) -> None:
    stores.outboxes[outbox_key(partition)] = [NOW_MS - age * 1000 for age in ages_s]


async def test_entries_of_all_partitions_count_together(stores: Stores) -> None:
    watched = backlog(stores, entries_max=3)
    fill(stores, 0, 2, 1)
    fill(stores, 1, 1)
    assert not await full(watched)
    fill(stores, 2, 1)
    assert await full(watched)


async def test_the_oldest_entry_sql_has_not_got_counts(stores: Stores) -> None:
    watched = backlog(stores, lag_seconds_max=60)
    fill(stores, 0, 10, 5)
    fill(stores, 1, 61, 5)
    assert await full(watched)
    stores.applied[1] = f"{NOW_MS - 61_000}-0"
    assert not await full(watched)


async def test_a_bound_of_zero_is_none(stores: Stores) -> None:
    fill(stores, 0, *range(10_000, 0, -1))
    assert not await full(backlog(stores))


async def test_sql_is_asked_only_while_something_may_wait_for_it(stores: Stores) -> None:
    watched = backlog(stores, entries_max=1)
    assert not await full(watched)
    assert stores.questions == 0
    fill(stores, 0, 2, 1)
    assert await full(watched)
    stores.applied[0] = f"{NOW_MS - 1_000}-0"
    assert not await full(watched)
    assert stores.questions == 2
    assert not await full(watched)
    assert stores.questions == 2


async def test_without_sql_the_cursors_known_last_hold(stores: Stores) -> None:
    watched = backlog(stores, lag_seconds_max=60)
    fill(stores, 0, 61)
    stores.applied[0] = f"{NOW_MS - 61_000}-0"
    assert not await full(watched)
    stores.sql_is_gone = True
    assert not await full(watched)
    fill(stores, 0, 61, 60)
    assert not await full(watched)


async def test_without_redis_what_was_decided_stays(stores: Stores) -> None:
    watched = backlog(stores, entries_max=1)
    fill(stores, 0, 2, 1)
    assert await full(watched)
    stores.redis_is_gone = True
    with pytest.raises(UnavailableError):
        await watched.look()
    assert watched.is_full


async def test_changes_are_refused_only_while_it_is_full(stores: Stores) -> None:
    watched = backlog(stores, entries_max=1)
    watched.admit()
    fill(stores, 0, 2, 1)
    await watched.look()
    with pytest.raises(BacklogError):
        watched.admit()
    fill(stores, 0)
    await watched.look()
    watched.admit()


async def test_a_look_that_fails_for_whatever_reason_is_not_the_last(stores: Stores) -> None:
    fill(stores, 0, 2, 1)
    stores.fault = AttributeError("no writer")
    watched = backlog(stores, entries_max=1)
    sweeper = Sweeper("looks", watched.look, 0)
    sweeper.start()
    await until(lambda: stores.looks > 0)
    assert not watched.is_full
    stores.fault = None
    await until(lambda: watched.is_full)
    await sweeper.stop()
