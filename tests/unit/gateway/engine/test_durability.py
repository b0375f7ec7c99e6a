"""Which level a call gets, and when it has reached it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from gateway.engine.durability import (
    Durability,
    Level,
    level_of,
    partitions_touched,
)
from gateway.errors import (
    InvalidInputsError,
    InvalidRequestError,
    UnavailableError,
    UnconfirmedError,
)
from gateway.keys import Key, outbox_key, partition_of, seal_key
from gateway.messages.balances import FinalizeRequest, TrackRequest
from tests.waiting import until

PARTITIONS = 4


class Stores:
    """Redis and SQL as far as levels look at them; each knows what a test tells it."""

    def __init__(self) -> None:
        self.replica = self.file = True
        self.refused: str | None = None
        self.asked: list[str] = []
        self.ends = dict.fromkeys(range(PARTITIONS), "0-0")
        self.applied = dict.fromkeys(range(PARTITIONS), "0-0")
        self.sql_faults = 0
        self.reads = 0
        self.generation = 7
        self.emptied: set[int] = set()

    async def replicated(self, _: object) -> bool:
        self.asked.append("replica")
        return self.replica

    async def flushed(self, _: object) -> bool:
        self.asked.append("aof")
        return self.file

    async def refusal(self) -> str | None:
        return self.refused

    async def last_entries(self, outboxes: Sequence[Key]) -> list[str]:
        return [self.ends[at] for key in outboxes for at in self.ends if outbox_key(at) == key]

    async def are_sealed(self, seals: Sequence[Key]) -> bool:
        return not any(seal_key(at) in seals for at in self.emptied)

    async def cursors(self, partitions: Sequence[int]) -> dict[int, str]:
        self.reads += 1
        if self.sql_faults:
            self.sql_faults -= 1
            raise UnavailableError
        return {at: self.applied[at] for at in partitions}


@pytest.fixture
def stores() -> Stores:
    return Stores()


def durability(stores: Stores, level: Level = Level.MEMORY, timeout_ms: int = 20_000) -> Durability:
    part = cast("Any", stores)
    return Durability(
        part, part, part, level=level, timeout_ms=timeout_ms, partitions=PARTITIONS, trust=part
    )


def test_a_header_names_a_level() -> None:
    names = [b"memory", b"replica", b"aof", b"sql"]
    assert [level_of(name) for name in names] == sorted(Level)


@pytest.mark.parametrize("header", [b"", b"AOF", b"disk", b"\xff", b"aof "])
def test_any_other_header_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidInputsError, match=r"^x-durability: must be one of memory, replica"):
        level_of(header)


async def test_a_call_gets_at_least_what_the_deployment_gives(stores: Stores) -> None:
    kept = durability(stores, Level.AOF)
    assert [await kept.available(level) for level in Level] == [*[Level.AOF] * 3, Level.SQL]


async def test_a_server_without_a_file_refuses_aof_before_anything_is_carried_out(
    stores: Stores,
) -> None:
    stores.refused = "ERR appendonly is disabled"
    kept = durability(stores)
    with pytest.raises(InvalidRequestError, match="appendonly yes"):
        await kept.available(Level.AOF)
    stores.refused = None
    assert await kept.available(Level.AOF) is Level.AOF


@pytest.mark.parametrize(
    ("deployment", "asked", "waits"),
    [
        (Level.MEMORY, Level.REPLICA, ["replica"]),
        (Level.MEMORY, Level.AOF, ["aof"]),
        (Level.REPLICA, Level.AOF, ["replica", "aof"]),
        (Level.AOF, Level.AOF, ["aof"]),
        (Level.AOF, Level.SQL, []),
    ],
)
async def test_a_level_waits_for_what_it_names(
    stores: Stores, deployment: Level, asked: Level, waits: list[str]
) -> None:
    await durability(stores, deployment).confirm(asked, 7, [0])
    assert stores.asked == waits


@pytest.mark.parametrize("level", [Level.REPLICA, Level.AOF])
async def test_a_level_that_is_not_reached_is_not_confirmed(stores: Stores, level: Level) -> None:
    stores.replica = stores.file = False
    with pytest.raises(UnconfirmedError, match=f"level {level.name.lower()} was not reached"):
        await durability(stores).confirm(level, 7, [0])


async def test_a_write_to_another_redis_is_not_confirmed(stores: Stores) -> None:
    with pytest.raises(UnconfirmedError):
        await durability(stores).confirm(Level.REPLICA, 6, [0])


async def test_sql_is_waited_for_until_its_cursor_has_passed_the_outbox(stores: Stores) -> None:
    stores.ends[2], stores.applied[2] = "100-9", "100-8"
    waiting = asyncio.create_task(durability(stores).confirm(Level.SQL, 7, [2]))
    await until(lambda: stores.reads > 2)
    assert not waiting.done()
    stores.applied[2] = "100-10"
    await waiting


async def test_an_empty_outbox_is_in_sql(stores: Stores) -> None:
    await durability(stores).confirm(Level.SQL, 7, range(PARTITIONS))
    assert stores.reads == 0


async def test_sql_confirms_nothing_of_a_partition_that_was_emptied(stores: Stores) -> None:
    stores.emptied.add(1)
    await durability(stores).confirm(Level.SQL, 7, [0])
    with pytest.raises(UnconfirmedError):
        await durability(stores).confirm(Level.SQL, 7, [0, 1])


async def test_sql_that_comes_back_in_time_confirms(stores: Stores) -> None:
    stores.ends[0] = stores.applied[0] = "5-0"
    stores.sql_faults = 3
    await durability(stores).confirm(Level.SQL, 7, [0])


async def test_a_writer_that_is_late_leaves_the_call_unconfirmed(stores: Stores) -> None:
    stores.ends[0] = "5-0"
    kept = durability(stores, timeout_ms=50)
    with pytest.raises(UnconfirmedError):
        await kept.confirm(Level.SQL, 7, [0])
    # Nobody waits any more, so nobody asks.
    await until(lambda: kept._arrivals._task is None)  # noqa: SLF001 - what is tested is that it ends


async def test_all_who_wait_for_sql_share_each_look(stores: Stores) -> None:
    stores.ends |= {0: "5-0", 1: "6-0"}
    kept = durability(stores)
    waiting = [
        asyncio.create_task(kept.confirm(Level.SQL, 7, [number % 2])) for number in range(100)
    ]
    await until(lambda: stores.reads > 0)
    stores.applied |= stores.ends
    await asyncio.gather(*waiting)
    assert stores.reads < 50


def test_a_request_touches_the_partitions_of_the_customers_it_names() -> None:
    one = TrackRequest(customer_id="ada", feature_id="calls")
    other = TrackRequest(customer_id="bob", feature_id="calls")
    at = {name: partition_of("live", name, PARTITIONS) for name in ("ada", "bob")}
    assert partitions_touched("live", one, PARTITIONS) == [at["ada"]]
    assert partitions_touched("live", [one, other], PARTITIONS) == sorted(set(at.values()))
    # An answer that is kept under a key is where the key is.
    assert partitions_touched("live", one, PARTITIONS, "bob") == sorted(set(at.values()))


def test_a_request_that_names_nobody_may_touch_any_partition() -> None:
    request = FinalizeRequest(lock_id="job", action="confirm")
    assert partitions_touched("live", request, PARTITIONS) == [0, 1, 2, 3]
