"""The streams in memory answer the writer's reader as the real servers do."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gateway.keys import outbox_key
from gateway.outbox import FIELD
from persistence.sync.stream_reader import StreamReader
from tests.simulation.streams import MemoryStreams
from tests.simulation.virtual_time import pass_time, run_virtually
from tests.simulation.world import Process
from tests.simulation.world import SteppedClient as MemoryClient

pytestmark = pytest.mark.redis_kinds("embedded", "debian")

PARTITIONS = 3
TURNS = 150


class _Free:
    """A process that nothing befalls."""

    async def step(self, _: str, work: Any) -> Any:  # noqa: ANN401 - any work
        return work()


async def test_memory_and_server_answer_alike(redis_client: Redis) -> None:
    streams = MemoryStreams()
    memory = StreamReader(cast("Redis", MemoryClient(cast("Process", _Free()), streams)))
    server = StreamReader(redis_client)
    chance = Random(3)
    last = 0
    for _ in range(TURNS):
        partition = chance.randrange(PARTITIONS)
        last += chance.randint(1, 3)
        if chance.random() < 0.6:
            entry = [outbox_key(partition), f"{last}-0", FIELD, str(last).encode()]
            assert await redis_client.execute_command("XADD", *entry) == streams.call(  # type: ignore[no-untyped-call]
                "XADD", *entry
            )
        places = {at: f"{chance.randint(0, last)}-0" for at in range(PARTITIONS)}
        entries_max = chance.choice([1, 2, 5, 100])
        one, other = [
            sorted(await each.read(places, entries_max=entries_max)) for each in (memory, server)
        ]
        assert one == other
        assert await memory.oldest_ms(places) == await server.oldest_ms(places)
        if chance.random() < 0.2:
            at = {partition: f"{chance.randint(0, last)}-0"}
            await memory.trim(at)
            await server.trim(at)
        assert await memory.inspect(range(PARTITIONS)) == await server.inspect(range(PARTITIONS))


def test_virtual_time_costs_none() -> None:
    async def wait() -> None:
        await pass_time(1_000_000.0)

    run_virtually(wait())
