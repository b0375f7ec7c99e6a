"""Follow the outbox streams and carry every entry to SQL exactly once.

The cursor lives in SQL and moves in the transaction that writes the rows, so it alone says what was
applied. Any number of writers share the partitions: each reads those it has a lease on
(``persistence.sync.leases``), takes over what a silent one leaves, and hands over what is too much
between two batches. A stream is trimmed up to the cursor and never above it, and never by length.

Cost of a batch: one read of all streams, what ``persistence.sync.store`` asks of SQL, and at most
each quarter of a second a trim of the streams that gave entries.

Failure: Redis gone or SQL gone, the writer waits, longer each time up to a bound, looks at its
leases and goes on from the cursors it finds there; entries stay in Redis meanwhile. While it waits
it does not beat, so that a writer that can reach both takes over. A crash between apply and trim
leaves entries below the cursor: they are not read again, and the next owner trims them. A batch
under a lease that is gone is refused as a whole. A Redis that is not what SQL knows of it (a stream
that ends below its cursor, or begins above it) is left to the guard; nothing is read meanwhile.
What cannot be read of a Cluster, while the rest can, is left to whoever can read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from redis.asyncio import Redis

from gateway import metrics
from gateway.cluster.topology import told_of
from gateway.errors import UnavailableError
from gateway.ids import new_id
from gateway.ports import Guard, WallClock
from gateway.stream_ids import BEGINNING, place
from persistence.database import Database
from persistence.sync import store
from persistence.sync.intake import Intake, Progress, Received
from persistence.sync.leases import Lease, Tenant, Tenure
from persistence.sync.lingering import Lingering
from persistence.sync.store import CursorMovedError
from persistence.sync.stream_reader import REDIS_FAULTS, Asker, StreamInfo, StreamReader

_log = logging.getLogger(__name__)

_BLOCK_MS = 200
_BLOCK_MAX_MS = 1_000
"""How long a read waits for the first entry: the shorter time while there is something to trim, or
where the server cannot wait. The client's socket timeout has to be longer."""

_PAUSE_MIN_SECONDS = 0.05
_TRIM_SECONDS = 0.25
"""How long a busy writer leaves what it carried in Redis: trimming costs a call for each stream,
and after each batch it was a third of the writer's time."""


class WriterState(NamedTuple):
    """What /health shows of the writer; reading it costs nothing."""

    running: bool
    cursors: Mapping[int, str]
    """Last applied stream id of each partition it has a lease on."""
    pending: int
    """Entries in Redis that SQL has not got, of those partitions, as last measured."""
    lag_seconds: float
    """Age of the oldest of them."""
    applied: int
    """Entries carried since the start of the process."""
    dead_letters: int
    """Entries ever set aside."""
    last_error: str | None
    """What holds the writer up, or some of its partitions; None while all move."""


