"""Who a call is about, and how a call gets past what stands in its way: a customer that is not in
Redis, an entity that does not exist yet, rows of entities that wait to be settled.

Every script names such an obstacle by its status and has changed nothing then; ``Subjects.run``
removes the obstacle and calls again, a bounded number of times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar

from gateway import metrics
from gateway.engine.agenda import Agenda
from gateway.engine.images import restore_groups_beside
from gateway.engine.nameless import adopt, is_released, release
from gateway.errors import (
    CustomerNotFoundError,
    EntityNotFoundError,
    GatewayError,
    RestoresError,
    UnavailableError,
)
from gateway.ids import nameless_id, new_id, public_id
from gateway.keys import CustomerKeys, customer_keys, outbox_key, partition_of
from gateway.messages.balances import CheckRequest, TrackRequest
from gateway.messages.billing import AttachRequest
from gateway.messages.grants import UsageSetRequest
from gateway.messages.subjects import CustomerData, EntityData
from gateway.ports import Clock, CustomerImage, Guard, Reader
from gateway.scripts import Context, Scripts, Status
from gateway.stream_ids import BEGINNING, place

ATTEMPTS_MAX = 8
"""Obstacles one call may meet: restore, create the customer, create the entity, settle, and a race
for each.
"""

SETTLE_BATCH = 40
"""Entities one settle script handles; up to three milliseconds of Redis, where what each has left
rolls over, and as long everybody else waits.
"""

SETTLE_ROUNDS_MAX = 5_000

POLL_SECONDS = 0.01
"""How often a wait for the writer looks again."""

RESTORES_TOGETHER = 8
"""Customers one process loads at a time, some put into Redis while others are read together."""


class Subject(NamedTuple):
    """Who a call is about; ``customer_data`` and ``entity_data`` allow to create it on the way."""

    env: str
    customer_id: str
    keys: CustomerKeys
    partition: int
    entity_id: str = ""
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None
    request_id: str = ""

    @property
    def creating_nobody(self) -> Subject:
        """The same, of whom nobody is created on the way."""
        return self._replace(customer_data=None, entity_data=None)


def changed_meanwhile(customer_id: str) -> UnavailableError:
    """Return the error for a change that lost its race too often."""
    return UnavailableError(f"customer {customer_id} keeps changing; try again")


def entity_not_found(entity_id: str) -> EntityNotFoundError:
    """Return the error for an entity that is not there."""
    return EntityNotFoundError(f"Entity {entity_id} not found")


class Reply(Protocol):
    """Any script reply: it begins with a status."""

    @property
    def status(self) -> Status:
        """What came of the call."""


R = TypeVar("R", bound=Reply)


class Creator(Protocol):
    """Creates what a subject lacks; the engine hands in its own operations."""

    async def create_customer(self, subject: Subject, data: CustomerData, cursor: str) -> Status:
        """Create the customer if absent; BUSY when the writer must catch up first."""

    async def create_entity_from(self, subject: Subject, data: EntityData) -> None:
        """Create the entity if absent."""

    async def carry_out(self, subject: Subject) -> None:
        """Let happen what is due to plans of the customer."""

    async def rules_of(
        self, image: CustomerImage
    ) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
        """Return the rules texts of a customer, by feature, and of its entities."""


class Subjects:
    """Finds customers and entities for the operations."""

    creator: Creator
    """The engine, once it is made."""

    def __init__(
        self,
        scripts: Scripts,
        reader: Reader,
        clock: Clock,
        *,
        partitions: int,
        restore_wait_ms: int,
        restores_max: int,
        guard: Guard | None = None,
    ) -> None:
        """Keep the parts; ``restore_wait_ms`` bounds each wait for the writer, ``restores_max`` the
        customers that are being brought or wait for it. The ``guard`` looks after a Redis that was
        emptied.
        """
        self._scripts = scripts
        self._reader = reader
        self._clock = clock
        self._partitions = partitions
        self._wait_seconds = restore_wait_ms / 1000
        self._loading: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._restores_max = restores_max
        self._guard = guard
        self._turns = asyncio.Semaphore(RESTORES_TOGETHER)
        self._faults = 0
        """How often SQL did not answer who asked for a customer."""
        self.agenda = Agenda()

    def subject(
        self,
        env: str,
        customer_id: str,
        *,
        entity_id: str | None = None,
        customer_data: CustomerData | None = None,
        entity_data: EntityData | None = None,
        request_id: str = "",
    ) -> Subject:
        """Return the subject with its keys."""
        return Subject(
            env,
            customer_id,
            customer_keys(env, customer_id, self._partitions),
            partition_of(env, customer_id, self._partitions),
            entity_id or "",
            customer_data,
            entity_data,
            request_id or new_id("req"),
        )

    def named(
        self,
        env: str,
        request: CheckRequest | TrackRequest | UsageSetRequest | AttachRequest,
        request_id: str = "",
    ) -> Subject:
        """Return who a request is about, with the data it brings to create them."""
        return self.subject(
            env,
            request.customer_id,
            entity_id=request.entity_id,
            customer_data=request.customer_data,
            entity_data=request.entity_data,
            request_id=request_id,
        )

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._partitions

    def context(self, subject: Subject, at_ms: int | None = None) -> Context:
        """Return what every change says of itself, as of now or of an earlier time."""
        now_ms = self._clock.now_ms(subject.env) if at_ms is None else at_ms
        return Context(subject.keys, subject.env, subject.customer_id, subject.request_id, now_ms)

    async def run(self, subject: Subject, call: Callable[[], Awaitable[R]]) -> R:
        """Return the reply of a call once nothing stands in its way.

        Raises ``CustomerNotFoundError``, ``EntityNotFoundError``, and ``UnavailableError`` when SQL
        or the writer cannot be waited for.
        """
        for _ in range(ATTEMPTS_MAX):
            if self.agenda.known and self._is_due(subject):
                await self.creator.carry_out(subject)
            reply = await call()
            if reply.status is Status.CUSTOMER_MISSING:
                await self.bring(subject)
            elif reply.status is Status.ENTITY_MISSING:
                if subject.entity_data is None:
                    raise entity_not_found(subject.entity_id)
                await self.creator.create_entity_from(subject, subject.entity_data)
            elif reply.status is Status.DUE:
                await self.settle(subject)
            else:
                return reply
        raise changed_meanwhile(subject.customer_id)

    def _is_due(self, subject: Subject) -> bool:
        now_ms = self._clock.now_ms(subject.env)
        return bool(self.agenda.due(subject.env, subject.customer_id, now_ms))

    async def settle(self, subject: Subject, at_ms: int | None = None) -> None:
        """Carry out every reset that is due for rows held by entities, now or at an earlier
        time.
        """
        for _ in range(SETTLE_ROUNDS_MAX):
            _, settled = await self._scripts.settle(self.context(subject, at_ms), SETTLE_BATCH)
            if settled < SETTLE_BATCH:
                return

    async def bring(self, subject: Subject) -> None:
        """Put the customer into Redis, from SQL or as a new one.

        One load per customer and process, however many calls wait for it. Raises
        ``RestoresError`` when too many customers are under way.
        """
        key = (subject.env, subject.customer_id)
        shared = self._loading.get(key)
        if shared is not None:
            try:
                await asyncio.shield(shared)
            except GatewayError as error:
                may_create = subject.customer_data is not None
                if isinstance(error, UnavailableError) or (
                    isinstance(error, CustomerNotFoundError) and not may_create
                ):
                    raise  # asking once more would find the same
                await self._bring(subject)
            return
        if len(self._loading) >= self._restores_max:
            metrics.refused.labels("restores").inc()
            raise RestoresError
        task = asyncio.create_task(self._bring(subject))
        self._loading[key] = task
        metrics.restores_waiting.set(len(self._loading))
        task.add_done_callback(lambda _: self._brought(key))
        await asyncio.shield(task)

    def _brought(self, key: tuple[str, str]) -> None:
        self._loading.pop(key, None)
        metrics.restores_waiting.set(len(self._loading))

    async def _bring(self, subject: Subject) -> None:
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        while True:
            faults = self._faults
            async with self._turns:  # not while it waits for the writer
                if self._faults != faults:
                    # One after the other, all who wait would wait as long again.
                    raise UnavailableError("SQL did not answer whoever asked before; try again")
                status = await self._load(subject)
            if status is Status.FENCED and self._guard is not None:
                await self._guard.verify()
            elif status is not Status.BUSY:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(
                    f"customer {subject.customer_id}: the writer has not caught up; try again"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _load(self, subject: Subject) -> Status:
        """Look for the customer in SQL once."""
        try:
            cursor, image = await self._reader.load(
                subject.env, subject.customer_id, subject.partition
            )
        except UnavailableError:
            self._faults += 1
            raise
        if image is not None:
            return await self._restore(subject, cursor, image)
        data = subject.customer_data
        if data is None:
            raise CustomerNotFoundError(f"Customer {subject.customer_id} not found")
        if data.email and public_id(subject.customer_id):
            status = await self._claim(subject, cursor, data.email)
            if status is not None:
                return status
        return await self.creator.create_customer(subject, data, cursor)

    async def _claim(self, subject: Subject, cursor: str, email: str) -> Status | None:
        """Take one step for the customer without an id that has this email to become the subject,
        which SQL did not know at the cursor; None when there is none (``gateway.engine.nameless``).
        """
        nameless = self.subject(subject.env, nameless_id(email), request_id=subject.request_id)
        at, image = await self._reader.load(nameless.env, nameless.customer_id, nameless.partition)
        if image is not None and is_released(image):
            return await adopt(self._scripts, self.context(subject), cursor, image)
        status = await release(self._scripts, self.context(nameless), at)
        if status is Status.CUSTOMER_MISSING:
            if image is None:
                return None
            status = await self._restore(nameless, at, image)
        elif status is Status.DUE:
            await self.settle(nameless)
        self.agenda.forget(nameless.env, nameless.customer_id)
        return status if status is Status.FENCED else Status.BUSY

    async def _restore(self, subject: Subject, cursor: str, image: CustomerImage) -> Status:
        if is_released(image):
            return await adopt(self._scripts, self.context(subject), cursor, image)
        groups = await restore_groups_beside(image, *await self.creator.rules_of(image))
        status = await self._scripts.restore_customer(self.context(subject), cursor, groups)
        if status is Status.DONE:
            metrics.restores.inc()
            self.agenda.note_image(image, self._clock.now_ms(subject.env))
        return status

    async def known(self, partitions: Iterable[int] | None = None) -> None:
        """Wait as ``caught_up`` does, for a decision that may be made on nothing less.

        Raises ``UnavailableError`` when the writer is late.
        """
        if not await self.caught_up(partitions):
            raise UnavailableError(
                "SQL does not know yet what was changed lately: the writer is late; try again"
            )

    async def caught_up(self, partitions: Iterable[int] | None = None) -> bool:
        """Wait, within bounds, until SQL has what these partitions (all when None) hold now; return
        whether it has.

        Reads that follow see everything acknowledged before. A writer that is late is not an error:
        the answer is then as old as SQL is.
        """
        wanted = list(range(self._partitions) if partitions is None else partitions)
        ends = await asyncio.gather(*(self._scripts.last_entry(outbox_key(one)) for one in wanted))
        waiting = {one: end for one, end in zip(wanted, ends, strict=True) if end != BEGINNING}
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        while waiting:
            cursors = await self._reader.cursors(list(waiting))
            waiting = {one: end for one, end in waiting.items() if place(cursors[one]) < place(end)}
            if waiting:
                if asyncio.get_running_loop().time() > deadline:
                    return False
                await asyncio.sleep(POLL_SECONDS)
        return True
