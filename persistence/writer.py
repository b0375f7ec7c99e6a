"""Follow the outbox streams and carry every entry to SQL exactly once.

The cursor lives in SQL and moves in the transaction that writes the rows, so it alone says what was
applied. A stream is trimmed up to the cursor and never above it, and never by length.

Failure: Redis gone or SQL gone, the writer waits, longer each time up to a bound, reads the cursors
again and goes on from there; entries stay in Redis meanwhile. A crash between apply and trim leaves
entries below the cursor: they are not read again, and the next start trims them. Another writer on
the same partitions shows as a cursor that moved: this one writes nothing, waits and follows. A
Redis that is younger than SQL is brought up to the cursor first, else its new entries would hide
below it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from gateway.errors import UnavailableError
from gateway.keys import outbox_key
from gateway.outbox import FIELD
from gateway.ports import WallClock
from persistence import store
from persistence.database import Database
from persistence.intake import Intake, Progress, Received
from persistence.store import CursorMovedError
from persistence.stream_ids import BEGINNING, place

_log = logging.getLogger(__name__)

_BLOCK_MS = 200
"""How long a read waits for the first entry; the client's socket timeout has to be longer."""

_REDIS_FAULTS = (RedisError, RedisClusterException, OSError)
_MEASURE_SECONDS = 1.0
_PAUSE_MIN_SECONDS = 0.05
_PAUSE_MAX_SECONDS = 5.0


class WriterState(NamedTuple):
    """What /health shows of the writer; reading it costs nothing."""

    running: bool
    cursors: Mapping[int, str]
    """Last applied stream id of each partition."""
    pending: int
    """Entries in Redis that SQL has not got, as last measured."""
    lag_seconds: float
    """Age of the oldest of them."""
    applied: int
    """Entries carried since the start of the process."""
    dead_letters: int
    """Entries ever set aside."""
    last_error: str | None
    """What holds the writer up, None while it moves."""


