"""Take out of Redis what it has of a feature in units, while nobody uses it.

Customers are the evictor's. What is left then are receipts of locks, which come back from SQL with
their customers, and replies kept for idempotency keys, which nothing brings back: a reply in units
is forgotten and its key is not, so the call is refused when it is sent again, and counts once.

Failure: Redis gone raises ``UnavailableError``. All of it may be done again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.keys import REPLIES, env_of_reply, locks_key

if TYPE_CHECKING:
    from gateway.scripts.residents import Dump, Name, Residents

STEP = 1_000
"""Keys or receipts one step looks at."""

_KINDS = frozenset("rvholpx")
"""Letters of the fields of a customer or its entities that have amounts (``gateway.keys``)."""


class Clearance:
    """Clears Redis of one feature."""

    def __init__(self, residents: Residents, env: str, feature_id: str) -> None:
        self._residents = residents
        self._ask = residents.ask
        self._env = env
        self._feature_id = feature_id
        # A description in a reply begins with its feature (``pack_reply``, ``describe_feature``).
        self._described = re.compile(b"[\1-\3]%b\4" % re.escape(feature_id.encode()))

    async def resident(self) -> Name | None:
        """Return a customer that is still here with amounts of the feature."""
        cursor = 0
        while True:
            cursor, names = await self._residents.scan(cursor)
            for name in names:
                dump = await self._residents.read(name) if name.env == self._env else None
                if dump is not None and self._is_held_by(dump):
                    return name
            if cursor == 0:
                return None

    def _is_held_by(self, dump: Dump) -> bool:
        return any(
            field[0] in _KINDS and field[2:].partition("\t")[0] == self._feature_id
            for field in (*dump.customer, *dump.holdings)
            if field[1:2] == ":"
        )

    async def forget_receipts(self, partitions: int) -> None:
        """Remove receipts that have amounts of the feature; when the locks expire stays."""
        for at in range(partitions):
            await self._forget_receipts(at)

    async def _forget_receipts(self, at: int) -> None:
        key, begin = locks_key(at), f"{self._env}\t".encode()
        cursor = 0
        while True:
            ((cursor, receipts),) = await self._ask([("HSCAN", key, cursor, "COUNT", STEP)])
            doomed = [
                field
                for field, receipt in receipts.items()
                if field.startswith(begin) and self._names_it(receipt.decode())
            ]
            if doomed:
                await self._ask([("HDEL", key, *doomed)])
            if int(cursor) == 0:
                return

    def _names_it(self, receipt: str) -> bool:
        """Whether a lock is of the feature, or one of its rows or usage windows is."""
        head, *lines = receipt.split("\n")
        columns = head.split("\t")
        # One that has ended begins with an empty column (``finalize``).
        named = {columns[1] if columns[0] else columns[4]}
        for line in lines:
            named.update(line.split("\t", 2)[:2])
        return self._feature_id in named

    async def forget_replies(self) -> None:
        """Empty replies with amounts of the feature."""
        cursor = 0
        while True:
            ((cursor, keys),) = await self._ask([("SCAN", cursor, "MATCH", REPLIES, "COUNT", STEP)])
            ours = [key for key in keys if env_of_reply(key) == self._env]
            replies = await self._ask([("GET", key) for key in ours])
            found = zip(ours, replies, strict=True)
            doomed = [key for key, reply in found if reply and self._described.search(reply)]
            # Empty, it is the reply of another call: that of nobody.
            await self._ask([("SET", key, "", "XX", "KEEPTTL") for key in doomed])
            if int(cursor) == 0:
                return
