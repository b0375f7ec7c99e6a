"""A customer in Redis and in SQL, the same in both to begin with: what tests of audits change."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Engine

from gateway.audit.auditor import Auditor
from gateway.audit.records import Drift, Scope
from gateway.engine.images import restore_groups
from gateway.keys import customer_keys, outbox_key, partition_of
from gateway.outbox import FIELD
from gateway.rows import Kind as RowKind
from gateway.scripts import Context, Scripts, Status
from gateway.scripts.residents import Name, Residents
from gateway.stream_ids import BEGINNING
from persistence.audit import SqlLedger
from persistence.database import Database
from persistence.reads.reader import SqlReader
from persistence.sync import store
from persistence.sync.fold import fold
from tests.unit.persistence.entries import (
    BASE_MS,
    History,
    StillClock,
    customer,
    deduct,
    entity,
    event,
    lock,
    reset,
    row,
    window,
)

PARTITIONS = 64
ACME = Name("sandbox", "acme")
PARTITION = partition_of(*ACME, PARTITIONS)
EVERYTHING = Scope()
RECEIPT = f"acme\tmessages\t\t3\t{BASE_MS + 9}\t2\tcus_1\t{{}}\nmessages\tbal_1\t\t1\t3\t3"


def _history() -> History:
    """Return a customer with a shared row, slots, a row an entity owns, a window and a lock."""
    history = History(PARTITION)
    history.add(customer("Acme"), row("bal_1"), row("bal_2", kind=RowKind.PER_ENTITY))
    history.add(entity("seat_1", 1), event("seats", applied=0))
    history.add(
        entity("seat_2", 2), event("seats", applied=0), row("bal_3", entity="seat_2", period=2)
    )
    history.add(event(value=5), deduct("bal_1", 5, 5))
    history.add(event(value=7), deduct("bal_2", 7, 7, total=7, entity="seat_1"))
    history.add(
        event(value=4),
        deduct("bal_2", 1, 1, total=8, entity="seat_2"),
        deduct("bal_3", 3, 3, entity="seat_2", period=2),
        window(4, BASE_MS + 999_999),
    )
    history.add(lock("lock_1", at_ms=BASE_MS + 9, receipt=RECEIPT), deduct("bal_1", 3, 8))
    history.add(reset("bal_1", 3), kind="reset")
    history.add(event(value=2), deduct("bal_1", 2, 2, period=3))
    return history


class Site:
    """A customer in Redis and in SQL, the same in both to begin with."""

    def __init__(self, client: Redis, database: Database) -> None:
        self.client = client
        self.database = database
        self.engine: Engine = database.engine
        self.scripts = Scripts(client)
        self.residents = Residents(client, PARTITIONS)
        self.reader = SqlReader(database)
        self.ledger = SqlLedger(database)
        self.auditor = Auditor(
            self.scripts,
            self.residents,
            self.reader,
            self.ledger,
            StillClock(),
            partitions=PARTITIONS,
            wait_ms=200,
        )
        self.keys = customer_keys(*ACME, PARTITIONS)

    async def begin(self) -> None:
        history = _history()
        batch = fold(history.entries)
        store.open_cursors(self.engine, [PARTITION])
        await self.apply(batch, BEGINNING)
        for entry, text in zip(history.entries, history.payloads, strict=True):
            await self.client.xadd(outbox_key(PARTITION), {FIELD: text}, id=entry.stream_id)
        assert await self.restore() is Status.DONE

    async def apply(self, batch: Any, cursor: str) -> None:  # noqa: ANN401 - a batch
        apply = store.apply
        await self.database.run(
            lambda engine: apply(engine, batch, expected={PARTITION: cursor}, now_ms=BASE_MS)
        )

    async def restore(self) -> Status:
        loaded = await self.reader.load(*ACME, PARTITION)
        assert loaded.customer is not None
        context = Context(self.keys, *ACME, "req_1", BASE_MS)
        groups = restore_groups(loaded.customer)
        return await self.scripts.restore_customer(context, loaded.cursor, groups)

    def change(self, statement: Any) -> None:  # noqa: ANN401 - of any table
        with self.engine.begin() as connection:
            assert connection.execute(statement).rowcount == 1

    def read(self, statement: Any) -> list[Any]:  # noqa: ANN401 - of any table
        with self.engine.connect() as connection:
            return list(connection.execute(statement))

    async def in_sql(self, scope: Scope = EVERYTHING) -> list[Drift]:
        return [drift async for step in self.auditor.audit_ledger(scope) for drift in step.drifts]

    async def in_redis(self) -> list[Drift]:
        found = await self.auditor.compare(ACME)
        assert found.is_settled
        return found.drifts

    async def differing(self) -> list[tuple[str, str, str, Any, Any]]:
        return [
            (one.what, one.balance_id, one.entity_id, one.sql, one.redis)
            for one in await self.in_redis()
        ]
