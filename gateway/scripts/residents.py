"""The customers that Redis holds, looked at without being used: for those who compare and evict.

A look must not keep a customer from growing idle, so the server is told not to count it; a server
older than that (Redis 7.0) does count it, and ``touches`` says so. Everything is read in small
steps: no look holds up a request for longer than a script does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import RedisError, ResponseError

from gateway.cluster.client import Cluster
from gateway.errors import UnavailableError
from gateway.keys import CUSTOMERS, customer_keys, customer_of, partition_of
from gateway.scripts.outcomes import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis.asyncio import Redis

    from gateway.keys import CustomerKeys, Key

STEP = 1_000
"""Keys or fields one step looks at: well under a millisecond of Redis."""

_UNTOUCHED = ("CLIENT", "NO-TOUCH", "ON")


class Name(NamedTuple):
    """A customer."""

    env: str
    customer_id: str


class Dump(NamedTuple):
    """The keys of a customer as texts and scores. Locks are those that were asked for and are
    there; ``is_whole`` is False when it changed while it was read.
    """

    customer: dict[str, str]
    holdings: dict[str, str]
    entity_index: dict[str, str]
    due: dict[str, int]
    receipts: dict[str, str]
    holds: dict[str, int]
    is_whole: bool = True

    @property
    def place(self) -> tuple[str, str]:
        """Internal id and seq, as they stand there."""
        return self.customer.get("id", ""), self.customer.get("seq", "")


class Residents:
    """Looks at customers through a client of its own."""

    def __init__(self, client: Redis, partitions: int) -> None:
        """Keep the parts; nothing is asked yet."""
        self._client = client
        self._partitions = partitions
        self.touches = False
        """Whether the server takes a look for use, as far as it has told."""
        self.leaves_out = False
        """Whether a walk goes on without the customers of a server of a Cluster that is gone."""

    def partition_of(self, name: Name) -> int:
        """Return the partition of a customer."""
        return partition_of(*name, self._partitions)

    def keys_of(self, name: Name) -> CustomerKeys:
        """Return the keys of a customer."""
        return customer_keys(*name, self._partitions)

    async def scan(self, cursor: int) -> tuple[int, list[Name]]:
        """Return the next place of a walk over all customers, 0 at its end, and those it met."""
        try:
            ((place, keys),) = await self.ask([("SCAN", cursor, "MATCH", CUSTOMERS, "COUNT", STEP)])
        except UnavailableError:
            if not (self.leaves_out and isinstance(self._client, Cluster)):
                raise
            return self._client.beyond(cursor), []
        return int(place), [Name(*found) for found in map(customer_of, keys) if found]

    async def idle_seconds(self, names: Sequence[Name]) -> list[int]:
        """Return how long each customer was not used; -1 for one that is gone."""
        asked = [("OBJECT", "IDLETIME", self.keys_of(name).customer) for name in names]
        found = await self.ask(asked)
        return [-1 if seconds is None else int(seconds) for seconds in found]

    async def size(self, name: Name) -> int:
        """Return how many fields the entities of a customer take; -1 without the customer."""
        keys = self.keys_of(name)
        there, fields = await self.ask([("EXISTS", keys.customer), ("HLEN", keys.entities)])
        return int(fields) if there else -1

    async def read(self, name: Name, lock_ids: Sequence[str] = ()) -> Dump | None:
        """Return all there is of a customer, and of some of its locks; None if it is not there."""
        keys = self.keys_of(name)
        before = await self.place(name)
        if before is None:
            return None
        customer, holdings, index = [await self._walk("HSCAN", key, _texts) for key in keys[:3]]
        due = await self._walk("ZSCAN", keys.due, _scores)
        receipts, holds = await self._locks(keys, name, lock_ids)
        is_whole = await self.place(name) == before
        return Dump(customer, holdings, index, due, receipts, holds, is_whole)

    async def place(self, name: Name) -> tuple[str, str] | None:
        """Return internal id and seq of a customer, None if it is not there."""
        key = self.keys_of(name).customer
        there, found = await self.ask([("EXISTS", key), ("HMGET", key, "id", "seq")])
        if not there:
            return None
        internal_id, seq = ((text or b"").decode() for text in found)
        return internal_id, seq

    async def _walk(
        self, command: str, key: Key, parse: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        cursor = 0
        while True:
            ((place, pairs),) = await self.ask([(command, key, cursor, "COUNT", STEP)])
            found |= parse(pairs)
            cursor = int(place)
            if cursor == 0:
                return found

    async def _locks(
        self, keys: CustomerKeys, name: Name, lock_ids: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, int]]:
        receipts: dict[str, str] = {}
        holds: dict[str, int] = {}
        for at in range(0, len(lock_ids), STEP):
            asked = lock_ids[at : at + STEP]
            fields = [f"{name.env}\t{lock_id}" for lock_id in asked]
            members = [f"{name.env}\t{name.customer_id}\t{lock_id}" for lock_id in asked]
            texts, scores = await self.ask(
                [("HMGET", keys.locks, *fields), ("ZMSCORE", keys.holds, *members)]
            )
            told = zip(asked, texts, strict=True)
            receipts |= {lock_id: text.decode() for lock_id, text in told if text is not None}
            due = zip(asked, scores, strict=True)
            holds |= {lock_id: int(score) for lock_id, score in due if score is not None}
        return receipts, holds

    async def ask(self, commands: Iterable[tuple[str | int | bytes, ...]]) -> list[Any]:
        """Return the replies of one round trip; raises ``UnavailableError``."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                send = cast("Callable[..., object]", pipe.execute_command)
                # Said each time, for a connection that broke was made anew.
                send(*_UNTOUCHED)
                for command in commands:
                    send(*command)
                untouched, *replies = await pipe.execute(raise_on_error=False)
        except RedisError as error:
            raise unavailable(error) from error
        self.touches = isinstance(untouched, ResponseError)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise unavailable(reply)
        return replies


def _texts(pairs: Any) -> dict[str, str]:  # noqa: ANN401 - as redis-py parses it
    return {name.decode(): text.decode() for name, text in pairs.items()}


def _scores(pairs: Any) -> dict[str, int]:  # noqa: ANN401 - as redis-py parses it
    return {member.decode(): int(score) for member, score in pairs}
