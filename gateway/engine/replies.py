"""Idempotency of operations whose scripts know nothing of it: the answer is kept around the
operation instead of inside its script (hot-path section 6.6).

The key is taken before the operation begins and freed when it is known to have failed, so a retry
runs again. A call whose outcome nobody knows (a lost connection, a fault, a process that died)
leaves it taken for ``KEEP_MS``: a retry is refused then, for it might run twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gateway.engine.claims import KEEP_MS, Claim
from gateway.errors import GatewayError, IdempotencyKeyError, UnknownOutcomeError
from gateway.keys import Key, partition_of, reply_key
from gateway.scripts import Scripts


class Kept(NamedTuple):
    """An answer as it was sent."""

    status: int
    body: bytes


class Replies:
    """Keeps answers by idempotency key."""

    def __init__(self, scripts: Scripts, partitions: int) -> None:
        self._scripts = scripts
        self._partitions = partitions

    async def once(
        self, env: str, claim: Claim, act: Callable[[], Awaitable[Kept]], *, owner: str = ""
    ) -> Kept:
        """Return the answer of the first call with this key; ``act`` runs only for that one. With
        the customer as its ``owner`` the key is one that scripts know too, and ``act`` must be one
        that may run again: it does while no answer is kept.

        Raises ``IdempotencyKeyError`` when the key belongs to another call and, without an owner,
        to one that has not ended yet or whose outcome is unknown.
        """
        key = self._key(env, owner, claim.key)
        mark = claim.fingerprint.encode()
        before = await self._scripts.take_reply(key, mark, KEEP_MS)
        if before is not None:
            fingerprint, _, answer = before.partition(b"\n")
            if fingerprint != mark:
                raise IdempotencyKeyError
            if answer:
                claim.replayed = True
                status, _, body = answer.partition(b"\n")
                return Kept(int(status), body)
            if not owner:
                raise IdempotencyKeyError(
                    "A call with this idempotency key is under way, or its outcome is unknown"
                )
        try:
            kept = await act()
        except UnknownOutcomeError:
            raise
        except GatewayError:
            await self._scripts.free_reply(key)
            raise
        answer = b"%s\n%d\n%s" % (mark, kept.status, kept.body)
        await self._scripts.keep_reply(key, answer, KEEP_MS)
        return kept

    def _key(self, env: str, owner: str, claim: str) -> Key:
        return reply_key(env, owner, partition_of(env, owner or claim, self._partitions), claim)
