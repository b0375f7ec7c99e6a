"""Compare customers in Redis with SQL, and SQL with its deductions.

Nothing is stopped for it. SQL is read in snapshots, and a customer in Redis is compared once SQL
has every change that was in the outbox when it was read: what then differs is no matter of time.
A customer that changes while it is compared is compared again, a bounded number of times.

Failure: Redis or SQL gone, or a writer that does not catch up, raises ``UnavailableError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import msgspec

from gateway.audit.comparison import compare, lacks_changes, lock_ids, stranger
from gateway.audit.records import Drift, Kind, Ledger, Scope
from gateway.errors import UnavailableError
from gateway.keys import ENVIRONMENTS, partition_of
from gateway.lifecycle.clock import SANDBOX
from gateway.ports import CustomerImage, LoadResult, Reader, WallClock
from gateway.scripts import Scripts, Status
from gateway.scripts.residents import Dump, Name, Residents
from gateway.stream_ids import place

ATTEMPTS_MAX = 20
"""Times a customer is compared that changes meanwhile."""

DRIFTS_MAX = 100
"""Drifts of one customer that are told; more would hide the others."""

PAGE_CUSTOMERS = 200
"""Customers whose deductions SQL adds up in one statement."""

POLL_SECONDS = 0.02

_TRAILED = ("used", "over", "credit", "period")
"""Numbers that the deductions of a balance explain."""


class Comparison(NamedTuple):
    """What came of comparing one customer; ``is_settled`` is False when it never stood still, and
    ``is_here`` when Redis has it.
    """

    drifts: list[Drift]
    is_settled: bool = True
    is_here: bool = True


class Progress(NamedTuple):
    """What one step of an audit has done."""

    customers: int
    balances: int
    drifts: list[Drift]
    unsettled: list[Name]


class Auditor:
    """Finds drifts, and takes back what cannot be trusted."""

    def __init__(
        self,
        scripts: Scripts,
        residents: Residents,
        reader: Reader,
        ledger: Ledger,
        clock: WallClock,
        *,
        partitions: int,
        wait_ms: int,
    ) -> None:
        """Keep the parts; ``wait_ms`` bounds each wait for the writer."""
        self._scripts = scripts
        self._residents = residents
        self._reader = reader
        self._ledger = ledger
        self._clock = clock
        self._partitions = partitions
        self._wait_seconds = wait_ms / 1000

    async def audit_ledger(self, scope: Scope) -> AsyncIterator[Progress]:
        """Compare SQL with its deductions, some customers at a time."""
        after: str | None = ""
        while after is not None:
            page = await self._ledger.page(scope, after, PAGE_CUSTOMERS)
            yield Progress(page.customers, page.balances, await self._explained(page.drifts), [])
            after = page.last

    async def audit_redis(self, scope: Scope) -> AsyncIterator[Progress]:
        """Compare the customers in Redis with SQL, one at a time."""
        if scope.customer_id is not None:
            envs = [scope.env] if scope.env else ENVIRONMENTS
            for env in envs:
                yield await self._compared(Name(env, scope.customer_id))
            return
        cursor = 0
        while True:
            cursor, names = await self._residents.scan(cursor)
            for name in names:
                if scope.env in (None, name.env):
                    yield await self._compared(name)
            if cursor == 0:
                return

    async def _compared(self, name: Name) -> Progress:
        found = await self.compare(name)
        unsettled = [] if found.is_settled else [name]
        return Progress(int(found.is_here), 0, found.drifts, unsettled)

    async def compare(self, name: Name) -> Comparison:
        """Compare one customer in Redis with SQL; nothing is wrong with one that is not there."""
        for _ in range(ATTEMPTS_MAX):
            dump, loaded, asked = await self._both(name)
            if dump is None:
                return Comparison([], is_here=False)
            image = loaded.customer
            if image is not None and dump.place == (image.internal_id, str(image.seq)):
                # A lock that began or ended since SQL was asked for them was not read, or too late.
                if not dump.is_whole or asked != set(lock_ids(image)):
                    continue
                now_ms = await self._now_ms(name.env)
                # In a thread: a hundred thousand entities are seconds of work.
                drifts = await asyncio.to_thread(compare, image, dump, now_ms)
                return Comparison(await self._explained(drifts[:DRIFTS_MAX]))
            if dump.is_whole and await self._residents.place(name) == dump.place:
                # Nothing has moved since SQL caught up: no waiting will bring them together.
                return Comparison(await self._explained([stranger(name, dump, image)]))
        return Comparison([], is_settled=False)

    async def evict(self, name: Name, *, whatever_it_holds: bool = False) -> Status:
        """Take a customer out of Redis that SQL has whole. One whose own account of itself is wrong
        goes when the outbox has nothing newer of it than SQL, and so do receipts of its locks.
        """
        loaded = await self._load(name)
        image = loaded.customer
        internal_id, seq = ("", 0) if image is None else (image.internal_id, image.seq)
        head = "\t".join(name)
        keys = self._residents.keys_of(name)
        if whatever_it_holds:
            return await self._scripts.evict_customer(
                keys, head, loaded.cursor, internal_id, lock_ids=lock_ids(image)
            )
        return await self._scripts.evict_customer(keys, head, loaded.cursor, internal_id, seq)

    async def _both(self, name: Name) -> tuple[Dump | None, LoadResult, set[str]]:
        """Return a customer as Redis had it, then as SQL has it with all of that applied, and which
        locks were looked for.
        """
        before = await self._load(name)
        asked = lock_ids(before.customer)
        dump = await self._residents.read(name, asked)
        if dump is None or (before.customer and _place(before.customer) == dump.place):
            return dump, before, set(asked)
        await self._wait_for_writer(name)
        return dump, await self._load(name), set(asked)

    async def _wait_for_writer(self, name: Name) -> None:
        """Return once SQL has all that the outbox of the customer holds now."""
        partition = partition_of(*name, self._partitions)
        end = await self._scripts.last_entry(self._residents.keys_of(name).outbox)
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        while place((await self._reader.cursors([partition]))[partition]) < place(end):
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(
                    f"the writer has not caught up with partition {partition}: is one running?"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _load(self, name: Name) -> LoadResult:
        return await self._reader.load(*name, partition_of(*name, self._partitions))

    async def _now_ms(self, env: str) -> int:
        now_ms = self._clock.now_ms()
        return now_ms + await self._ledger.clock_offset_ms() if env == SANDBOX else now_ms

    async def _explained(self, drifts: list[Drift]) -> list[Drift]:
        """Add the events behind each number, and what was set aside of the customer."""
        if not drifts:
            return drifts
        aside = await self._ledger.set_aside()
        lossy = await self._ledger.lossy_partitions()
        return [
            await self._with_events(_noted(drift, aside, is_lossy=self._partition(drift) in lossy))
            for drift in drifts
        ]

    def _partition(self, drift: Drift) -> int:
        return partition_of(drift.env, drift.customer_id, self._partitions)

    async def _with_events(self, drift: Drift) -> Drift:
        if not (drift.balance_id and drift.what in _TRAILED):
            return drift
        entity_id = drift.entity_id or None
        trail = await self._ledger.trail(drift.internal_id, drift.balance_id, entity_id)
        events = trail.total if drift.what == "used" else None
        return msgspec.structs.replace(drift, trail=trail, events=events)


def _noted(drift: Drift, aside: Mapping[tuple[str, str], list[str]], *, is_lossy: bool) -> Drift:
    letters = aside.get((drift.env, drift.customer_id), [])
    if letters:
        return msgspec.structs.replace(drift, note=f"set aside by the writer: {', '.join(letters)}")
    if lacks_changes(drift):
        return msgspec.structs.replace(drift, note="SQL lacks changes that no dead letter has")
    if is_lossy and drift.kind is not Kind.EVENT:
        return msgspec.structs.replace(drift, note="SQL has lost changes of its partition")
    return drift


def _place(image: CustomerImage) -> tuple[str, str]:
    return image.internal_id, str(image.seq)
