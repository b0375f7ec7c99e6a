"""What a call waits for at each durability level: memory, a replica, the file, SQL.

One Redis with an append-only file and a replica beside it, and a writer to SQLite, everything on
the same cores; tracks of one connection, and of many. In the end SQL must hold an event for each
track.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError

from bench.lateness import events_in_sql, lateness
from bench.load import Plan, Tally, put_on
from bench.measure import Effort
from bench.results import RATE, Figure, Outcome
from bench.stage import Api, Stage, call_of, gateway, http_plan, request, with_calls, writer
from gateway.embedded.server import find_binary
from gateway.scripts import Scripts
from persistence.migrate import upgrade

LEVELS = ("memory", "replica", "aof", "sql")
CUSTOMERS, SMOKE_CUSTOMERS = 200, 8
CONNECTIONS = (1, 64)
HOST = "127.0.0.1"
POLL_SECONDS = 0.02
POLLS_MAX = 1_000


async def run(effort: Effort) -> Outcome:
    """Measure every level in turn, by one connection and by many."""
    customers = SMOKE_CUSTOMERS if effort.is_smoke else CUSTOMERS
    tallies: dict[str, list[Tally]] = {}
    async with (
        _replicated() as place,
        gateway(place, durability_timeout_ms=10_000) as served,
        writer(place),
        Api(served.base) as api,
        lateness(place) as late,
    ):
        answers = await with_calls(api, customers)
        for _ in range(effort.rounds):
            for connections in CONNECTIONS:
                for level in LEVELS:
                    plan = http_plan(served, _tracks(level, customers), connections)
                    tally = await put_on(_lasting(plan, effort))
                    tallies.setdefault(f"{level}, {connections}", []).append(tally)
                    await late.carried()
        assert not sum(one.failures for found in tallies.values() for one in found)
        tracked = sum(one.statuses.get(200, 0) for found in tallies.values() for one in found)
        assert events_in_sql(place) == customers + tracked, "an event is missing or there twice"
    return Outcome(
        about="tracks through one gateway by level and connections; an append-only file "
        "(everysec), a replica, a writer to SQLite; "
        f"median of {effort.rounds} rounds of {effort.seconds:g} s",
        answers=answers,
        figures=[figure for name, found in tallies.items() for figure in _figures(name, found)],
    )


def _tracks(level: str, customers: int) -> list[list[bytes]]:
    header = ("x-durability", level)
    return [[request("balances.track", call_of(at), header=header)] for at in range(customers)]


def _lasting(plan: Plan, effort: Effort) -> Plan:
    seconds, warm_up = effort.seconds, effort.warm_up_seconds
    return msgspec.structs.replace(plan, seconds=seconds, warm_up_seconds=warm_up)


def _figures(name: str, tallies: list[Tally]) -> list[Figure]:
    return [
        Figure(name, RATE, [one.rate for one in tallies]),
        Figure(name, "p50 µs", [one.p50_us for one in tallies]),
        Figure(name, "p99 µs", [one.p99_us for one in tallies]),
    ]


@contextlib.asynccontextmanager
async def _replicated() -> AsyncIterator[Stage]:
    """Start a Redis with a replica, and make an SQLite file; all are gone after the block."""
    with tempfile.TemporaryDirectory(prefix="tg-", ignore_cleanup_errors=True) as folder:
        port, other = _free_ports()
        database_url = f"sqlite:///{folder}/bench.db"
        upgrade(database_url)
        async with (
            _server(_within(folder, "one"), port) as (client, pid),
            _server(_within(folder, "two"), other, "--replicaof", HOST, str(port)) as (replica, _),
        ):
            await _follows(replica)
            scripts = Scripts(client)
            await scripts.load()
            yield Stage(f"redis://{HOST}:{port}", database_url, client, scripts, pid)


@contextlib.asynccontextmanager
async def _server(folder: Path, port: int, *more: str) -> AsyncIterator[tuple[Redis, int]]:
    options = ("--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "")
    kept = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    process = await asyncio.create_subprocess_exec(
        *(str(find_binary()), *options, *kept, *more), stdout=asyncio.subprocess.DEVNULL
    )
    not_yet = (RedisConnectionError, BusyLoadingError)
    retry = Retry(ConstantBackoff(POLL_SECONDS), POLLS_MAX, not_yet)
    try:
        async with Redis(host=HOST, port=port, retry=retry) as client:
            await client.ping()
            yield client, process.pid
    finally:
        process.terminate()
        await process.wait()


def _within(folder: str, name: str) -> Path:
    made = Path(folder) / name
    made.mkdir()
    return made


async def _follows(replica: Redis) -> None:
    for _ in range(POLLS_MAX):
        if (await replica.info("replication"))["master_link_status"] == "up":
            return
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError("the replica does not follow")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in one, other:
            each.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]
