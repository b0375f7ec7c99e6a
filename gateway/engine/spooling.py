"""Tracks that are taken while Redis is gone, and carried out once it is back.

What such a track has used is not known, so its answer is that of one that asked not to wait: 202,
without a balance. It is carried out once, whoever dies when: one without an idempotency key gets
one. One that has to be decided (``reject``, ``lock``, ``dry_run``) cannot be taken; nor can one
that may have been carried out already, unless its key tells.

Failure. What is refused once Redis is back (the customer is not there) is said in the log and
counted: nobody waits for that answer any more. A fault of ours holds up what comes after it, and is
in the log each time.
"""

from __future__ import annotations

import logging

import msgspec
from msgspec import UNSET

from gateway import metrics
from gateway.engine.claims import Claim, claim_of
from gateway.engine.engine import Engine
from gateway.engine.sweeper import Reminder
from gateway.errors import GatewayError, UnavailableError, UnknownOutcomeError
from gateway.ids import new_id
from gateway.messages.balances import TrackRequest, TrackResponse
from gateway.ports import Clock
from gateway.spool import Spool

log = logging.getLogger(__name__)

DRAIN_SECONDS = 0.5
"""Between two looks at whether what waits can be carried out."""

_NULL = msgspec.Raw(b"null")


class _Kept(msgspec.Struct, array_like=True):
    """A track in the spool, with the key it is carried out under."""

    env: str
    request_id: str
    claim: Claim
    request: TrackRequest


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


class Spooling:
    """Keeps tracks in a spool, and carries them out."""

    def __init__(self, spool: Spool, engine: Engine, clock: Clock) -> None:
        """Keep the parts; nothing is read yet."""
        self._spool = spool
        self._engine = engine
        self._clock = clock
        self._full = Reminder("tracks without Redis")

    async def keep(
        self,
        env: str,
        request: TrackRequest,
        request_id: str,
        claim: Claim | None,
        error: UnavailableError,
    ) -> TrackResponse:
        """Return the answer to a track that failed because Redis is gone; raises ``error`` for one
        that cannot be kept.
        """
        is_decided = request.overage_behavior == "reject" or request.lock or request.dry_run
        is_doubtful = isinstance(error, UnknownOutcomeError) and claim is None
        if is_decided or is_doubtful:
            raise error
        claim = claim or claim_of(new_id("spl"), "balances.track", request)
        request.timestamp = request.timestamp or self._clock.now_ms(env)
        request.value, value = request.value or _NULL, request.value
        request.properties = request.properties or _NULL
        try:
            is_kept = await self._spool.keep(_encode(_Kept(env, request_id, claim, request)))
        except OSError as fault:
            self._full.note([UnavailableError(str(fault))])
            raise error from fault
        if not is_kept:
            raise error
        self._full.note(())
        metrics.spooled.labels("kept").inc()
        return TrackResponse(
            customer_id=request.customer_id,
            entity_id=request.entity_id or UNSET,
            event_name=request.event_name or UNSET,
            value=value or msgspec.Raw(b"1"),
            balance=None,
        )

    async def drain(self) -> None:
        """Carry out what waits, the oldest first, as far as Redis lets. Raises ``UnavailableError``
        for a disk that fails.
        """
        try:
            await self._spool.drain(self._carry_out)
        except OSError as error:
            raise UnavailableError(f"the spool cannot be read: {error}") from error

    async def _carry_out(self, entry: bytes) -> bool:
        """Carry out one track; False when it has to wait."""
        request_id = "of an entry that cannot be read"
        try:
            kept = _decode(entry)
            request_id = kept.request_id
            await self._engine.track(kept.env, kept.request, request_id, kept.claim)
        except UnavailableError:
            return False
        except (GatewayError, msgspec.DecodeError) as error:
            metrics.spooled.labels("refused").inc()
            log.warning("request %s was kept, and is refused now: %s", request_id, error)
        else:
            metrics.spooled.labels("carried").inc()
        return True
