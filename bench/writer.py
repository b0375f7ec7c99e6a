"""What the writer carries: rows a second into SQLite and PostgreSQL by stage, the memory of a long
backlog, and how late SQL is at 2,000 tracks a second and while one gateway is as busy as it can be.

Entries are those of ``bench.writer_stages``. The backlog lies in a Redis of its own and one writer
drains it while the memory of the process is watched. The full load is real: a gateway with no
writer, a writer beside it, and connections that track without a pause. Late is the time from an
entry's id to the moment its partition's cursor in SQL has passed it.

``python -m bench.writer --entries 2000000`` takes another backlog, ``--seconds 60`` a longer load;
``--part backlog --sql postgresql`` measures no more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import click
import msgspec
from redis.asyncio import Redis
from sqlalchemy import URL, make_url, text

from bench import stage
from bench.lateness import Lateness
from bench.load import put_on
from bench.results import Bar
from bench.servers import postgres
from bench.writer_stages import (
    BATCH,
    CUSTOMERS,
    PARTITIONS,
    Stage,
    measure_stages,
    received,
    track_entry,
)
from gateway.background.tasks import WRITER_CACHE_MIB
from gateway.embedded.server import EmbeddedServer
from gateway.keys import outbox_key, partition_of
from gateway.outbox import FIELD
from gateway.processes.collecting import collect_seldom
from gateway.scripts import Scripts
from gateway.wall import SystemClock
from persistence.database import Database, EngineOptions, make_engine
from persistence.migrate import upgrade
from persistence.reads.reader import SqlReader
from persistence.sync.writer import Writer

ENTRIES = 200_000
SMOKE_ENTRIES = 2_000
SECONDS = 20.0
SMOKE_SECONDS = 0.3
SEEN_IN_OTHERS = {("sqlite", "pace"), ("postgresql", "gateway")}
"""Ways whose every line another one runs too."""
PIPELINE = 1_000
CONNECTIONS = 64
SAMPLE_SECONDS = 0.01
ENGINES = ("sqlite", "postgresql")
PARTS = ("stages", "backlog", "pace", "gateway")
LOOKS = (0.05, 0.5)
"""After which parts of a backlog the memory counts, and once more at its end."""
PACED = 2_000
"""Tracks a second of the load that is no more than asked for."""
PACE_SECONDS = 0.02
WARM_UP_SECONDS = 1.0
BARS = {
    ("postgresql", "events/s"): 70_000,
    ("postgresql", "events again/s"): 70_000,
    ("postgresql", "upserts/s"): 30_000,
    ("sqlite", "upserts/s"): 30_000,
}
MIB = 1024 * 1024


class Drain(msgspec.Struct, frozen=True):
    """How fast a backlog went, and what it cost in memory."""

    sql: str
    entries: int
    rows: int
    seconds: float
    start_mib: float
    """Of the process after a twentieth of the entries."""
    middle_mib: float
    end_mib: float
    highest_mib: float


class Load(msgspec.Struct, frozen=True):
    """How late SQL was while tracks came as fast as one gateway answers."""

    sql: str
    load: str
    is_paced: bool
    tracks_per_second: float
    late_p50_ms: float
    late_p99_ms: float
    drained_seconds: float
    """From the last answer until SQL had everything."""


class Result(msgspec.Struct, frozen=True):
    """All of it, for each SQL."""

    stages: list[Stage]
    drains: list[Drain]
    loads: list[Load]
    answers: str

    def table(self) -> str:
        """Return the result as text."""
        lines = [f"| stage, batches of {BATCH:,} | rows | rows/s | us of CPU a row |"]
        lines.append("|---|---|---|---|")
        for part in self.stages:
            speed = f"{part.rows / part.seconds:,.0f} | {part.cpu_us:.1f}"
            lines.append(f"| {part.sql}: {part.name} | {part.rows:,} | {speed} |")
        lines.append(
            "\n| backlog into | entries | entries/s | rows/s "
            "| MiB after 5 % | half | all | highest |"
        )
        lines.append("|---|---|---|---|---|---|---|---|")
        for one in self.drains:
            speeds = f"{one.entries / one.seconds:,.0f} | {one.rows / one.seconds:,.0f}"
            looks = (one.start_mib, one.middle_mib, one.end_mib, one.highest_mib)
            memory = " | ".join(f"{mib:.0f}" for mib in looks)
            lines.append(f"| {one.sql} | {one.entries:,} | {speeds} | {memory} |")
        lines.append(
            "\n| load into | load | tracks/s | late p50 ms | late p99 ms | all there after s |"
        )
        lines.append("|---|---|---|---|---|---|")
        for load in self.loads:
            late = f"{load.late_p50_ms:.0f} | {load.late_p99_ms:.0f} | {load.drained_seconds:.2f}"
            tracks = f"{load.load} | {load.tracks_per_second:,.0f}"
            lines.append(f"| {load.sql} | {tracks} | {late} |")
        return "\n".join([*lines, f"answers {self.answers}"])

    def bars(self) -> Iterator[Bar]:
        """Yield what is held against a bar."""
        for part in self.stages:
            least = BARS.get((part.sql, part.name))
            if least is not None:
                speed = part.rows / part.seconds
                yield Bar(f"{part.name} into {part.sql}", speed, least, least)
        for load in self.loads:
            if load.is_paced:
                yield Bar(f"late p99 in ms, {load.sql}, {load.load}", load.late_p99_ms, 150, 75)
        for one in self.drains:
            grown = one.highest_mib / one.start_mib
            yield Bar(f"memory of a backlog into {one.sql}, highest / 5 %", grown, 1.25)


async def run(
    smoke: bool,  # noqa: FBT001 - every bench takes this one switch
    entries: int = ENTRIES,
    seconds: float = SECONDS,
    engines: Sequence[str] = ENGINES,
    parts: Sequence[str] = PARTS,
) -> Result:
    """Time the stages, drain a backlog, carry entries at a pace and the load of a gateway."""
    if smoke:
        entries, seconds = SMOKE_ENTRIES, SMOKE_SECONDS
    collect_seldom()  # as the process does that writes
    stages, drains, loads = [], [], []
    hashed = hashlib.sha256()
    ways = list(itertools.product(engines, parts))
    chosen = [way for way in ways if not smoke or way not in SEEN_IN_OTHERS]
    for name, of_name in itertools.groupby(chosen, lambda way: way[0]):
        with _server(name) as server_url:
            for _, part in of_name:
                url = _empty(server_url, part)
                if part == "stages":
                    stages += measure_stages(name, url, BATCH * (3 if smoke else 20))
                elif part == "backlog":
                    drain, sums = await _drain(name, url, entries)
                    drains.append(drain)
                    hashed.update(sums.encode())
                else:
                    loads.append(await _load(name, url, seconds, paced=part == "pace"))
    return Result(stages, drains, loads, hashed.hexdigest()[:12])


@contextlib.contextmanager
def _server(name: str) -> Iterator[URL]:
    """Start an SQL whose databases are gone after the block."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="tg-") as folder:
            yield URL.create("sqlite", database=f"{folder}/")
    else:
        with postgres() as url:
            yield make_url(url)


