"""Whether a million tracks of random decimals sum exactly, in Redis and in SQL.

Tracks of 1e-6 to 10 go to customers of their own in bursts of one pipeline each, through the real
script; the writer carries them to SQLite. In the end the usage each customer shows, the deductions
of its balance in SQL, and the values of its events are compared with the sum Python's ``decimal``
makes of what was sent. A difference raises.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from sqlalchemy import create_engine, text

from gateway.background.tasks import WriterTask
from gateway.clients import make_redis
from gateway.config import Settings
from gateway.embedded.server import EmbeddedServer
from gateway.keys import customer_keys
from gateway.rows import Kind, Row, encode_rows
from gateway.scripts import Context, FeatureRows, Part, Scripts, Status, Use
from gateway.wall import SystemClock
from persistence.migrate import upgrade

PARTITIONS = 4
CUSTOMERS = 20
UNIT = 10**6
NOW_MS = 1_763_000_000_000
BURST = 200
SEED = 3
QUERIES = {
    "deductions": "SELECT c.id, SUM(d.delta) FROM deductions d "
    "JOIN customers c ON c.internal_id = d.internal_id GROUP BY c.id",
    "events": "SELECT c.id, SUM(e.value) FROM events e "
    "JOIN customers c ON c.internal_id = e.internal_id GROUP BY c.id",
}


class Result(msgspec.Struct, frozen=True):
    """How much was tracked, how long it took, and a hash of the sums."""

    tracks: int
    track_seconds: float
    drain_seconds: float
    answers: str

    def table(self) -> str:
        """Return the result as text."""
        return (
            f"{self.tracks:,} tracks of random decimals: sums exact in Redis, deductions and events"
            f"\ntracked in {self.track_seconds:.0f} s, the rest carried to SQL in "
            f"{self.drain_seconds:.0f} s\nanswers {self.answers}"
        )


async def run(smoke: bool) -> Result:  # noqa: FBT001 - every bench takes this one switch
    """Track, drain, compare."""
    tracks = 400 if smoke else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder))
        settings = Settings(redis_url=server.start(), data_dir=folder, partitions=PARTITIONS)
        upgrade(settings.resolved_database_url)
        writer = WriterTask(settings, SystemClock())
        client = make_redis(settings, timeout_seconds=10)
        try:
            async with client:
                return await _measure(client, settings, writer, tracks)
        finally:
            await writer.stop()
            server.stop()


async def _measure(client: Redis, settings: Settings, writer: WriterTask, tracks: int) -> Result:
    scripts = Scripts(client)
    await scripts.load()
    names = [f"cus_{number}" for number in range(CUSTOMERS)]
    for name in names:
        await _create(scripts, name)
    writer.start()
    # Any amounts will do; the seed makes two runs the same.
    chance = random.Random(SEED)
    sent = dict.fromkeys(names, 0)
    began = time.perf_counter()
    for first in range(0, tracks, BURST):
        burst = [
            (names[at % CUSTOMERS], chance.randint(1, 10 * UNIT))
            for at in range(first, min(first + BURST, tracks))
        ]
        for name, units in burst:
            sent[name] += units
        await asyncio.gather(*(_track(scripts, name, units) for name, units in burst))
    tracked = time.perf_counter()
    await writer.stop()
    drained = time.perf_counter()
    for name in names:
        seen = await scripts.read_customer(customer_keys("sandbox", name, PARTITIONS), NOW_MS, "")
        used = int(seen.descriptions[0].live.split()[0])
        _compare("Redis", name, used, sent[name])
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        for place, query in QUERIES.items():
            rows = connection.execute(text(query)).all()
            for name, units in rows:
                _compare(place, name, units, sent[name])
            _compare(place, "customers", len(rows), CUSTOMERS)
    engine.dispose()
    return Result(
        tracks=tracks,
        track_seconds=tracked - began,
        drain_seconds=drained - tracked,
        answers=hashlib.sha256(msgspec.json.encode(sent)).hexdigest()[:12],
    )


async def _create(scripts: Scripts, name: str) -> None:
    row = Row(id=f"row_{name}", kind=Kind.SHARED, grant=9 * 10**15, rank="1")
    rows = [FeatureRows("calls", encode_rows([row]), "0", UNIT)]
    status = await scripts.create_customer(
        _context(name), "0-0", name, '{"created_at":1}', "[]", "", "", rows
    )
    assert status is Status.DONE


async def _track(scripts: Scripts, name: str, units: int) -> None:
    reply = await scripts.track(_context(name), Use("", [Part("calls", units)], NOW_MS, "reject"))
    assert reply.applied == [units]


def _context(name: str) -> Context:
    return Context(customer_keys("sandbox", name, PARTITIONS), "sandbox", name, "req", NOW_MS)


def _compare(place: str, name: str, found: int, expected: int) -> None:
    if Decimal(found) != Decimal(expected):
        raise AssertionError(f"{place}: {name} has {found}, not {expected}")