class Writer:
    """The one writer of its partitions.

    The client is the writer's own: replies are bytes, and its socket timeout is above a second. On
    a cluster (``clustered``) streams are read one by one, since no call may span slots.
    """

    def __init__(
        self,
        client: Redis | RedisCluster,
        database: Database,
        *,
        partitions: Sequence[int],
        clock: WallClock,
        batch_max: int = 2_000,
        linger_ms: int = 20,
        drain_ms: int = 5_000,
        clustered: bool = False,
        intake: Intake | None = None,
    ) -> None:
        self._client = client
        self._database = database
        self._partitions = tuple(partitions)
        self._keys = {str(outbox_key(at)).encode(): at for at in self._partitions}
        self._clock = clock
        self._batch_max = batch_max
        self._linger_s = linger_ms / 1000
        self._drain_s = drain_ms / 1000
        self._clustered = clustered
        self._intake = intake or Intake(clock)
        self._cursors: dict[int, str] = {}
        self._aligned = False
        self._active = len(self._partitions)
        self._pause_s = _PAUSE_MIN_SECONDS
        self._measured_at = 0.0
        self._stop_by: float | None = None
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._running = False
        self._pending = 0
        self._lag_seconds = 0.0
        self._applied = 0
        self._dead_letters = 0
        self._last_error: str | None = None

    @property
    def state(self) -> WriterState:
        """What the writer is doing."""
        return WriterState(
            running=self._running,
            cursors=self._cursors,
            pending=self._pending,
            lag_seconds=self._lag_seconds,
            applied=self._applied,
            dead_letters=self._dead_letters,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Carry entries until ``stop``. Raises ``DeadLetterLimitError`` when it has to give up."""
        self._running = True
        try:
            while not self._stopping.is_set():
                await self._turn(_BLOCK_MS)
            await self._drain()
        except Exception as error:
            self._last_error = str(error)
            _log.critical("the writer has stopped: %s", error)
            raise
        finally:
            self._running = False
            self._finished.set()

    async def stop(self) -> None:
        """Finish the batch in hand, drain for a bounded time, and return when ``run`` has."""
        self._stop_by = asyncio.get_running_loop().time() + self._drain_s
        self._stopping.set()
        if self._running:
            await self._finished.wait()

    async def align(self) -> list[int]:
        """Bring every stream up to its SQL cursor; return the partitions that were behind it.

        An id below the cursor would never be read. Entries up to the cursor are trimmed: a writer
        before this one may have ended between apply and trim.
        """
        run, partitions = self._database.run, self._partitions
        self._cursors = await run(lambda engine: store.open_cursors(engine, partitions))
        self._dead_letters = await run(lambda engine: store.count_dead_letters(engine, partitions))
        behind = [at for at in self._partitions if await self._raise_stream(at)]
        await self._trim(self._partitions)
        if behind:
            _log.warning("Redis was behind SQL in partitions %s", behind)
        self._aligned = True
        return behind

    async def _raise_stream(self, partition: int) -> bool:
        cursor = self._cursors[partition]
        if cursor == BEGINNING:
            return False
        key = outbox_key(partition)
        # An empty entry with the cursor's own id, which nobody reads, leaves the stream just there;
        # XSETID would need the stream to exist and could lower it.
        try:
            await self._client.execute_command("XADD", key, cursor, FIELD, b"")
        except ResponseError as error:
            if "equal or smaller" in str(error):
                return False
            raise
        return True

    async def _turn(self, block_ms: int) -> int:
        """Do one round; a fault is noted, waited out, and answered with 0."""
        try:
            if not self._aligned:
                await self.align()
            carried = await self._advance(block_ms)
            await self._measure()
        except (*_REDIS_FAULTS, UnavailableError, CursorMovedError) as error:
            # SQL is the truth after any of these, also where a commit's answer was lost.
            self._aligned = False
            await self._wait_out(error)
            return 0
        self._last_error = None
        self._pause_s = _PAUSE_MIN_SECONDS
        return carried

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._stop_by is not None and loop.time() < self._stop_by:
            if await self._turn(0) == 0 and self._aligned:
                return

    async def _wait_out(self, error: Exception) -> None:
        self._last_error = str(error)
        _log.warning("the writer waits %.2f s: %s", self._pause_s, error)
        with contextlib.suppress(*_REDIS_FAULTS):
            # With SQL gone, the lag is what everybody needs to see.
            await self._measure()
        await self._pause(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Wait, no longer than until ``stop`` is called; draining, no longer than it may last."""
        if self._stop_by is not None:
            left = self._stop_by - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, min(seconds, left)))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _advance(self, block_ms: int) -> int:
        received = await self._receive(block_ms)
        if not received:
            self._pending, self._lag_seconds = 0, 0.0
        for at in range(0, len(received), self._batch_max):
            await self._carry(received[at : at + self._batch_max])
        return len(received)

    async def _carry(self, received: Sequence[Received]) -> None:
        expected = dict(self._cursors)
        progress: Progress = await self._database.run(
            partial(self._intake.carry, received, expected)
        )
        self._cursors = expected | progress.cursors
        self._applied += len(received)
        self._dead_letters += progress.dead_letters
        await self._trim({one.partition for one in received})

    async def _receive(self, block_ms: int) -> list[Received]:
        """Read after the cursors; what comes within the linger time comes along."""
        received = await self._read(self._cursors, block_ms)
        if received and len(received) < self._batch_max and not self._stopping.is_set():
            await self._pause(self._linger_s)
            reached = self._cursors | {one.partition: one.stream_id for one in received}
            received += await self._read(reached, 0)
        return received

    async def _read(self, after: Mapping[int, str], block_ms: int) -> list[Received]:
        # The count holds for each stream, so it is shared among those that last had something.
        count = max(1, self._batch_max // self._active)
        if self._clustered:
            received = await self._read_singly(after, count)
            if not received and block_ms:
                await self._pause(block_ms / 1000)
        else:
            block = ("BLOCK", block_ms) if block_ms else ()
            received = self._parse(await self._read_streams(self._keys, after, count, *block))
        self._active = len({one.partition for one in received}) or len(self._partitions)
        return received

    async def _read_streams(
        self, keys: Iterable[bytes], after: Mapping[int, str], count: int, *block: str | int
    ) -> Any:  # noqa: ANN401 - a reply; its shape depends on the protocol
        names = list(keys)
        places = [after[self._keys[name]] for name in names]
        return await self._client.execute_command(
            "XREAD", "COUNT", count, *block, "STREAMS", *names, *places
        )

    async def _read_singly(self, after: Mapping[int, str], count: int) -> list[Received]:
        async with self._client.pipeline(transaction=False) as pipe:
            for key, at in self._keys.items():
                pipe.execute_command("XREAD", "COUNT", count, "STREAMS", key, after[at])
            replies = await pipe.execute()
        return [one for reply in replies for one in self._parse(reply)]

    def _parse(self, reply: Any) -> list[Received]:  # noqa: ANN401 - as above
        pairs = reply.items() if isinstance(reply, Mapping) else reply or ()
        return [
            Received(self._keys[key], stream_id.decode(), fields.get(FIELD))
            for key, entries in pairs
            for stream_id, fields in _flat(entries)
        ]

    async def _trim(self, partitions: Iterable[int]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for at in partitions:
                # The cursor's own entry stays: a reader of an older state of SQL sees by it that
                # what lay between is gone (lua/include/newer_entry.lua).
                pipe.execute_command("XTRIM", outbox_key(at), "MINID", "=", self._cursors[at])
            await pipe.execute()

    async def _measure(self) -> None:
        """Look at what is waiting, once a second; notice a Redis that lost its streams."""
        now = asyncio.get_running_loop().time()
        if now < self._measured_at + _MEASURE_SECONDS:
            return
        self._measured_at = now
        async with self._client.pipeline(transaction=False) as pipe:
            for at in self._partitions:
                pipe.execute_command("XINFO STREAM", outbox_key(at))
            replies = await pipe.execute(raise_on_error=False)
        streams = [_stream_info(reply) for reply in replies]
        kept = zip(self._partitions, streams, strict=True)
        applied = [stream.first and stream.first == self._cursors.get(at) for at, stream in kept]
        self._pending = sum(stream.length for stream in streams) - sum(map(bool, applied))
        self._lag_seconds = max(0, await self._oldest_age_ms()) / 1000 if self._pending else 0.0
        for at, stream in zip(self._partitions, streams, strict=True):
            if place(stream.last) < place(self._cursors.get(at, BEGINNING)):
                self._aligned = False

    async def _oldest_age_ms(self) -> int:
        async with self._client.pipeline(transaction=False) as pipe:
            for at in self._partitions:
                after = f"({self._cursors.get(at, BEGINNING)}"
                pipe.execute_command("XRANGE", outbox_key(at), after, "+", "COUNT", 1)
            replies = await pipe.execute()
        times = [place(reply[0][0].decode())[0] for reply in replies if reply]
        return self._clock.now_ms() - min(times) if times else 0


def _flat(entries: list[Any]) -> list[Any]:
    # One of the client's four reply forms wraps the entries once more.
    return entries[0] if entries and isinstance(entries[0], list) else entries


class _StreamInfo(NamedTuple):
    length: int
    first: str | None
    last: str


def _stream_info(reply: Any) -> _StreamInfo:  # noqa: ANN401 - a reply, or what came instead
    if isinstance(reply, ResponseError) and "no such key" in str(reply):
        return _StreamInfo(0, None, BEGINNING)
    if isinstance(reply, Exception):
        raise reply
    first = reply["first-entry"]
    last = reply["last-generated-id"]
    return _StreamInfo(reply["length"], first[0].decode() if first else None, last.decode())
