"""What a change must have reached before its call is answered.

``memory``: Redis has carried it out. ``replica``: a replica has it too (``WAIT``). ``aof``: it is
on the server's disk (``WAITAOF``). ``sql``: the writer has committed it. The deployment chooses a
level and a call may ask for more with ``x-durability``; nobody gets less than either.

The call is carried out first and waited for afterwards. So one whose level is not reached in time
*was* carried out: ``UnconfirmedError`` says so, and the same call with the same idempotency key
answers as the first did, once its level is reached. Which Redis it was when the call began is known
by its generation: if it is another one by now, nothing that was written can be vouched for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from enum import IntEnum
from typing import Protocol

from gateway import metrics
from gateway.errors import (
    InvalidRequestError,
    UnavailableError,
    UnconfirmedError,
)
from gateway.keys import outbox_key, partition_of, seal_key
from gateway.messages.common import one_of
from gateway.ports import Reader
from gateway.scripts import Scripts
from gateway.scripts.barrier import Barrier
from gateway.stream_ids import BEGINNING, place

POLL_SECONDS = 0.01
"""How often the cursors are read while somebody waits for SQL; one statement, whoever waits."""


class Level(IntEnum):
    """From the quickest to the safest."""

    MEMORY = 0
    REPLICA = 1
    AOF = 2
    SQL = 3


LEVELS: dict[str, Level] = {level.name.lower(): level for level in Level}


class Trust(Protocol):
    """Which Redis this is; another one, or an older state of the same, has another number."""

    @property
    def generation(self) -> int:
        """The number."""


class OneRedis:
    """A Redis nobody watches: always the same."""

    generation = 0


def level_of(header: bytes) -> Level:
    """Return the level a header names. Raises ``InvalidInputsError``."""
    name = header.decode("latin-1")
    one_of(name, LEVELS, "x-durability")
    return LEVELS[name]


class Durability:
    """See the module docstring."""

    def __init__(
        self,
        barrier: Barrier,
        scripts: Scripts,
        reader: Reader,
        *,
        level: Level,
        timeout_ms: int,
        partitions: int,
        trust: Trust | None = None,
    ) -> None:
        """Keep the parts; ``level`` is what every change gets."""
        self.level = level
        self.partitions = partitions
        self._barrier = barrier
        self._scripts = scripts
        self._arrivals = Arrivals(reader)
        self._timeout_seconds = timeout_ms / 1000
        self.trust: Trust = trust or OneRedis()
        self._possible = {Level.MEMORY, Level.SQL}

    async def available(self, asked: Level) -> Level:
        """Return the level of a call that asks for one.

        Raises ``InvalidRequestError`` for one this Redis does not have.
        """
        level = max(asked, self.level)
        await self.require(level)
        return level

    async def require(self, level: Level) -> None:
        """Raise ``InvalidRequestError`` if Redis can never say that this level is reached."""
        if level in self._possible:
            return
        reason = None
        if level is Level.REPLICA and (reason := await self._barrier.replica_refusal()):
            reason = f"durability replica needs a server that can have replicas; {reason}"
        elif level is Level.AOF and (reason := await self._barrier.refusal()):
            reason = (
                "durability aof needs Redis 7.2 or Valkey with appendonly yes; "
                f"this server answers: {reason}"
            )
        if reason:
            raise InvalidRequestError(reason)
        self._possible.add(level)

    async def confirm(self, level: Level, generation: int, partitions: Sequence[int]) -> None:
        """Return once what was written to these partitions has reached a level, and that of the
        deployment with it.

        Raises ``UnconfirmedError`` when it has not in time.
        """
        name = level.name.lower()
        begun = time.perf_counter()
        waiting = asyncio.create_task(self._reached(level, partitions))
        try:
            await asyncio.wait([waiting], timeout=self._timeout_seconds)
            reached = waiting.done() and waiting.result()
        finally:
            waiting.cancel()
        if not reached or self.trust.generation != generation:
            metrics.durability_unconfirmed.labels(name).inc()
            raise UnconfirmedError(
                f"The call was carried out, but level {name} was not reached in time; sending it "
                "again with its idempotency key cannot count twice"
            )
        metrics.durability_seconds.labels(name).observe(time.perf_counter() - begun)

    async def _reached(self, level: Level, partitions: Sequence[int]) -> bool:
        if level is Level.SQL:
            outboxes = [outbox_key(one) for one in partitions]
            try:
                ends = await self._scripts.last_entries(outboxes)
                # An emptied outbox tells nothing of the entry, and later ones soon lie beyond it.
                if not await self._scripts.are_sealed([seal_key(one) for one in partitions]):
                    return False
            except UnavailableError:
                return False
            await self._arrivals.wait(dict(zip(partitions, ends, strict=True)))
            return True
        waits: list[Awaitable[bool]] = []
        if Level.REPLICA in (level, self.level):
            waits.append(self._barrier.replicated(partitions))
        if Level.AOF in (level, self.level):
            waits.append(self._barrier.flushed(partitions))
        return all(await asyncio.gather(*waits))


class Arrivals:
    """Tells when SQL has entries: one loop asks for everybody who waits, and ends with the last."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: dict[asyncio.Future[None], dict[int, tuple[int, int]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, ends: dict[int, str]) -> None:
        """Return once each partition's cursor has passed its id; an empty outbox has nothing to
        wait for.
        """
        wanted = {one: place(end) for one, end in ends.items() if end != BEGINNING}
        if not wanted:
            return
        arrived = asyncio.get_running_loop().create_future()
        self._waiting[arrived] = wanted
        if self._task is None:
            self._task = asyncio.create_task(self._look(), name="arrivals")
        try:
            await arrived
        finally:
            self._waiting.pop(arrived, None)

    async def _look(self) -> None:
        try:
            while self._waiting:
                await self._look_once()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._task = None

    async def _look_once(self) -> None:
        asked = {partition for wanted in self._waiting.values() for partition in wanted}
        try:
            cursors = await self._reader.cursors(sorted(asked))
        except UnavailableError:
            return
        places = {partition: place(cursor) for partition, cursor in cursors.items()}
        for arrived, wanted in self._waiting.items():
            known = (places.get(one, (-1, 0)) >= end for one, end in wanted.items())
            if not arrived.done() and all(known):
                arrived.set_result(None)


def partitions_touched(
    env: str, request: object, partitions: int, key: str | None = None
) -> list[int]:
    """Return the partitions a request may have written to: all where it names no customer, and that
    of an idempotency key beside which its answer is kept.
    """
    named = request if isinstance(request, list) else [request]
    customers = {getattr(one, "customer_id", None) for one in named}
    if None in customers:
        return list(range(partitions))
    named_by = customers if key is None else customers | {key}
    return sorted({partition_of(env, str(one), partitions) for one in named_by})
