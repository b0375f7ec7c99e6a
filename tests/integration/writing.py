"""A writer under test: its options, its streams and what came of them in SQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypedDict, Unpack

from redis.asyncio import Redis
from sqlalchemy import Engine, func, select, text

from gateway.keys import outbox_key
from gateway.outbox import FIELD
from gateway.ports import Guard
from persistence.database import Database, write_transaction
from persistence.models import DeadLetter, Event
from persistence.sync import store
from persistence.sync.intake import DeadLetterLimitError, Intake
from persistence.sync.writer import Writer
from tests.unit.persistence.entries import StillClock, event, payload

PARTITIONS = range(4)


class WriterOptions(TypedDict, total=False):
    batch_max: int
    drain_ms: int
    intake: Intake
    lease_seconds: float
    beat_seconds: float


def make_writer(
    client: Redis,
    database: Database,
    *,
    guard: Guard | None = None,
    **options: Unpack[WriterOptions],
) -> Writer:
    clock = StillClock()
    return Writer(
        client,
        database,
        partitions=PARTITIONS,
        clock=clock,
        linger_ms=1,
        guard=guard,
        **options,
    )


@contextlib.asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(writer.run())
    try:
        yield task
    finally:
        await writer.stop()
        with contextlib.suppress(DeadLetterLimitError, asyncio.CancelledError):
            await task


async def add_entry(client: Redis, partition: int, text_: bytes, stream_id: str = "*") -> str:
    added: Any = await client.xadd(outbox_key(partition), {FIELD: text_}, id=stream_id)
    return str(added.decode())


async def read_entries(client: Redis, partition: int) -> list[tuple[str, bytes]]:
    found: Any = await client.xrange(outbox_key(partition))
    return [(one.decode(), fields[FIELD]) for one, fields in found]


async def add_events(client: Redis, count: int, partition: int = 1, start: int = 1) -> list[str]:
    return [
        await add_entry(client, partition, payload(event(value=number), seq=number))
        for number in range(start, start + count)
    ]


async def lengths(client: Redis) -> list[int]:
    """Entries of each stream; the one at the cursor stays."""
    return [await client.xlen(outbox_key(at)) for at in PARTITIONS]


def event_values(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Event.value).order_by(Event.value)))


def count_rows(engine: Engine, table: type[Event | DeadLetter]) -> int:
    with engine.connect() as connection:
        return connection.scalars(select(func.count()).select_from(table)).one()


async def set_cursor(engine: Engine, cursor: str) -> None:
    """Say in SQL that partition 1 was applied up to there."""
    store.open_cursors(engine, PARTITIONS)
    with write_transaction(engine) as connection:
        move = text("UPDATE cursors SET stream_id = :cursor WHERE partition = 1")
        connection.execute(move, {"cursor": cursor})