def _empty(server: URL, part: str) -> str:
    """Make the database of a part, with the tables of a new installation."""
    if server.drivername == "sqlite":
        made = server.set(database=f"{server.database}{part}.db")
    else:
        engine = make_engine(server.render_as_string(hide_password=False), EngineOptions())
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {part}"))
        engine.dispose()
        made = server.set(database=part)
    url = made.render_as_string(hide_password=False)
    upgrade(url)
    return url


@contextlib.asynccontextmanager
async def _redis() -> AsyncIterator[tuple[str, Redis]]:
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        server = EmbeddedServer(Path(folder))
        url = server.start()
        try:
            async with Redis.from_url(url) as client:
                yield url, client
        finally:
            server.stop()


async def _drain(name: str, url: str, entries: int) -> tuple[Drain, str]:
    engine = make_engine(
        url,
        EngineOptions(
            pool_size=2, statement_timeout_ms=60_000, cache_mib=WRITER_CACHE_MIB, pings=False
        ),
    )
    database = Database(engine, threads=2, answer_ms=None)
    async with _redis() as (_, client):
        await _fill(client, entries)
        writer = Writer(client, database, partitions=range(PARTITIONS), clock=SystemClock())
        began = time.perf_counter()
        task = asyncio.create_task(writer.run())
        memory: list[float] = []
        highest = 0.0
        while writer.state.applied < entries:
            await asyncio.sleep(SAMPLE_SECONDS)
            now = _memory_mib()
            highest = max(highest, now)
            if len(memory) < 2 and writer.state.applied >= entries * LOOKS[len(memory)]:
                memory.append(now)
            if task.done():
                await task
        seconds = time.perf_counter() - began
        memory.append(_memory_mib())
        await writer.stop()
        await task
    with engine.connect() as connection:
        events, moves, units = (
            connection.scalars(text(query)).one()
            for query in (
                "SELECT count(*) FROM events",
                "SELECT count(*) FROM deductions",
                "SELECT sum(used) FROM balances",
            )
        )
    await database.close()
    assert events == moves == units == entries, "an entry is missing or there twice"
    looks = (memory[0], memory[len(memory) // 2], memory[-1])
    return Drain(name, entries, events + moves, seconds, *looks, highest), f"{name}{units}"


async def _fill(client: Redis, entries: int) -> None:
    """Write a backlog: each customer with a balance, then tracks in turn."""
    for first in range(0, entries, PIPELINE):
        async with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + PIPELINE, entries)):
                customer, turn = number % CUSTOMERS, number // CUSTOMERS
                key = outbox_key(partition_of("sandbox", f"cus_{customer}", PARTITIONS))
                pipe.execute_command("XADD", key, "*", FIELD, track_entry(customer, turn))
            await pipe.execute()


