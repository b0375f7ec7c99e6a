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
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
from redis.asyncio import Redis
from sqlalchemy import text

from bench.lateness import Lateness
from bench.load import Plan, put_on
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
from gateway.embedded import EmbeddedServer
from gateway.keys import outbox_key, partition_of
from gateway.outbox import FIELD
from gateway.tasks import WRITER_CACHE_MIB
from gateway.wall import SystemClock
from persistence.database import Database, EngineOptions, make_engine
from persistence.migrate import upgrade
from persistence.reader import SqlReader
from persistence.writer import Writer

ENTRIES = 200_000
SMOKE_ENTRIES = 2_000
SECONDS = 20.0
SMOKE_SECONDS = 1.0
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
KEY = "am_sk_test_0123456789abcdefghij"
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
                yield Bar(f"8: {part.name} into {part.sql}", speed, least, least)
        for load in self.loads:
            if load.is_paced:
                yield Bar(f"8: late p99 in ms, {load.sql}, {load.load}", load.late_p99_ms, 150, 75)
        for one in self.drains:
            grown = one.highest_mib / one.start_mib
            yield Bar(f"4.5: memory of a backlog into {one.sql}, highest / 5 %", grown, 1.25)


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
    stages, drains, loads = [], [], []
    hashed = hashlib.sha256()
    ways = list(itertools.product(engines, parts))
    for name, part in [way for way in ways if not smoke or way not in SEEN_IN_OTHERS]:
        with _sql(name) as url:
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
def _sql(name: str) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        if name == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-"))
            url = f"sqlite:///{folder}/tallygate.db"
        else:
            url = stack.enter_context(postgres())
        upgrade(url)
        yield url


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
    async with _redis() as (redis_url, client), _processes(redis_url, url) as base:
        await _prepare(base, customers=0 if paced else CONNECTIONS)
        database = Database(make_engine(url, EngineOptions()), threads=1, answer_ms=None)
        late = Lateness(client, SqlReader(database))
        # A writer that has only just begun is not what is measured.
        first = await _pace(client, WARM_UP_SECONDS, 0) if paced else 0
        await late.carried()

        async def put() -> tuple[float, float]:
            if paced:
                rate = await _pace(client, seconds, first) / seconds
            else:
                rate = await _saturate(base, seconds)
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


async def _saturate(base: str, seconds: float) -> float:
    """Track without a pause; return how many a second were acknowledged."""
    host, _, port = base.removeprefix("http://").rstrip("/").partition(":")
    plan = Plan(
        address=(host, int(port)),
        sequences=[[_request(at)] for at in range(CONNECTIONS)],
        connections=CONNECTIONS,
        seconds=seconds,
    )
    tally = await put_on(plan)
    assert tally.failures == 0, f"{tally.failures} tracks failed"
    return tally.rate


def _request(at: int) -> bytes:
    body = msgspec.json.encode({"customer_id": f"cus_{at}", "feature_id": "messages", "value": 1})
    head = (
        "POST /v1/balances.track HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextlib.asynccontextmanager
async def _processes(redis_url: str, database_url: str) -> AsyncIterator[str]:
    """Start a gateway and a writer, and yield where the gateway listens."""
    urls = ["--redis-url", redis_url, "--database-url", database_url]
    env = os.environ | {"TALLYGATE_BOOTSTRAP_KEY": KEY, "TALLYGATE_HOT_TIMEOUT_MS": "5000"}
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words, *urls),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=env,
        )
        for words in (["serve", "--no-writer", "--port", "0"], ["writer"])
    ]
    try:
        output: Any = started[0].stdout
        yield (await output.readline()).decode().split()[-1]
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.communicate()


async def _prepare(base: str, *, customers: int) -> None:
    async with httpx.AsyncClient(timeout=30, base_url=base) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/ready")).is_success:
                    break
            await asyncio.sleep(SAMPLE_SECONDS)
        feature = {"feature_id": "messages", "name": "Messages", "type": "metered"}
        feature |= {"consumable": True}  # type: ignore[dict-item]
        await _call(http, "features.create", feature)
        for at in range(customers):
            await _call(http, "customers.get_or_create", {"customer_id": f"cus_{at}"})
            await _call(
                http,
                "balances.create",
                {"customer_id": f"cus_{at}", "feature_id": "messages", "included_grant": 1_000_000},
            )


async def _call(http: httpx.AsyncClient, name: str, body: dict[str, Any]) -> None:
    answer = await http.post(f"/v1/{name}", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.is_success, answer.text


@click.command()
@click.option("--entries", type=click.IntRange(1_000), default=ENTRIES, show_default=True)
@click.option("--seconds", type=float, default=SECONDS, show_default=True)
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
