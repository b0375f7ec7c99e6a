"""Look at every part for ``/health``: what answers, how late SQL is, what is fenced.

A part that does not answer is what the answer says, never an error. What only this process knows,
fences, the breaker and the drift it found, is read from its metrics, so that both tell the same.

Failure. Redis or SQL hangs: it is said to be unavailable after ``ANSWER_SECONDS``, and is not asked
anew while somebody's question waits for it, however often one looks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics
from gateway.api.health import Health, Reason, RedisState, State, Versions, WriterHealth
from gateway.background.tasks import WriterTask
from gateway.cluster.client import Cluster
from gateway.engine.catalog import Catalog
from gateway.errors import GatewayError, UnavailableError
from gateway.keys import outbox_key
from gateway.ports import Reader
from gateway.release import package_version
from persistence.fleet import Fleet, SqlFleet

ANSWER_SECONDS = 0.8
"""How long a look waits for a part: an orchestrator's own patience is often a second."""

ASK_SECONDS = 5.0
"""After which a question that was not answered is given up, and the next look asks again."""

_Answer = TypeVar("_Answer")

Server = Mapping[str, Any] | None
"""INFO of a server, None of one that does not serve its keys."""


class HealthParts(NamedTuple):
    """What is looked at."""

    redis: Redis
    reader: Reader
    fleet: SqlFleet
    catalog: Catalog
    writer: WriterTask | None


class HealthProbe:
    """``gateway.api.health.Probe`` on the real parts."""

    def __init__(self, parts: HealthParts, *, partitions: int) -> None:
        self._parts = parts
        self._partitions = partitions
        self._servers = _Question(self._ask_servers)
        self._fleet = _Question(self._ask_fleet)
        self._waiting_ms = _Question(self._ask_waiting_ms)

    async def health(self) -> Health:
        """Return the state of every part."""
        servers, fleet, waiting_ms = await asyncio.gather(
            self._servers.answer(), self._fleet.answer(), self._waiting_ms.answer()
        )
        health = Health(
            status="ok",
            redis=redis_state(servers),
            sql=_state(fleet),
            catalog="ok" if self._parts.catalog.is_current else "unavailable",
            writer=self._writer_health(waiting_ms, fleet),
            versions=Versions(
                gateway=package_version(),
                redis=_version(servers),
                sql=fleet.revision if fleet else None,
            ),
            incidents=fleet.incidents if fleet else None,
            drift_balances=_drift(),
        )
        health.degraded = reasons(health)
        health.status = "degraded" if health.degraded else "ok"
        return health

    async def _ask_servers(self) -> list[Server] | None:
        redis = self._parts.redis
        with contextlib.suppress(RedisError, OSError):
            return (
                await redis.serving()
                if isinstance(redis, Cluster)
                else [await redis.info("server")]
            )
        return None

    async def _ask_fleet(self) -> Fleet | None:
        with contextlib.suppress(GatewayError):
            return await self._parts.fleet.read()
        return None

    def _writer_health(self, waiting_ms: list[int] | None, fleet: Fleet | None) -> WriterHealth:
        health = WriterHealth(state="apart", lag_seconds=None, partitions_behind=None)
        writer = self._parts.writer
        if writer is not None:
            task = writer.task
            health.state = "stopped" if task is None else "failed" if task.done() else "running"
        if waiting_ms is not None:
            health.lag_seconds = max([0, *waiting_ms]) / 1000
            health.partitions_behind = len(waiting_ms)
        if fleet is not None:
            health.partitions_owned = self._owned(fleet)
        return health

    def _owned(self, fleet: Fleet) -> dict[str, int]:
        # Those no writer has ever opened have no row yet.
        unknown = self._partitions - sum(fleet.owned.values())
        unwritten = fleet.owned.get("", 0) + unknown
        return fleet.owned | ({"": unwritten} if unwritten else {})

    async def _ask_waiting_ms(self) -> list[int] | None:
        """Return how long the first entry SQL has not got waits, for each partition that has one:
        by the clock that gave it its id, for this machine's may differ.
        """
        with contextlib.suppress(RedisError, OSError, UnavailableError):
            cursors = await self._parts.reader.cursors(range(self._partitions))
            redis = self._parts.redis
            async with redis.pipeline(transaction=False) as pipe:
                pipe.execute_command("TIME")
                for partition, cursor in cursors.items():
                    after = f"({cursor}"
                    pipe.execute_command("XRANGE", outbox_key(partition), after, "+", "COUNT", 1)
                found = pipe.execute(raise_on_error=not isinstance(redis, Cluster))
                clock, *firsts = await cast("Awaitable[list[Any]]", found)
            if isinstance(clock, RedisError):
                return None  # nobody answers
            now_ms = int(clock[0]) * 1000 + int(clock[1]) // 1000
            told = [one for one in firsts if one and not isinstance(one, RedisError)]
            return [now_ms - int(first[0][0].partition(b"-")[0]) for first in told]
        return None


class _Question(Generic[_Answer]):
    """What is asked of a part once at a time; who looks meanwhile waits for the same answer."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, _Answer | None]]) -> None:
        self._ask = ask
        self._asked: asyncio.Task[_Answer | None] | None = None

    async def answer(self) -> _Answer | None:
        """Return what the part answers, None if it does not in time."""
        asked = self._asked
        if asked is None or asked.done():
            asked = self._asked = asyncio.create_task(self._ask_in_time())
        done, _ = await asyncio.wait({asked}, timeout=ANSWER_SECONDS)
        return asked.result() if done else None

    async def _ask_in_time(self) -> _Answer | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                return await self._ask()
        return None


def reasons(health: Health) -> list[Reason]:
    """Return what is wrong, as far as a state and the metrics of this process tell."""
    writer, incidents = health.writer, health.incidents
    found: dict[Reason, bool] = {
        "redis": health.redis != "ok",
        "sql": health.sql != "ok",
        "catalog": health.catalog != "ok",
        "writer": writer.state == "failed",
        "unwritten": any(not owner for owner in writer.partitions_owned),
        "fenced": metrics.value_of(metrics.fenced) > 0,
        "breaker": metrics.value_of(metrics.breaker_open) > 0,
        "incidents": incidents is not None and incidents.open > 0,
        "drift": bool(health.drift_balances),
    }
    return [reason for reason, is_so in found.items() if is_so]


def redis_state(servers: list[Server] | None) -> RedisState:
    """Return how much of Redis serves."""
    if not servers or not any(servers):
        return "unavailable"
    return "ok" if all(servers) else "partial"


def _version(servers: list[Server] | None) -> str | None:
    server = next(filter(None, servers or ()), None)
    return str(server.get("valkey_version") or server["redis_version"]) if server else None


def _state(answer: object) -> State:
    return "unavailable" if answer is None else "ok"


def _drift() -> int | None:
    if not metrics.value_of(metrics.drift_checked):
        return None
    return int(metrics.value_of(metrics.drift_balances))