def _memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


async def _load(name: str, url: str, seconds: float, *, paced: bool) -> Load:
    async with contextlib.AsyncExitStack() as stack:
        redis_url, client = await stack.enter_async_context(_redis())
        place = stage.Stage(redis_url, url, client, Scripts(client), redis_pid=0)
        await stack.enter_async_context(stage.writer(place))
        if not paced:
            served = await stack.enter_async_context(stage.gateway(place))
            await _prepare(served)
        database = Database(make_engine(url, EngineOptions()), threads=1, answer_ms=None)
        late = Lateness(client, SqlReader(database))
        # A writer that has only just begun is not what is measured.
        first = await _pace(client, min(seconds, WARM_UP_SECONDS), 0) if paced else 0
        await late.carried()

        async def put() -> tuple[float, float]:
            if paced:
                rate = await _pace(client, seconds, first) / seconds
            else:
                rate = await _saturate(served, seconds)
            return rate, time.perf_counter()

        rate, ended = await late.during(put())
        drained = time.perf_counter() - ended
        await database.close()
    p50, p99 = (late.quantile_ms(part) for part in (0.5, 0.99))
    load = f"entries of {PACED:,}/s" if paced else "a gateway, flat out"
    return Load(name, load, paced, rate, p50, p99, drained)


async def _pace(client: Redis, seconds: float, first: int) -> int:
    """Write entries as a gateway would, so many a second; return how many it were."""
    clock = asyncio.get_running_loop().time
    began, written = clock(), 0
    while (passed := clock() - began) < seconds:
        async with client.pipeline(transaction=False) as pipe:
            for number in range(first + written, first + int(passed * PACED)):
                key = outbox_key(received(number).partition)
                entry = track_entry(number % CUSTOMERS, number // CUSTOMERS)
                pipe.execute_command("XADD", key, "*", FIELD, entry)
            await pipe.execute()
        written = max(written, int(passed * PACED))
        await asyncio.sleep(PACE_SECONDS)
    return written


async def _saturate(served: stage.Served, seconds: float) -> float:
    """Track without a pause; return how many a second were acknowledged."""
    bodies = (
        {"customer_id": f"cus_{at}", "feature_id": "messages", "value": 1}
        for at in range(CONNECTIONS)
    )
    sequences = [[stage.request("balances.track", body)] for body in bodies]
    plan = stage.http_plan(served, sequences, CONNECTIONS)
    tally = await put_on(msgspec.structs.replace(plan, seconds=seconds))
    assert tally.failures == 0, f"{tally.failures} tracks failed"
    return tally.rate


async def _prepare(served: stage.Served) -> None:
    async with stage.Api(served.base) as api:
        await api.feature("messages")
        for at in range(CONNECTIONS):
            customer = {"customer_id": f"cus_{at}"}
            await api.call("customers.get_or_create", **customer)
            grant = {"feature_id": "messages", "included_grant": 1_000_000}
            await api.call("balances.create", **customer, **grant)


@click.command()
@click.option("--entries", type=click.IntRange(1_000), default=ENTRIES, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=SECONDS, show_default=True)
@click.option("--sql", "engines", type=click.Choice(ENGINES), multiple=True, default=ENGINES)
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, default=PARTS)
def main(*, entries: int, seconds: float, engines: Sequence[str], parts: Sequence[str]) -> None:
    """Measure the writer: all of it, or some parts on some SQL."""
    result = asyncio.run(
        run(smoke=False, entries=entries, seconds=seconds, engines=engines, parts=parts)
    )
    click.echo("\n".join([result.table(), *map(str, result.bars())]))


if __name__ == "__main__":
    main()
