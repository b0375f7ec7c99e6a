"""What is noted of how late SQL is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from redis.asyncio import Redis

from bench.lateness import Lateness
from gateway.keys import outbox_key
from persistence.reads.reader import SqlReader
from tests.waiting import until

LOOK_SECONDS = 0.05


class Streams:
    """A server with one stream, and SQL, which has all of it or all but the newest entry."""

    def __init__(self) -> None:
        self.newest = 1
        self.is_behind = False
        self.looks = 0
        self.sql_looks = 0
        self._asked: list[str] = []

    def pipeline(self, **_: bool) -> Streams:
        self._asked = []
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def execute_command(self, _: str, key: str, *__: object) -> None:
        self._asked.append(key)

    async def execute(self) -> list[Any]:
        self.looks += 1
        entry: tuple[bytes, dict[bytes, bytes]] = (f"{self.newest}-0".encode(), {})
        return [[entry] if key == outbox_key(0) else [] for key in self._asked]

    async def cursors(self, partitions: Sequence[int]) -> dict[int, str]:
        self.sql_looks += 1
        return dict.fromkeys(partitions, f"{self.newest - self.is_behind}-0")


async def test_what_a_load_wrote_last_does_not_wait_for_the_next_one() -> None:
    streams = Streams()
    late = Lateness(cast("Redis", streams), cast("SqlReader", streams), LOOK_SECONDS)

    async def load() -> None:
        looks = streams.looks
        await until(lambda: streams.looks > looks)
        streams.newest += 1
        streams.is_behind = True
        looks = streams.sql_looks
        await until(lambda: streams.sql_looks > looks)
        streams.is_behind = False  # and nobody looks before the load is over

    for number in (1, 2):
        await late.during(load())
        assert len(late.late_ms) == number
