"""From the stream to SQL and back: locks, usage windows and changed rows of a lost customer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import Engine, select

from gateway.engine.images import restore_groups
from gateway.keys import outbox_key
from gateway.outbox import FIELD
from persistence.database import Database
from persistence.models import Alert
from persistence.reads.reader import SqlReader
from persistence.sync.writer import Writer
from tests.unit.persistence.entries import (
    BASE_MS,
    StillClock,
    alert,
    customer,
    entity,
    event,
    lock,
    payload,
    row,
    updated,
    window,
)
from tests.waiting import until

pytestmark = pytest.mark.redis_kinds("embedded")

_RECEIPT = "acme\tmessages\tseat_1\t3\t900\t9\tcus_1\t{}\nmessages\tgift\t\t1\t3\t3"
_ENTRIES = [
    payload(customer(), entity(), row("gift", used=2), lock("old"), seq=1),
    payload(updated("gift", grant=7, due_ms=60), seq=2, kind="balance"),
    payload(
        event(entity="seat_1"),
        window(3, 900, entity="seat_1"),
        lock(at_ms=900, entity="seat_1", receipt=_RECEIPT),
        alert(),
        seq=3,
    ),
    payload(lock("old", "released"), seq=4, kind="lock"),
]


@pytest.fixture
async def database(engine: Engine) -> AsyncIterator[Database]:
    made = Database(engine, threads=2, answer_ms=None)
    yield made
    await made.close()


async def test_what_the_writer_carried_is_what_a_lost_customer_gets_back(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    for one in _ENTRIES:
        await redis_client.xadd(outbox_key(1), {FIELD: one})
    writer = Writer(redis_client, database, partitions=[1], clock=StillClock(), linger_ms=1)
    running = asyncio.create_task(writer.run())
    await until(lambda: writer.state.applied == len(_ENTRIES))
    await writer.stop()
    await running
    assert writer.state.dead_letters == 0
    image = (await SqlReader(database).load("sandbox", "acme", 1)).customer
    assert image is not None
    fields, holdings, _, _, locks, holds = restore_groups(image)
    of_customer = dict(zip(fields[::2], fields[1::2], strict=True))
    of_entities = dict(zip(holdings[::2], holdings[1::2], strict=True))
    assert of_customer["x:messages"] == "k\t3"
    assert of_entities["x:messages\tseat_1"] == "k\t3\nw\t\t900\t3"
    assert of_customer["v:messages"] == "2 0 0 1 60 0"
    assert str(of_customer["r:messages"]).split("\t")[:3] == ["gift", "c", "7"]
    assert (locks, holds) == (
        ["sandbox\tlock_1", _RECEIPT],
        [900, "sandbox\tacme\tlock_1"],
    )
    with engine.connect() as connection:
        assert connection.scalars(select(Alert.created_at)).all() == [BASE_MS]