class Writer:
    """A writer of the partitions, one of any number.

    The client is the writer's own: replies are bytes, and its socket timeout is above a second.
    ``lease_seconds`` is how long another writer may be silent before its partitions are taken, and
    ``beat_seconds`` how often this one shows that it is not. A stream that is behind its cursor
    holds the writer up until the ``guard`` has looked after it.
    """

    def __init__(
        self,
        client: Redis,
        database: Database,
        *,
        partitions: Sequence[int],
        clock: WallClock,
        batch_max: int = 4_000,
        linger_ms: int = 20,
        drain_ms: int = 5_000,
        lease_seconds: float = 3.0,
        beat_seconds: float = 1.0,
        intake: Intake | None = None,
        guard: Guard | None = None,
        pipe: Asker | None = None,
    ) -> None:
        self._reader = StreamReader(client, pipe)
        self._database = database
        self._partitions = tuple(partitions)
        self._clock = clock
        self._batch_max = batch_max
        self._lingering = Lingering(linger_ms / 1000, batch_max)
        self._drain_s = drain_ms / 1000
        self._beat_s = beat_seconds
        # A longer pause would be taken for a death by those that woke up earlier.
        self._pause_max_s = lease_seconds / 2
        self._intake = intake or Intake(clock)
        self._guard = guard
        self._tenant = Tenant(new_id("wri"), self._partitions, lease_seconds=lease_seconds)
        self._cursors: dict[int, str] = {}
        self._epochs: dict[int, int] = {}
        self._accepted: dict[int, str] = {}
        """Cursors the guard let stand although their streams begin above them."""
        self._is_open = False
        self._is_fresh = False
        """Whether a stream may still hold what was applied: a lease is new, or a call failed."""
        self._carried: set[int] = set()
        """Partitions whose streams have entries below the cursor."""
        self._trimmed_at = 0.0
        self._attended_at: float | None = None
        self._pause_s = _PAUSE_MIN_SECONDS
        self._stop_by: float | None = None
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._reading: asyncio.Future[list[Received]] | None = None
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
                await self._turn(is_patient=True)
            await self._drain()
        except Exception as error:
            self._last_error = str(error)
            _log.critical("the writer has stopped: %s", error)
            raise
        finally:
            await self._leave()

    async def stop(self) -> None:
        """Finish the batch in hand, drain for a bounded time, and return when ``run`` has."""
        self._stop_by = asyncio.get_running_loop().time() + self._drain_s
        if self._reading is not None and not self._stopping.is_set():
            self._reading.cancel()  # What it would have brought is read again by the drain.
        self._stopping.set()
        if self._running:
            await self._finished.wait()

    async def _leave(self) -> None:
        try:
            with contextlib.suppress(UnavailableError):
                # What is not handed over in words is taken over in silence, a lease time later.
                await self._database.run(self._tenant.leave)
        finally:
            metrics.writer_partitions.set(0)
            self._running = False
            self._finished.set()

    async def _turn(self, *, is_patient: bool) -> int:
        """Do one round; a fault is noted, waited out, and answered with 0."""
        try:
            if self._until_due() == 0:
                await self._attend()
            carried = await self._advance(is_patient=is_patient)
        except (*REDIS_FAULTS, UnavailableError, CursorMovedError) as error:
            # SQL is the truth after any of these, also where a commit's answer was lost.
            self._attended_at = None
            self._is_fresh = True
            self._carried.clear()
            await self._wait_out(error)
            return 0
        self._last_error = next(map(told_of, self._reader.away.values()), None)
        self._pause_s = _PAUSE_MIN_SECONDS
        return carried

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._stop_by is not None and loop.time() < self._stop_by:
            if await self._turn(is_patient=False) == 0 and self._attended_at is not None:
                return

    async def _wait_out(self, error: Exception) -> None:
        self._last_error = told_of(error)
        _log.warning("the writer waits %.2f s: %s", self._pause_s, self._last_error)
        with contextlib.suppress(*REDIS_FAULTS):
            # With SQL gone, the lag is what everybody needs to see.
            cursors = self._cursors or dict.fromkeys(self._partitions, BEGINNING)
            await self._measure(cursors, await self._reader.inspect(cursors))
        await self._pause(self._pause_s)
        self._pause_s = min(self._pause_s * 2, self._pause_max_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, no longer than until ``stop`` is called; draining, no longer than it may last."""
        if self._stop_by is not None:
            left = self._stop_by - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, min(seconds, left)))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _until_due(self) -> float:
        """Return the seconds until the next beat; 0 after a fault, and at first."""
        if self._attended_at is None:
            return 0.0
        left = self._attended_at + self._beat_s - asyncio.get_running_loop().time()
        return max(0.0, round(left, 3))  # Less than a timer can wait is nothing.

    async def _attend(self) -> None:
        """Beat, follow the leases, check the streams and measure what waits in them."""
        # Redis first: a writer that cannot reach it has nothing to beat for. What was carried goes
        # before it would be counted as waiting.
        await self._trim()
        streams = await self._look()
        await self._open()
        now = asyncio.get_running_loop().time()
        seen = {at: stream.last for at, stream in streams.items()}
        attend = partial(self._tenant.attend, seen=seen, away={*self._reader.away}, now=now)
        attend = partial(attend, now_ms=self._clock.now_ms())
        leases, inherited, admitted = await self._database.run(attend)
        metrics.writer_takeovers.inc(inherited)
        was_fenced = self._hold(leases)
        if self._guard is not None and (was_fenced or admitted != self._guard.trusted):
            # Whether this Redis is still the one is for the guard to say.
            await self._guard.verify()
            self._is_fresh = True
        streams = await self._look() if self._is_fresh else streams
        streams = {at: streams[at] for at in self._cursors if at in streams}
        metrics.writer_partitions.set(len(streams))
        if not await self._are_trusted(streams):
            return
        if self._is_fresh:
            self._carried = await self._reader.trim(self._cursors)
            self._is_fresh = False
        await self._measure(self._cursors, streams)
        self._attended_at = now

    async def _look(self) -> dict[int, StreamInfo]:
        """Look at what it has, and at what it would have if it could be read."""
        wanted = {*self._cursors, *self._reader.away} if self._cursors else self._partitions
        return await self._reader.inspect(wanted)

    async def _open(self) -> None:
        """Make sure that every cursor has its row."""
        if not self._is_open:
            run, at = self._database.run, self._partitions
            await run(lambda engine: store.open_cursors(engine, at))
            self._dead_letters = await run(lambda engine: store.count_dead_letters(engine, at))
            self._is_open = True

    def _hold(self, leases: Mapping[int, Lease]) -> bool:
        """Go on with these leases and no other; say whether one had been taken away meanwhile."""
        epochs = {at: one.epoch for at, one in leases.items()}
        was_fenced = any(epochs.get(at, held) != held for at, held in self._epochs.items())
        self._is_fresh |= not epochs.items() <= self._epochs.items()
        self._cursors = {at: one.stream_id for at, one in leases.items()}
        self._epochs = epochs
        return was_fenced

    async def _are_trusted(self, streams: Mapping[int, StreamInfo]) -> bool:
        """Whether every stream continues its cursor; if not, have it looked after first."""
        behind, above = self._doubtful(streams)
        if not behind and not above:
            return True
        _log.warning("Redis is not what SQL knows in partitions %s", [*behind, *above])
        if self._guard is not None:
            await self._guard.verify()
            # What begins above its cursor goes on from there: the guard has told what that means.
            self._accepted |= {at: self._cursors[at] for at in above}
        still, _ = self._doubtful(await self._look())
        if still:
            raise UnavailableError(f"Redis is behind SQL in partitions {still}")
        return False

    def _doubtful(self, streams: Mapping[int, StreamInfo]) -> tuple[list[int], list[int]]:
        """Return which streams end below their cursors, and which begin above them."""
        behind, above = [], []
        for at in sorted(streams.keys() & self._cursors.keys()):
            stream, cursor = streams[at], self._cursors[at]
            if place(stream.last) < place(cursor):
                behind.append(at)
            elif self._accepted.get(at) != cursor and _begins_above(stream, cursor):
                above.append(at)
        # Without a guard there is nobody to ask what became of the entries in between.
        return behind, above if self._guard else []

    async def _measure(self, cursors: Mapping[int, str], streams: Mapping[int, StreamInfo]) -> None:
        """Look at what is waiting."""
        kept = sum(stream.first == cursors[at] for at, stream in streams.items() if stream.first)
        self._pending = sum(stream.length for stream in streams.values()) - kept
        oldest_ms = await self._reader.oldest_ms(cursors) if self._pending else None
        late_ms = 0 if oldest_ms is None else max(0, await self._reader.now_ms() - oldest_ms)
        self._tell(self._pending, late_ms / 1000)

    def _tell(self, pending: int, lag_seconds: float) -> None:
        self._pending = pending
        # What cannot be looked at may wait since then.
        self._lag_seconds = max(lag_seconds, self._reader.away_seconds)
        metrics.writer_pending.set(pending)
        metrics.writer_lag_seconds.set(self._lag_seconds)

    async def _advance(self, *, is_patient: bool) -> int:
        if self._attended_at is None or self._cursors.keys() <= self._reader.away.keys():
            if is_patient:
                await self._pause(self._until_due())
            return 0
        received = await self._receive(is_patient=is_patient)
        if not received:
            self._tell(0, 0.0)
        for at in range(0, len(received), self._batch_max):
            await self._carry(received[at : at + self._batch_max])
        now = asyncio.get_running_loop().time()
        if not received or now >= self._trimmed_at + _TRIM_SECONDS:
            await self._trim()
        return len(received)

    async def _trim(self) -> None:
        """Remove from Redis what was carried, of partitions that are still this writer's."""
        mine = self._carried & self._cursors.keys()
        self._carried = await self._reader.trim({at: self._cursors[at] for at in mine})
        self._trimmed_at = asyncio.get_running_loop().time()

    async def _receive(self, *, is_patient: bool) -> list[Received]:
        """Read after the cursors, no sooner than is worth it (``persistence.sync.lingering``).

        Who was busy for as long, or had nothing, does not wait.
        """
        loop = asyncio.get_running_loop()
        left = self._lingering.left(loop.time())
        if left > 0 and not self._stopping.is_set():
            await self._pause(left)
        block_ms = self._block_ms() if is_patient and not self._stopping.is_set() else 0
        received = await self._read(block_ms)
        self._lingering.note(len(received), loop.time())
        return received

    def _block_ms(self) -> int:
        """Return how long a read may wait, at the longest until the next beat."""
        if self._carried:
            return _BLOCK_MS
        return min(max(_BLOCK_MS, int(self._until_due() * 1000)), _BLOCK_MAX_MS)

    async def _read(self, block_ms: int) -> list[Received]:
        """Read once; nothing when ``stop`` is called meanwhile."""
        read = self._reader.read(self._cursors, entries_max=self._batch_max, block_ms=block_ms)
        self._reading = reading = asyncio.ensure_future(read)
        try:
            await asyncio.wait([reading])
        finally:
            self._reading = None
            reading.cancel()
        return [] if reading.cancelled() and self._stopping.is_set() else reading.result()

    async def _carry(self, received: Sequence[Received]) -> None:
        tenure = Tenure(self._tenant.id, self._epochs)
        work = partial(self._intake.carry, received, dict(self._cursors), tenure)
        carrying = asyncio.ensure_future(self._database.run(work))
        try:
            # A batch that takes its time is no silence.
            while not (await asyncio.wait({carrying}, timeout=self._beat_s))[0]:
                with contextlib.suppress(UnavailableError):
                    await self._database.run(self._tenant.beat)
        finally:
            carrying.cancel()
        progress: Progress = carrying.result()
        self._cursors |= progress.cursors
        self._applied += len(received)
        self._dead_letters += progress.dead_letters
        metrics.writer_applied.inc(len(received))
        metrics.writer_batches.inc()
        metrics.dead_letters.inc(progress.dead_letters)
        self._carried.update(progress.cursors)


def _begins_above(stream: StreamInfo, cursor: str) -> bool:
    # The entry at the cursor is never trimmed; one that is gone went by another hand.
    return cursor != BEGINNING and (stream.first is None or place(stream.first) > place(cursor))
