"""Take out of Redis what is older there than in SQL; SQL gives it back when it is touched.

Which customers those are is told by SQL, which knows when it last heard of each, and by the entries
still in the stream, which may be of a history that SQL never got. A customer goes whole, with the
receipts of its locks, in one script that does nothing once its partition is done: whoever repairs
the same partition later finds it raised and leaves it alone.

Failure. A crash anywhere leaves the streams below their cursors, so that all of it is done again;
what was taken out already is not there to be taken twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from gateway.guard import streams
from gateway.guard.judgement import Finding
from gateway.ids import nameless_id
from gateway.installation import Hold, Installation, Touched
from gateway.keys import ENVIRONMENTS, customer_keys, partition_of
from gateway.scripts import Scripts, Status
from gateway.stream_ids import BEGINNING, place

PAGE = 1_000
"""Customers of one reading of SQL."""

TOGETHER = 32
"""Scripts under way at a time."""


class _Name(NamedTuple):
    env: str
    customer_id: str


class Reseeding:
    """One repair of some partitions; it knows the ids of their locks for as long as it lasts."""

    def __init__(
        self,
        client: Redis,
        installation: Installation,
        cursors: Mapping[int, str],
        *,
        partitions: int,
    ) -> None:
        """Repair up to the ``cursors``; ``partitions`` is how many there are in all."""
        self._client = client
        self._scripts = Scripts(client)
        self._installation = installation
        self._cursors = cursors
        self._partitions = partitions
        self._locks: dict[tuple[str, str], list[str]] = {}
        self._gone: Counter[int] = Counter()

    async def run(self, findings: Sequence[Finding]) -> Counter[int]:
        """Return how many customers went from each partition.

        Raises ``RedisError`` and ``UnavailableError``.
        """
        behind = {one.partition: one.from_id for one in findings if one.from_id != BEGINNING}
        emptied = {one.partition for one in findings if one.from_id == BEGINNING}
        if emptied:
            self._gone += await streams.sweep(self._client, emptied)
        for at in behind:
            self._locks |= await streams.locks_in(self._client, at, ENVIRONMENTS)
        await self._discard_touched(behind)
        for at in behind:
            async for named in streams.customers_in(self._client, at):
                await self._discard(at, (_Name(*name) for name in named))
        await self._remember_holds(behind.keys() | emptied)
        return self._gone

    async def _remember_holds(self, repaired: Collection[int]) -> None:
        """Put back when the locks end that are open in SQL: nobody may ask for their customers, who
        bring the rest of them along.
        """
        after: Hold | None = None
        while repaired and (page := await self._installation.holds(after, PAGE)):
            held = ((partition_of(one.env, one.customer_id, self._partitions), one) for one in page)
            await streams.put_holds(self._client, (one for one in held if one[0] in repaired))
            after = page[-1]

    async def _discard_touched(self, behind: Mapping[int, str]) -> None:
        """Discard the customers SQL has entries of that their stream has not."""
        if not behind:
            return
        since = {at: place(from_id)[0] for at, from_id in behind.items()}
        after: Touched | None = None
        while page := await self._installation.touched(min(since.values()), after, PAGE):
            found: dict[int, list[_Name]] = {}
            for one in page:
                for name in _names_of(one):
                    at = partition_of(*name, self._partitions)
                    # The time of an id says enough: one of the same millisecond may be newer.
                    if at in since and one.applied_ms >= since[at]:
                        found.setdefault(at, []).append(name)
            for at, names in found.items():
                await self._discard(at, names)
            after = page[-1]

    async def _discard(self, at: int, names: Iterable[_Name]) -> None:
        for some in streams.steps(dict.fromkeys(names), TOGETHER):
            gone = await asyncio.gather(*(self._discard_one(at, name) for name in some))
            self._gone[at] += sum(gone)

    async def _discard_one(self, at: int, name: _Name) -> bool:
        keys = customer_keys(*name, self._partitions)
        head, lock_ids = "\t".join(name), self._locks.get(name, ())
        status, found = await self._scripts.discard_customer(
            keys, head, self._cursors[at], lock_ids
        )
        return found and status is Status.DONE


def _names_of(one: Touched) -> list[_Name]:
    """Return what a customer is called, and was called before it had an id."""
    names = [_Name(one.env, one.customer_id)]
    return [*names, _Name(one.env, nameless_id(one.email))] if one.email else names
