"""How late SQL is: from the time in an entry's id until the cursor of its partition is past it.

Streams are looked at a few at a time, so that the looking costs little, and often: a time is right
to within a few times the pause between two looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TypeVar

from redis.asyncio import Redis
from sqlalchemy import text

from bench.results import Figure
from bench.stage import PARTITIONS, Stage
from gateway.keys import outbox_key
from gateway.stream_ids import place as place_of
from gateway.wall import SystemClock
from persistence.database import Database, EngineOptions, make_engine
from persistence.reads.reader import SqlReader

LOOK_SECONDS = 0.005
SELDOM_SECONDS = 0.025
"""Where a load takes all of the cores the looks at ``LOOK_SECONDS`` took a tenth of them."""

AT_ONCE = 4
CARRIED_SECONDS = 300.0

T = TypeVar("T")


class Lateness:
    """Looks at the streams of a Redis and at SQL."""

    def __init__(
        self, client: Redis, reader: SqlReader, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._look_s = look_seconds
        self.late_ms: list[float] = []
        self._client = client
        self._reader = reader
        self._clock = SystemClock()
        self._is_over = False
        self._waiting: dict[int, tuple[int, int]] = {}
        self._seen: dict[int, tuple[int, int]] = {}

    async def during(self, load: Awaitable[T]) -> T:
        """Return what a load comes to; look until SQL has everything of it."""
        looking = asyncio.create_task(self._watch())
        try:
            found = await load
            await self.carried()
        finally:
            self._is_over = True
            await looking
        return found

    async def _watch(self) -> None:
        """Note the newest entry of some streams, and when SQL has it, until it is over."""
        self._is_over = False
        self._seen = await self._newest(range(PARTITIONS))
        turns = itertools.cycle(range(0, PARTITIONS, AT_ONCE))
        while not self._is_over:
            first = next(turns)
            chosen = [at for at in range(first, first + AT_ONCE) if at not in self._waiting]
            if chosen:
                self._note(await self._newest(chosen))
            await self._settle()
            await asyncio.sleep(self._look_s)
        # What came last must not wait for whoever looks at the next load.
        await self._settle()

    async def carried(self) -> None:
        """Return when SQL has everything that is in Redis now."""
        goal = await self._newest(range(PARTITIONS))
        async with asyncio.timeout(CARRIED_SECONDS):
            while True:
                cursors = await self._reader.cursors(range(PARTITIONS))
                if all(place_of(cursors[at]) >= newest for at, newest in goal.items()):
                    return
                await asyncio.sleep(self._look_s)

    def quantile_ms(self, part: float) -> float:
        """Return how late so large a part of the entries was at most."""
        late = sorted(self.late_ms)
        return late[round((len(late) - 1) * part)] if late else 0.0

    def figures(self, row: str) -> list[Figure]:
        """Return how late SQL was."""
        parts = {"late p50 ms": 0.5, "late p99 ms": 0.99, "late max ms": 1.0}
        return [Figure(row, column, [self.quantile_ms(part)]) for column, part in parts.items()]

    async def _newest(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        async with self._client.pipeline(transaction=False) as pipe:
            for at in partitions:
                pipe.execute_command("XREVRANGE", outbox_key(at), "+", "-", "COUNT", 1)
            replies = await pipe.execute()
        return {
            at: place_of(reply[0][0].decode())
            for at, reply in zip(partitions, replies, strict=True)
            if reply
        }

    def _note(self, found: dict[int, tuple[int, int]]) -> None:
        """Wait for entries that were not waited for before."""
        fresh = {at: newest for at, newest in found.items() if newest > self._seen.get(at, (0, 0))}
        self._seen |= fresh
        self._waiting |= fresh

    async def _settle(self) -> None:
        if not self._waiting:
            return
        cursors = await self._reader.cursors(list(self._waiting))
        now_ms = self._clock.now_ms()
        for at, newest in list(self._waiting.items()):
            if place_of(cursors[at]) >= newest:
                self.late_ms.append(max(0, now_ms - newest[0]))
                del self._waiting[at]


@contextlib.asynccontextmanager
async def lateness(stage: Stage, look_seconds: float = LOOK_SECONDS) -> AsyncIterator[Lateness]:
    """Open SQL for the block."""
    engine = make_engine(stage.database_url, EngineOptions())
    database = Database(engine, threads=1, answer_ms=None)
    try:
        yield Lateness(stage.client, SqlReader(database), look_seconds)
    finally:
        await database.close()


def events_in_sql(stage: Stage) -> int:
    """Return how many events SQL has."""
    engine = make_engine(stage.database_url, EngineOptions())
    try:
        with engine.connect() as connection:
            return int(connection.scalars(text("SELECT count(*) FROM events")).one())
    finally:
        engine.dispose()
