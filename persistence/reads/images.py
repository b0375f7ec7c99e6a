"""Customers as SQL has them, to put them back into Redis.

Those that are asked for while others are being read are read next, together: seven statements for
all of them, not for each. A process that starts with an empty Redis would otherwise spend its time
on statements, and its threads on waiting for each other between two of them.

Cost: O(rows of the customers), in rounds of ``TOGETHER`` customers, one round at a time.

Failure. A round that SQL does not answer fails whoever asked or waits; who comes after asks anew.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import BindParameter, Connection, Engine, Select, bindparam, select

from gateway.documents import ACTIVE, PAUSED, SCHEDULED
from gateway.ports import (
    CustomerImage,
    EntityImage,
    LoadResult,
    LockImage,
    RowImage,
    SlotImage,
    WindowImage,
)
from gateway.rows import Kind
from gateway.stream_ids import BEGINNING
from persistence.cursors import read_cursors
from persistence.database import Database, read_transaction
from persistence.models import (
    Balance,
    Customer,
    Entity,
    Lock,
    Slot,
    Subscription,
    UsageWindow,
    of_balance,
)

TOGETHER = 8
"""Customers of one round; all they hold is in memory at once."""

_HELD = (ACTIVE, SCHEDULED, PAUSED)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_Image = TypeVar("_Image")

# Made once: to make the statements for each customer took longer than to carry them out.
_CUSTOMERS = select(
    Customer.env,
    Customer.id,
    Customer.internal_id,
    Customer.seq,
    Customer.counter,
    Customer.number_max,
    Customer.document,
).where(Customer.env == bindparam("env"), Customer.id.in_(_IDS), Customer.deleted_at.is_(None))

_SUBSCRIPTIONS = (
    select(Subscription.internal_id, Subscription.document)
    .where(
        Subscription.internal_id.in_(_IDS),
        # What is attached to an entity stands in the entity's own document.
        Subscription.entity_id == "",
        Subscription.status.in_(_HELD),
    )
    .order_by(Subscription.started_at, Subscription.id)
)

_ROWS = (
    select(
        Balance.internal_id,
        Balance.feature_id,
        Balance.entity_id,
        Balance.line,
        Balance.used,
        Balance.period,
        Balance.due_ms,
    )
    .where(Balance.internal_id.in_(_IDS), Balance.ended_at.is_(None))
    .order_by(Balance.feature_id, Balance.entity_id, Balance.created_at, Balance.id)
)

_SLOTS = (
    select(Slot.internal_id, Slot.feature_id, Slot.entity_id, Slot.period, Slot.used)
    .join(Balance, of_balance(Slot))
    .where(
        Slot.internal_id.in_(_IDS),
        # A slot of an older period is as good as new; to leave it behind changes nothing.
        Slot.period == Balance.period,
        Balance.kind == Kind.PER_ENTITY.value,
        Balance.ended_at.is_(None),
    )
    .order_by(Slot.feature_id, Slot.entity_id, Slot.balance_id)
)

_ENTITIES = (
    select(Entity.internal_id, Entity.entity_id, Entity.number, Entity.feature_id, Entity.document)
    .where(Entity.internal_id.in_(_IDS), Entity.deleted_at.is_(None))
    .order_by(Entity.number)
)

_WINDOWS = (
    select(
        UsageWindow.internal_id,
        UsageWindow.feature_id,
        UsageWindow.entity_id,
        UsageWindow.key,
        UsageWindow.ends_at,
        UsageWindow.used,
    )
    # Those gone by as well: whoever reads them knows what time it is.
    .where(UsageWindow.internal_id.in_(_IDS))
    .order_by(UsageWindow.feature_id, UsageWindow.entity_id, UsageWindow.key)
)

_LOCKS = (
    select(
        Lock.internal_id,
        Lock.lock_id,
        Lock.feature_id,
        Lock.entity_id,
        Lock.expires_at,
        Lock.receipt,
    )
    .where(Lock.internal_id.in_(_IDS), Lock.ended_at.is_(None))
    .order_by(Lock.lock_id)
)

_HOLDINGS: tuple[tuple[Select[*tuple[Any, ...]], Callable[..., Any]], ...] = (
    (_SUBSCRIPTIONS, str),
    (_ROWS, RowImage),
    (_SLOTS, SlotImage),
    (_ENTITIES, EntityImage),
    (_WINDOWS, WindowImage),
    (_LOCKS, LockImage),
)
"""What a customer holds, in the order of the fields of ``CustomerImage``."""


class Wanted(NamedTuple):
    """A customer, and the partition it belongs to."""

    env: str
    customer_id: str
    partition: int


class Images:
    """Reads customers, one round after the other."""

    def __init__(self, database: Database) -> None:
        """Keep the database; closing it is the caller's."""
        self._database = database
        self._waiting: list[tuple[Wanted, asyncio.Future[LoadResult]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def load(self, wanted: Wanted) -> LoadResult:
        """Return a customer and its partition's cursor from one snapshot.

        Raises ``UnavailableError``.
        """
        future: asyncio.Future[LoadResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await future

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._read(together)
        finally:
            self._reading = None

    async def _read(self, together: list[tuple[Wanted, asyncio.Future[LoadResult]]]) -> None:
        try:
            found = await self._database.run(partial(_load, [wanted for wanted, _ in together]))
        except BaseException as error:
            # Who waited for this round while SQL hung would wait as long again for the next.
            together, self._waiting = together + self._waiting, []
            for _, future in together:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(together, found, strict=True):
            if not future.done():
                future.set_result(result)


def _load(wanted: Sequence[Wanted], engine: Engine) -> list[LoadResult]:
    with read_transaction(engine) as connection:
        cursors = read_cursors(connection, sorted({one.partition for one in wanted}))
        found: dict[tuple[str, str], Any] = {}
        for env in sorted({one.env for one in wanted}):
            ids = [one.customer_id for one in wanted if one.env == env]
            rows = connection.execute(_CUSTOMERS, {"env": env, "ids": ids})
            found |= {(row.env, row.id): row for row in rows}
        ids = [row.internal_id for row in found.values()]
        held = [_by_customer(connection, *each, ids) for each in _HOLDINGS] if ids else []
    results = []
    for one in wanted:
        image = None
        if row := found.get((one.env, one.customer_id)):
            image = CustomerImage(*row, *(each[row.internal_id] for each in held))
        results.append(LoadResult(cursors.get(one.partition, BEGINNING), image))
    return results


def _by_customer(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    make: Callable[..., _Image],
    ids: Sequence[str],
) -> dict[str, list[_Image]]:
    """Return what a statement has for each customer, whose id is its first column."""
    found: dict[str, list[_Image]] = defaultdict(list)
    for internal_id, *columns in connection.execute(statement, {"ids": ids}):
        found[internal_id].append(make(*columns))
    return found
