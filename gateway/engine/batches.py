"""``balances.batch_track``: many tracks in one request (hot-path section 1.3).

Everything that can be known beforehand is checked before the first unit moves. Tracks of one
customer are carried out in the order they were sent, those of different customers beside each
other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from msgspec import UNSET

from gateway.amounts import parse_units
from gateway.engine.balances import Balances
from gateway.engine.claims import claim_of
from gateway.engine.creation import Parts, in_turns
from gateway.errors import (
    EventNotFoundError,
    FeatureNotFoundError,
    GatewayError,
    InvalidInputsError,
    UnavailableError,
    UnknownOutcomeError,
)
from gateway.messages.balances import TrackRequest
from gateway.messages.common import given
from gateway.messages.grants import BatchFailure, BatchTrackResponse
from gateway.ports import FeatureRecord
from gateway.scripts.rates import count_apart

log = logging.getLogger(__name__)

CUSTOMERS_MAX = 16
"""Customers all batches together are at work for; more would leave no connection to others."""


class Batches(Balances):
    """Check, track, and tracks in batches."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._batch_turns = asyncio.Semaphore(CUSTOMERS_MAX)

    async def batch_track(
        self, env: str, requests: Sequence[TrackRequest], request_id: str
    ) -> BatchTrackResponse:
        """Carry out tracks. What the state refuses when its turn comes (a reject without balance,
        an unknown customer) is named in the answer, and so is an item that met a fault; the
        others are carried out all the same.

        Raises, before anything is carried out, the not-found errors of features and events and
        ``InvalidInputsError``, each naming the index; ``UnavailableError`` when none could be, and
        ``UnknownOutcomeError`` when none was answered but some may have been.
        """
        for index, request in enumerate(requests):
            try:
                await self._check_item(env, request)
            except (FeatureNotFoundError, EventNotFoundError) as error:
                raise type(error)(f"{index}: {error.message}") from error
            except InvalidInputsError as error:
                raise InvalidInputsError(f"{index}.{error.message}") from error
        turns: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            turns[request.customer_id].append(index)
        errors: dict[int, GatewayError] = {}

        async def carry_out(indexes: Sequence[int]) -> None:
            for index in indexes:
                try:
                    request = requests[index]
                    key = request.idempotency_key
                    claim = claim_of(key, "balances.track", request) if key else None
                    count_apart()
                    await self.track(env, request, f"{request_id}-{index}", claim)
                except GatewayError as error:
                    errors[index] = error
                except Exception:
                    log.exception("request %s: item %d failed", request_id, index)
                    errors[index] = GatewayError()

        await in_turns(self._batch_turns, [carry_out(indexes) for indexes in turns.values()])
        if len(errors) == len(requests) and all(
            isinstance(error, UnavailableError) for error in errors.values()
        ):
            unknown = (one for one in errors.values() if isinstance(one, UnknownOutcomeError))
            raise next(unknown, errors[0])
        failed = [
            BatchFailure(index=index, code=error.code, message=error.message)
            for index, error in sorted(errors.items())
        ]
        return BatchTrackResponse(failed=failed or UNSET)

    async def _check_item(self, env: str, request: TrackRequest) -> None:
        features: Sequence[FeatureRecord]
        if request.feature_id is not None:
            features = (await self.catalog.feature(env, request.feature_id),)
        else:
            features = await self.catalog.features_by_event(env, request.event_name or "")
        if given(request.value):
            for feature in features:
                parse_units(bytes(request.value), feature.precision, field="value")
