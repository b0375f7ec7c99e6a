"""Customers on their way from SQL into Redis: in one script or, where that would hold up everybody
else of the server, in parts.

What many entities have is staged under names of its own, so many values at a time; the script then
gives it the names of the customer. Until that nobody sees any of it. Whether the customer may come
back is for the script to say, after everything was staged as well as before.

Failure. The process ends on the way: what it has staged expires. What was staged is gone, or a part
of it, for Redis was emptied or the process stood still: the script counts it, and the customer is
read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from redis.exceptions import RedisError

from gateway.ids import new_id
from gateway.keys import Key, staged_keys
from gateway.scripts.calls import Context, Status
from gateway.scripts.server import Server

Values = Sequence[str | int]

TOGETHER_MAX = 1_000
"""Values of entities that one command writes: a millisecond of the server."""

STAGED_MS = 60_000
"""How long what is staged stays when nobody goes on with it."""


class Restores(Server):
    """``restore_customer``, in as many parts as it takes."""

    seal = ""
    """Of the partitions that were compared with SQL; empty, nobody compares, and none is asked
    for.
    """

    async def restore_customer(
        self, context: Context, cursor: str, groups: Sequence[Values]
    ) -> Status:
        """Run ``restore_customer`` with the flat field-value (or score-member) lists of the keys in
        order, the outbox left out.
        """
        if sum(map(len, groups[1:4])) <= TOGETHER_MAX:
            return await self._restore(context, cursor, groups)
        staged = staged_keys(context.keys.customer, new_id("res"))
        status = await self._restore(context, cursor, groups, staged)
        if status is not Status.UNSTAGED:  # it may not come back, whatever it has
            return status
        try:
            for key, command, values in zip(
                staged, ("HSET", "HSET", "ZADD"), groups[1:4], strict=True
            ):
                await self._stage(key, command, values)
            status = await self._restore(context, cursor, groups, staged)
        finally:
            if status is not Status.DONE:
                with contextlib.suppress(RedisError):
                    await self._client.unlink(*staged)
        return Status.BUSY if status is Status.UNSTAGED else status

    async def _restore(
        self, context: Context, cursor: str, groups: Sequence[Values], staged: Sequence[Key] = ()
    ) -> Status:
        following = (groups[0], *groups[4:]) if staged else groups
        return await self._verdict(
            "restore_customer",
            (*context.keys, context.keys.seal, *staged),
            (
                context.head,
                cursor,
                self.seal,
                *map(len, groups),
                *(part for group in following for part in group),
            ),
        )

    async def _stage(self, key: Key, command: str, values: Values) -> None:
        for at in range(0, len(values), TOGETHER_MAX):
            with self._watched():
                # Both or none: what is left of a process that ends here must not stay.
                async with self._client.pipeline(transaction=True) as pipe:
                    pipe.execute_command(command, key, *values[at : at + TOGETHER_MAX])
                    pipe.execute_command("PEXPIRE", key, STAGED_MS)
                    await pipe.execute()
