"""Writers that run in virtual time on one Redis and one SQL, and what befalls each operation.

Every call a writer makes of Redis or SQL is a step. Before and after it time may pass, in which the
others go on; a step may fail with or without effect, happen twice, or be the writer's last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import Any, NamedTuple, Self, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from sqlalchemy import Engine, func, select

from gateway.errors import UnavailableError
from gateway.keys import outbox_key
from gateway.outbox import FIELD
from persistence.database import Database
from persistence.models import Cursor
from persistence.sync.writer import Writer
from tests.simulation.ledger import Producer, read_ledger
from tests.simulation.streams import MemoryStreams
from tests.simulation.virtual_time import pass_time
from tests.unit.persistence.entries import BASE_MS

_Answer = TypeVar("_Answer")

LEASE_SECONDS = 3.0
END_SECONDS = 120.0


class Fate(Enum):
    """What becomes of a step."""

    DONE = "done"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    REFUSED = "refused"
    ANSWER_LOST = "done, but the answer is lost"
    TWICE = "done twice"


class Step(NamedTuple):
    """A fate, and the seconds that pass before and after."""

    fate: Fate = Fate.DONE
    before: float = 0.0
    after: float = 0.0


Plan = Callable[[str], Step]
"""Chooses the fate of the next step, given where it goes: ``redis`` or ``sql``."""


class Process:
    """One life of a writer: its clients, and whether it still lives."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.is_dead = False
        self.plan = plan
        self.writer = Writer(
            cast("Redis", SteppedClient(self, world.streams)),
            _Database(self, world.engine),
            partitions=world.partitions,
            clock=world,
            batch_max=world.batch_max,
            linger_ms=5,
            lease_seconds=LEASE_SECONDS,
        )

    async def step(self, where: str, work: Callable[[], _Answer]) -> _Answer:
        """Do one operation, as the plan has it."""
        self.live()
        fate, before, after = self.plan(where)
        fault = RedisConnectionError("cut") if where == "redis" else UnavailableError("cut")
        await pass_time(before)
        self.live()
        if fate is Fate.CRASH_BEFORE:
            self.die()
        if fate is Fate.REFUSED:
            raise fault
        answer = work()
        if fate is Fate.TWICE:
            answer = work()
        await pass_time(after)
        if fate is Fate.CRASH_AFTER:
            self.die()
        if fate is Fate.ANSWER_LOST:
            raise fault
        self.live()
        return answer

    def die(self) -> None:
        self.is_dead = True
        self.live()

    def live(self) -> None:
        """Go no further if the process has ended."""
        if self.is_dead:
            raise asyncio.CancelledError


class _Database(Database):
    """SQL as one process reaches it; work is done on the loop, at one moment of virtual time."""

    def __init__(self, process: Process, engine: Engine) -> None:
        super().__init__(engine, threads=1, answer_ms=None)
        self._process = process

    async def run(self, work: Callable[[Engine], _Answer]) -> _Answer:
        return await self._process.step("sql", lambda: work(self.engine))


class SteppedClient:
    """Redis as one process reaches it."""

    def __init__(self, process: Process, streams: MemoryStreams) -> None:
        self._process = process
        self._streams = streams

    async def execute_command(self, *words: object) -> Any:  # noqa: ANN401 - a reply
        reply = await self._process.step("redis", lambda: self._streams.call(*words))
        if reply or "BLOCK" not in words:
            return reply
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(str(words[words.index("BLOCK") + 1])) / 1000):
                await self._streams.added()
        return await self._process.step("redis", lambda: self._streams.call(*words))

    def pipeline(self, *, transaction: bool) -> _Pipeline:
        assert not transaction
        return _Pipeline(self._process, self._streams)


class _Pipeline:
    def __init__(self, process: Process, streams: MemoryStreams) -> None:
        self._process = process
        self._streams = streams
        self._calls: list[tuple[object, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._calls.clear()

    def execute_command(self, *words: object) -> None:
        self._calls.append(words)

    async def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        replies = await self._process.step("redis", lambda: [*map(self._answer, self._calls)])
        for reply in replies:
            if raise_on_error and isinstance(reply, Exception):
                raise reply
        return replies

    def _answer(self, words: tuple[object, ...]) -> Any:  # noqa: ANN401 - a reply
        try:
            return self._streams.call(*words)
        except ResponseError as error:
            return error


class World:
    """One Redis, one SQL, and the entries that are on their way between them."""

    def __init__(
        self, engine: Engine, producer: Producer, *, partitions: int, batch_max: int
    ) -> None:
        self.engine = engine
        self.streams = MemoryStreams()
        self.partitions = range(partitions)
        self.batch_max = batch_max
        self.producer = producer
        self._numbers = 0

    def now_ms(self) -> int:
        """The time of the machine, which is virtual."""
        return BASE_MS + int(asyncio.get_running_loop().time() * 1000)

    def add(self, entries: int) -> None:
        """Let the scripts write entries."""
        for _ in range(entries):
            partition, text = self.producer.next_entry()
            self._numbers += 1
            stream_id = f"{self.now_ms()}-{self._numbers}"
            self.streams.call("XADD", outbox_key(partition), stream_id, FIELD, text)

    @contextlib.asynccontextmanager
    async def running(self, plan: Plan) -> AsyncIterator[Process]:
        """Run a writer for the block; it stops as a process does on SIGTERM, if it still lives."""
        process = Process(self, plan)
        task = asyncio.create_task(process.writer.run())
        try:
            yield process
        finally:
            if not process.is_dead:
                await process.writer.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settle(self) -> None:
        """Return once SQL has everything and Redis no more of it, with a writer nothing befalls."""
        async with self.running(lambda _: Step()):
            await self.until(lambda: self._is_trimmed() and self._is_carried())

    def _is_carried(self) -> bool:
        applied = select(func.coalesce(func.sum(Cursor.applied), 0))
        with self.engine.connect() as connection:
            return connection.scalars(applied).one() >= self.producer.ledger.entries.total()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until a condition holds; fail when it does not come."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + END_SECONDS
        while not condition():
            assert loop.time() < deadline, "SQL never got everything"
            await pass_time(0.25)

    def assert_exact(self) -> None:
        """Compare SQL with the ledger: everything once, nothing twice."""
        assert read_ledger(self.engine) == self.producer.ledger

    def _is_trimmed(self) -> bool:
        """Whether each stream has no more than the entry at its cursor."""
        used = [at for at, count in self.producer.ledger.entries.items() if count]
        return all(self.streams.call("XINFO STREAM", outbox_key(at))["length"] == 1 for at in used)


async def in_turn(*works: Awaitable[object]) -> None:
    """Run tasks side by side; the first fault is raised."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(_awaited(work))


async def _awaited(work: Awaitable[object]) -> None:
    await work
