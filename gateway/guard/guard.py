"""Fence Redis until it is what SQL knows of it, and bring it there.

The hot path pays nothing: a client made for a guard opens its connections through ``admit``, which
lets none through to a server process that was not compared with SQL yet. A Redis that is emptied
while it runs has lost its seals, which the scripts that fill it look at.

To compare is to read SQL, then Redis, and to repair what differs, in an order that a crash anywhere
leaves to be done again: writers are fenced, customers that are older than SQL go, the incident is
told, streams are raised to their cursors, partitions are sealed, and last the server is admitted.
Every step may be repeated, by this process or by others at the same time. No SQL lock is held while
Redis is asked.

Failure. Redis or SQL gone, the fence stays, and the comparison is tried again within a second. A
Redis of another installation, a replica, or one that may evict stays fenced until it is the right
one again; nothing is written to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway import metrics
from gateway.alarm import Alarm
from gateway.cluster.topology import told_of
from gateway.errors import UnavailableError
from gateway.guard import streams
from gateway.guard.judgement import (
    Finding,
    ForeignError,
    Label,
    Stream,
    expects_seals,
    incident_of,
    is_sql_behind,
    judge,
)
from gateway.guard.reseed import Reseeding
from gateway.guard.server_facts import ServerFacts, facts_of, parse_info
from gateway.installation import Incident, IncidentKind, Installation, Past, Reached
from gateway.stream_ids import BEGINNING

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
"""How often a trusted server is looked at, for what no connection tells."""

PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 1.0
"""Between two comparisons that failed, longer each time."""

SETTLED_SECONDS = 5.0
"""For so long a server of a Cluster may say what is not so any more; after that it is so again, as
when slots have moved there and back.
"""

ATTEMPTS_MAX = 3
"""Comparisons in a row that another process may overtake."""

_FENCED = "Redis is not trusted before it was compared with SQL; nothing was changed. Try again."

_REDIS_FAULTS = (RedisError, OSError, TimeoutError)
_NOT_YET = "it has not been compared with SQL yet"

Greeting = Callable[[Any], Awaitable[None]]
"""What a connection does when it is open, before its first command."""


class Guard:
    """The guard of one process. ``generation`` grows whenever its trust ends: what was acknowledged
    under an older one may be lost. ``reason`` says why Redis is fenced, empty while it is not.
    """

    def __init__(
        self,
        connect: Callable[[Greeting], Redis],
        installation: Installation,
        *,
        partitions: int,
    ) -> None:
        """Keep the parts; ``connect`` makes a client whose connections greet as they are told."""
        self.client = connect(self._greet_same)
        self.generation = 0
        self.reason = _NOT_YET
        self.identity = ""
        self._installation = installation
        self._partitions = range(partitions)
        self._trusted = ""
        self._admitted: frozenset[str] = frozenset()
        self._compared: frozenset[str] = frozenset()
        self._superseded = ""
        self._superseded_at = 0.0
        self._covered: list[Callable[[], None]] = []
        self._dropping: set[asyncio.Future[Any]] = set()
        self._verifying: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._woken = Alarm()
        self._is_stopped = False

    @property
    def trusted(self) -> str:
        """The run id of the server that calls may go to, empty while none is."""
        return self._trusted

    @property
    def is_trusted(self) -> bool:
        """Whether calls may go to Redis."""
        return bool(self._trusted)

    def start(self) -> None:
        """Begin to watch."""
        self._watching = asyncio.create_task(self._watch(), name="guard")

    async def stop(self) -> None:
        """Stop watching and comparing, and close."""
        # Not by cancelling alone: a wait that ends at that very moment swallows it (Python 3.11).
        self._is_stopped = True
        tasks = [task for task in (self._watching, self._verifying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._dropping, return_exceptions=True)
        await self.client.aclose()

    def cover(self, client: Redis) -> None:
        """Drop the connections of a client, which greets with ``admit``, when the trust ends."""
        pool: Any = client.connection_pool

        async def drop() -> None:
            await pool.update_active_connections_for_reconnect()
            await pool.disconnect(inuse_connections=False)

        def drop_soon() -> None:
            task = asyncio.ensure_future(drop())
            self._dropping.add(task)
            task.add_done_callback(self._dropped)

        self.on_fence(drop_soon)

    def on_fence(self, act: Callable[[], None]) -> None:
        """Have something done at once when the trust ends."""
        self._covered.append(act)

    def doubt(self) -> None:
        """Look again at once: the server answered as only another one, or a replica, would."""
        self._woken.set()

    async def admit(self, connection: Any) -> None:  # noqa: ANN401 - a connection of any kind
        """Greet the server of a connection; raise ``ConnectionError`` unless it is trusted."""
        try:
            facts = await _greet(connection)
        except _REDIS_FAULTS as error:
            raise RedisConnectionError(f"Error connecting to Redis: {error}") from error
        if facts.run_id not in self._admitted or facts.role != "master":
            await connection.disconnect(nowait=True)
            self._distrust("another server answers")
            self._woken.set()
            raise RedisConnectionError(f"not connecting to Redis: {self.reason}")

    async def verify(self) -> None:
        """Return once Redis is compared with SQL and may be trusted.

        One comparison for all who ask at the same time. Raises ``UnavailableError``.
        """
        if self._verifying is None:
            self._verifying = asyncio.create_task(self._verify(), name="verify")
            self._verifying.add_done_callback(self._verified)
        await asyncio.shield(self._verifying)

    def _verified(self, task: asyncio.Task[None]) -> None:
        self._verifying = None
        if not task.cancelled():
            task.exception()  # Seen here, since whoever asked may have left.

    async def _verify(self) -> None:
        try:
            for _ in range(ATTEMPTS_MAX):
                if await self._compare():
                    return
        except _REDIS_FAULTS as error:
            reason = f"Redis cannot be compared with SQL: {told_of(error)}"
            raise UnavailableError(_FENCED, reason=reason) from error
        finally:
            self._compared = frozenset()
        raise UnavailableError("Redis cannot be compared with SQL: servers change too often")

    async def _compare(self) -> bool:
        """Compare and repair once; False when another server was admitted meanwhile."""
        past = await self._installation.past()
        facts = await self._meet(past)
        label = await streams.read_label(self.client)
        found = await streams.read_streams(self.client, self._partitions)
        sealed = await self._belongs(label, past, found, facts)
        findings = list(judge(past, found, expects_seals=sealed))
        if facts.run_id != past.run_id or any(one.needs_repair for one in findings):
            self._distrust("it may have gone back in time")
            # What SQL had a moment ago is final from here on: no batch on its way is applied.
            # Nor does anybody go on with the server that was admitted before.
            past = await self._installation.fence(self._partitions, facts.run_id)
            found = await streams.read_streams(self.client, self._partitions)
            findings = list(judge(past, found, expects_seals=sealed))
        await self._repair(past, found, findings, facts)
        await self._seal(past, label, found)
        if not await self._installation.admit(facts.run_id):
            return False
        self._trust(facts, past)
        return True

    async def _meet(self, past: Past) -> ServerFacts:
        """Return which server answers; from here on no other one does."""
        self._compared = frozenset()
        await self.client.connection_pool.disconnect()
        facts = await streams.read_facts(self.client)
        self._compared = facts.run_ids
        if facts.fault:
            self._refuse(facts.fault)
        if facts.run_id != self._trusted:
            is_moved = facts.run_ids == self._admitted
            self._distrust("slots have moved" if is_moved else "another server answers")
        elif past.run_id != facts.run_id:
            self._superseded, self._superseded_at = facts.run_id, time.monotonic()
        is_settled = facts.servers and time.monotonic() > self._superseded_at + SETTLED_SECONDS
        if facts.run_id == self._superseded and past.run_id != facts.run_id and not is_settled:
            self._refuse(
                f"another Redis ({past.run_id}) was admitted after this one ({facts.run_id}): "
                "set the Redis URL to that one, or restart this one to admit it again"
            )
        return facts

    async def _belongs(
        self, label: Label, past: Past, found: dict[int, Stream], facts: ServerFacts
    ) -> bool:
        try:
            return expects_seals(label, past, found)
        except ForeignError as error:
            text = str(error)
            kind = IncidentKind.WRONG_SERVER
            incident = Incident(kind, None, BEGINNING, BEGINNING, 0, 0, facts.run_id, text)
            await self._tell([incident], {})
            self._refuse(text)

    async def _repair(
        self, past: Past, found: dict[int, Stream], findings: list[Finding], facts: ServerFacts
    ) -> None:
        if not findings:
            return
        reached = {one.partition: past.reached.get(one.partition, Reached()) for one in findings}
        cursors = {at: one.cursor for at, one in reached.items()}
        repaired = [one for one in findings if one.needs_repair]
        reseeding = Reseeding(
            self.client, self._installation, cursors, partitions=len(self._partitions)
        )
        gone = await reseeding.run(repaired)
        confirmed = await self._confirmed(findings, found)
        seen = {one.partition: cursors[one.partition] for one in repaired}
        for one in confirmed:
            if one.kind is IncidentKind.ENTRIES_LOST:
                seen[one.partition] = one.from_id
        incidents = [
            incident_of(one, reached[one.partition], gone[one.partition], facts.run_id)
            for one in confirmed
        ]
        await self._tell(incidents, seen)
        ends = {at: cursors[at] for at in (one.partition for one in repaired)}
        await streams.raise_streams(
            self.client, {at: end for at, end in ends.items() if end != BEGINNING}
        )

    async def _confirmed(self, findings: list[Finding], found: dict[int, Stream]) -> list[Finding]:
        """Leave out the findings that a writer explains which carried and trimmed meanwhile."""
        if not any(one.kind is IncidentKind.SQL_BEHIND for one in findings):
            return findings
        now = (await self._installation.past()).reached
        return [
            one
            for one in findings
            if one.kind is not IncidentKind.SQL_BEHIND
            or is_sql_behind(now.get(one.partition, Reached()), found[one.partition])
        ]

    async def _tell(self, incidents: Sequence[Incident], seen: dict[int, str]) -> None:
        if not await self._installation.report(incidents, seen):
            return
        for kind in dict.fromkeys(one.kind for one in incidents):
            these = [one for one in incidents if one.kind is kind]
            metrics.incidents.labels(kind.value).inc()
            if kind is IncidentKind.WRONG_SERVER:
                continue  # Whoever refuses it says so.
            log.error(
                "%s: %s; %d partitions, %d customers come back from SQL",
                kind.value,
                these[0].detail,
                len(these),
                sum(one.reseeded for one in these),
            )

    async def _seal(self, past: Past, label: Label, found: dict[int, Stream]) -> None:
        unsealed = [at for at in self._partitions if found[at].seal != past.identity]
        await streams.write_seals(self.client, unsealed, past.identity)
        if label.identity is None or label.partitions is None:
            await streams.write_label(self.client, past.identity, len(self._partitions))

    def _trust(self, facts: ServerFacts, past: Past) -> None:
        self.identity = past.identity
        if not self._trusted:
            log.info("Redis %s is what SQL knows of it", facts.run_id)
        self._trusted, self._admitted = facts.run_id, facts.run_ids
        self.reason = ""
        metrics.fenced.set(0)

    def _distrust(self, reason: str) -> None:
        """End the trust, if there was any; connections to whatever was trusted are dropped."""
        if not self._trusted:
            return
        self._trusted, self._admitted = "", frozenset()
        self.reason = reason
        self.generation += 1
        metrics.fenced.set(1)
        log.warning("Redis is fenced: %s", reason)
        for act in self._covered:
            act()

    def _dropped(self, task: asyncio.Future[Any]) -> None:
        self._dropping.discard(task)
        if not task.cancelled():
            task.exception()  # A connection that cannot even be closed is gone.

    def _refuse(self, reason: str) -> NoReturn:
        self._distrust(reason)
        metrics.fenced.set(1)
        if self._watching is not None and reason != self.reason:
            log.error("Redis is fenced: %s", reason)
        self.reason = reason
        raise UnavailableError(_FENCED, reason=reason)

    async def _watch(self) -> None:
        pause = PAUSE_SECONDS
        while not self._is_stopped:
            await self._woken.rest(WATCH_SECONDS if self.is_trusted else pause)
            self._woken.clear()
            try:
                if self.is_trusted:
                    await self._look()
                else:
                    await self.verify()
                pause = PAUSE_SECONDS
            except UnavailableError as error:
                if self.reason != str(error):
                    self.reason = str(error)
                    log.warning("Redis stays fenced: %s", error)
                # Connections that are refused wake this task; the pause holds all the same.
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            except Exception:
                log.exception("Redis could not be looked at")
                await asyncio.sleep(PAUSE_SECONDS_MAX)

    async def _look(self) -> None:
        """See whether the trusted server is still the one, and still fit."""
        with contextlib.suppress(*_REDIS_FAULTS, UnavailableError):
            admitted = await self._installation.admitted()
            facts = await streams.read_facts(self.client)
            if facts.fault or facts.run_id != self._trusted or admitted != self._trusted:
                await self.verify()

    async def _greet_same(self, connection: Any) -> None:  # noqa: ANN401 - as in ``admit``
        """Greet, and refuse another server than the one that is being compared."""
        facts = await _greet(connection)
        if self._compared and facts.run_id not in self._compared:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError("another server answers than the one being compared")


async def _greet(connection: Any) -> ServerFacts:  # noqa: ANN401 - as in ``Guard.admit``
    try:
        await connection.on_connect()
        await connection.send_command("INFO", "server", "replication", check_health=False)
        return facts_of(parse_info(await connection.read_response()), connection.db or 0)
    except BaseException as error:
        # Half greeted it must not go back to the pool, whoever gave up.
        await connection.disconnect(nowait=True)
        if isinstance(error, AttributeError):
            # redis-py's own, of a connection that was closed between two of its steps.
            raise RedisConnectionError("it was closed while it was greeted") from error
        raise
