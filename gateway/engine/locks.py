"""``balances.finalize``, and the end of locks nobody finalizes (hot-path section 6.8).

A lock is found by its id alone: partitions keep their receipts in one hash each, so the look-up is
one pipelined round trip of P small reads, or of one when the caller names the customer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

from gateway.amounts import parse_units
from gateway.cycles import DAY_MS
from gateway.engine.creation import TOGETHER_MAX, Creation, Parts, in_turns
from gateway.engine.subject import Subject
from gateway.engine.sweeper import Reminder
from gateway.errors import (
    CustomerNotFoundError,
    GatewayError,
    InvalidInputsError,
    InvalidRequestError,
    LockAmbiguousError,
    LockEndedError,
)
from gateway.keys import ENVIRONMENTS, locks_key, partition_of
from gateway.messages.balances import FinalizeRequest, FinalizeResponse
from gateway.messages.common import given
from gateway.ports import FeatureRecord
from gateway.scripts import Ending, HoldDue, Part, Status

log = logging.getLogger(__name__)

KEEP_MS = DAY_MS
"""How long the end of a lock is remembered, to answer a repeated finalize."""

SWEEP_SECONDS = 0.4
"""How often locks that have expired are looked for; they end within a second."""

SWEEP_MAX = 100
"""Locks of an environment one look of a sweep shows of a partition."""

LOOKS_SECONDS = 2.0
"""How long a sweep may look again without a pause, where more were due than one look shows."""


class Lock(NamedTuple):
    """What the receipt of a lock says of it; ``ended`` is how, of one that is only remembered."""

    customer_id: str
    feature_id: str
    entity_id: str
    ended: str = ""


class _Ended(NamedTuple):
    status: Status
    before: str


class Locks(Creation):
    """Ending locks."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._late = Reminder("expired locks")
        self._repeats = parts.repeats

    async def finalize(
        self, env: str, request: FinalizeRequest, request_id: str
    ) -> FinalizeResponse:
        """End a lock: confirm it, or an override of it, or release it. Repeating a call that ended
        the lock answers as it did, unless repeated keys are conflicts.

        Raises ``InvalidRequestError`` for an unknown or expired lock, ``LockEndedError`` for one
        that was ended in another way, ``LockAmbiguousError`` when several customers have it,
        ``FeatureNotFoundError`` for an override when the feature has been deleted.
        """
        lock = await self._find(env, request.lock_id, request.customer_id)
        if lock.ended:  # another one of this name may have been made by now, which is not meant
            await self._check_repeated(env, request, lock, lock.ended)
            return FinalizeResponse()
        # What is held goes back also of a feature that has been deleted since.
        feature = await self.catalog.feature_if_any(env, lock.feature_id)
        final = await self._override(env, request, lock)
        properties = bytes(request.properties).decode() if given(request.properties) else ""
        ending = Ending(request.lock_id, request.action, KEEP_MS, final, properties)
        reply = await self._end(env, lock, ending, feature, request_id)
        if reply.status is Status.OUT_OF_RANGE:
            raise InvalidInputsError("override_value: a balance would leave the exact range")
        if reply.status is Status.LOCK_MISSING:
            await self._check_repeated(env, request, lock, reply.before)
        return FinalizeResponse()

    async def _check_repeated(
        self, env: str, request: FinalizeRequest, lock: Lock, before: str
    ) -> None:
        action, _, final = before.partition("\t")
        if not before or action == "expire":
            raise InvalidRequestError("lock not found")
        if not self._repeats:
            raise LockEndedError("The lock has been ended already")
        units = await self._override(env, request, lock)
        if (action, final) != (request.action, "" if units is None else str(units)):
            raise LockEndedError

    async def _override(self, env: str, request: FinalizeRequest, lock: Lock) -> int | None:
        if not given(request.override_value):
            return None
        feature = await self.catalog.feature(env, lock.feature_id)
        return parse_units(bytes(request.override_value), feature.precision, field="override_value")

    async def _find(self, env: str, lock_id: str, customer_id: str | None) -> Lock:
        found = await self._known(env, lock_id, customer_id)
        if not found:  # its customer may not be in Redis, and brings its locks along
            owners = [customer_id] if customer_id else await self.reader.find_lock(env, lock_id)
            for owner in owners:
                with contextlib.suppress(CustomerNotFoundError):
                    await self.read(self.subjects.subject(env, owner))
            found = await self._known(env, lock_id, customer_id)
        if not found:
            raise InvalidRequestError("lock not found")
        if len(found) > 1:
            raise LockAmbiguousError
        return found[0]

    async def _known(self, env: str, lock_id: str, customer_id: str | None) -> list[Lock]:
        partitions: Sequence[int] = range(self.subjects.partitions)
        if customer_id is not None:
            partitions = (partition_of(env, customer_id, self.subjects.partitions),)
        places = [locks_key(partition) for partition in partitions]
        texts = await self.scripts.receipts(places, env, lock_id)
        found = [lock_of(text) for text in texts]
        if customer_id is not None:
            found = [lock for lock in found if lock.customer_id == customer_id]
        return [lock for lock in found if not lock.ended] or found

    async def _end(
        self,
        env: str,
        lock: Lock,
        ending: Ending,
        feature: FeatureRecord | None,
        request_id: str = "",
    ) -> _Ended:
        subject = self.subjects.subject(env, lock.customer_id, request_id=request_id)
        pools = self.catalog.pools(feature) if feature else ()
        part = Part(lock.feature_id, 0, pools)

        async def call() -> _Ended:
            return _Ended(
                *await self.scripts.finalize(self.subjects.context(subject), ending, part)
            )

        return await self.run(subject, call)

    async def expire(self) -> int:
        """End the locks whose time has come; return how many there were. One that cannot end now
        waits for the next sweep and holds no other up.
        """
        loop = asyncio.get_running_loop()
        count, until = 0, loop.time() + LOOKS_SECONDS
        due: list[HoldDue] = []
        while True:
            before = due
            times = {env: self.clock.now_ms(env) for env in ENVIRONMENTS}
            due = await self.scripts.holds_due(self.subjects.partitions, times, SWEEP_MAX)
            ends = await in_turns(asyncio.Semaphore(TOGETHER_MAX), map(self._expire_due, due))
            late = [error for error in ends if error is not None]
            self._late.note(late)
            count += len(due)
            is_stuck = due == before or len(late) == len(due)
            if is_stuck or len(due) < SWEEP_MAX or loop.time() > until:
                return count

    async def _expire_due(self, hold: HoldDue) -> GatewayError | None:
        try:
            subject = self.subjects.subject(hold.env, hold.customer_id)
            await self._expire_one(subject, hold.lock_id)
        except GatewayError as error:
            return error
        except Exception:
            log.exception("an expired lock waits")
        return None

    async def _expire_one(self, subject: Subject, lock_id: str) -> None:
        env, customer_id = subject.env, subject.customer_id
        texts = await self.scripts.receipts([subject.keys.locks], env, lock_id)
        if not texts:  # Redis was emptied since, and nobody has asked for its customer
            with contextlib.suppress(CustomerNotFoundError):
                await self.read(subject)
            texts = await self.scripts.receipts([subject.keys.locks], env, lock_id)
        lock = lock_of(texts[0]) if texts else Lock(customer_id, "", "", ended="forget")
        action = "expire" if texts and lock.customer_id == customer_id else "forget"
        feature = None
        if not lock.ended:
            feature = await self.catalog.feature_if_any(env, lock.feature_id)
        try:
            await self._end(env, lock, Ending(lock_id, action, KEEP_MS), feature)
        except CustomerNotFoundError:
            await self._end(env, lock, Ending(lock_id, "forget", KEEP_MS), feature)


def lock_of(receipt: str) -> Lock:
    """Return what the text of a receipt says (``lua/include/keep_lock.lua``)."""
    first = receipt.split("\n", 1)[0].split("\t")
    if not first[0]:
        return Lock(first[1], first[4], "", ended=f"{first[2]}\t{first[3]}")
    return Lock(first[0], first[1], first[2])
