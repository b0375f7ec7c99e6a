"""Tracks that are taken while Redis is gone, and carried out once it is back.

What such a track has used is not known, so its answer is that of one that asked not to wait: 202,
without a balance. It is carried out once, whoever dies when: one without an idempotency key gets
one. One that has to be decided (``reject``, ``lock``, ``dry_run``), or has to reach a level, cannot
be taken; nor can one that may have been carried out already, unless its key tells.

Failure. What is refused once Redis is back (the customer is not there) is said in the log and
counted: nobody waits for that answer any more.
"""

from __future__ import annotations

import logging

import msgspec
from msgspec import UNSET

from gateway import metrics
from gateway.api.decoding import decode_body
from gateway.api.errors import JSON, Reply
from gateway.api.operation import Call, Operation, Services
from gateway.engine.claims import claim_of
from gateway.errors import (
    GatewayError,
    RedisUnavailableError,
    UnavailableError,
    UnknownOutcomeError,
)
from gateway.ids import new_id
from gateway.messages.balances import TrackRequest, TrackResponse
from gateway.ports import Clock
from gateway.spool import Spool

log = logging.getLogger(__name__)

DRAIN_SECONDS = 0.5
"""Between two looks at whether what waits can be carried out."""


class _Kept(msgspec.Struct, array_like=True):
    """A track in the spool; ``body`` is what it said, ``at_ms`` when."""

    env: str
    key: str
    at_ms: int
    request_id: str
    restricted: bool
    body: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


class Spooling:
    """Keeps tracks in a spool, and carries them out."""

    def __init__(self, spool: Spool, services: Services, track: Operation, clock: Clock) -> None:
        """Keep the parts; ``track`` is ``balances.track``."""
        self._spool = spool
        self._services = services
        self._track = track
        self._clock = clock
        self._decoder = msgspec.json.Decoder(track.request)

    async def keep(
        self,
        operation: Operation,
        call: Call,
        request: object,
        body: bytes,
        error: RedisUnavailableError | UnknownOutcomeError,
    ) -> Reply:
        """Answer a call that failed because Redis is gone; raises ``error`` for one that cannot be
        kept.
        """
        if operation is not self._track or not isinstance(request, TrackRequest):
            raise error
        own = request.idempotency_key
        is_decided = request.overage_behavior == "reject" or request.lock or request.dry_run
        is_doubtful = isinstance(error, UnknownOutcomeError) and call.claim is None
        if is_decided or is_doubtful or call.level or own not in (None, call.key or own):
            raise error
        key = call.key or own or new_id("spl")
        kept = _Kept(call.env, key, call.now_ms, call.request_id, call.restricted, body)
        try:
            is_kept = await self._spool.keep(_encode(kept))
        except OSError:
            log.exception("the spool takes nothing")
            raise error from None
        if not is_kept:
            raise error
        metrics.spooled.labels("kept").inc()
        response = TrackResponse(
            customer_id=request.customer_id,
            entity_id=request.entity_id or UNSET,
            event_name=request.event_name or UNSET,
            value=request.value or msgspec.Raw(b"1"),
            balance=None,
        )
        return Reply(202, _encode(response), (JSON, (b"x-tallygate-degraded", b"redis")))

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
        request_id = ""
        try:
            kept = _decode(entry)
            request_id = kept.request_id
            call = Call(
                request_id=request_id,
                env=kept.env,
                now_ms=self._clock.now_ms(kept.env),
                restricted=kept.restricted,
            )
            request = decode_body(self._decoder, kept.body)
            self._track.rule(call, request)
            call.claim = claim_of(kept.key, self._track.name, request)
            request.timestamp = request.timestamp or kept.at_ms
            await self._track.handle(self._services, call, request)
        except (UnavailableError, UnknownOutcomeError):
            return False
        except (GatewayError, msgspec.ValidationError) as error:
            metrics.spooled.labels("refused").inc()
            log.warning("request %s was kept, and is refused now: %s", request_id, error)
        else:
            metrics.spooled.labels("carried").inc()
        return True
