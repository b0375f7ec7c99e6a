"""Idempotency of operations whose scripts know nothing of it: the answer is kept around the
operation instead of inside its script (hot-path section 6.6).

The key is taken before the operation begins and freed when it fails, so a retry runs again. A
process that dies in between leaves it taken for ``PENDING_MS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.engine.claims import KEEP_MS
from gateway.errors import IdempotencyKeyError
from gateway.keys import partition_of, reply_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.engine.claims import Claim
    from gateway.keys import Key
    from gateway.scripts import Scripts

PENDING_MS = 60_000
"""How long a key stays taken when the call that took it never ended."""


class Kept(NamedTuple):
    """An answer as it was sent."""

    status: int
    body: bytes


class Replies:
    """Keeps answers by idempotency key."""

    def __init__(self, scripts: Scripts, partitions: int) -> None:
        """Keep the parts."""
        self._scripts = scripts
        self._partitions = partitions

    async def once(self, env: str, claim: Claim, act: Callable[[], Awaitable[Kept]]) -> Kept:
        """Return the answer of the first call with this key; ``act`` runs only for that one.

        Raises ``IdempotencyKeyError`` when the key belongs to another call, or to one that has not
        ended yet.
        """
        key = self._key(env, claim.key)
        mark = claim.fingerprint.encode()
        before = await self._scripts.take_reply(key, mark, PENDING_MS)
        if before is not None:
            fingerprint, _, answer = before.partition(b"\n")
            if fingerprint != mark:
                raise IdempotencyKeyError
            if not answer:
                raise IdempotencyKeyError("A call with this idempotency key is under way")
            claim.replayed = True
            status, _, body = answer.partition(b"\n")
            return Kept(int(status), body)
        try:
            kept = await act()
        except BaseException:
            await self._scripts.free_reply(key)
            raise
        answer = b"%s\n%d\n%s" % (mark, kept.status, kept.body)
        await self._scripts.keep_reply(key, answer, KEEP_MS)
        return kept

    def _key(self, env: str, claim: str) -> Key:
        return reply_key(env, "", partition_of(env, claim, self._partitions), claim)
