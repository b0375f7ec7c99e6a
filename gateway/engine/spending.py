"""From requests that use or hold units to what ``track`` is asked (hot-path sections 2.4 and 6.8).
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from gateway.amounts import parse_units
from gateway.cycles import DAY_MS
from gateway.engine.claims import KEEP_MS, Claim
from gateway.engine.verdicts import Asked
from gateway.errors import InvalidRequestError
from gateway.keys import reply_key
from gateway.messages.balances import CheckRequest, LockRequest, TrackRequest
from gateway.messages.common import given, integer
from gateway.ports import FeatureRecord
from gateway.scripts import Hold, Idempotency, Use

Spending = CheckRequest | TrackRequest

LOCK_MS_MAX = DAY_MS
"""How long a lock may hold units, and holds them when nothing else is said."""

NO_PROPERTIES = "{}"


def use_of_check(asked: Asked, request: CheckRequest, now_ms: int, kept: Idempotency | None) -> Use:
    """Return the use of a check with ``send_event`` or ``lock``. Raises ``InvalidRequestError``."""
    feature = asked.features[0]
    if feature.type == "boolean":
        field = "send_event" if request.send_event else "lock"
        raise InvalidRequestError(
            f"{field}: feature {feature.id} is boolean, there is nothing to spend"
        )
    return Use(
        request.entity_id or "",
        [asked.part],
        now_ms,
        (request.lock and request.lock.overage_behavior) or "reject",
        properties=properties_of(request.properties),
        hold=_hold(request.lock, [feature], now_ms, of_check=True),
        idempotency=kept,
    )


def use_of_track(
    asked: Sequence[Asked], request: TrackRequest, now_ms: int, kept: Idempotency | None
) -> Use:
    """Return the use of a track. Raises ``InvalidRequestError`` and ``InvalidInputsError``."""
    features = [one.features[0] for one in asked]
    counted = any(feature.type != "boolean" for feature in features)
    timestamp = integer(request.timestamp, field="timestamp")
    return Use(
        request.entity_id or "",
        [one.part for one in asked],
        now_ms if timestamp is None else timestamp,
        (counted and request.overage_behavior) or "cap",  # a flag has nothing to fall short of
        request.event_name or "",
        properties_of(request.properties),
        dry=bool(request.dry_run),
        hold=_hold(request.lock, features, now_ms),
        idempotency=kept,
    )


def units_of(raw: Raw, feature: FeatureRecord, field: str) -> int:
    """Return the units of an amount, those of 1 where none was sent. Raises
    ``InvalidInputsError``.
    """
    return (
        parse_units(bytes(raw), feature.precision, field=field)
        if given(raw)
        else 10**feature.precision
    )


def properties_of(raw: Raw) -> str:
    """Return properties as the script takes them."""
    return bytes(raw).decode() if given(raw) else NO_PROPERTIES


def kept_reply(claim: Claim, env: str, customer_id: str, partition: int) -> Idempotency:
    """Return where the reply of a claimed use is kept."""
    key = reply_key(env, customer_id, partition, claim.key)
    return Idempotency(key, claim.fingerprint, KEEP_MS)


def _hold(
    lock: LockRequest | None,
    features: Sequence[FeatureRecord],
    now_ms: int,
    *,
    of_check: bool = False,
) -> Hold | None:
    """Return the hold a request asks for.

    Raises ``InvalidRequestError`` for what cannot be held (hot-path section 2.4): several features
    at once, continuous use, and an end that has passed or is more than 24 hours ahead.
    """
    if lock is None:
        return None
    if len(features) > 1:
        raise InvalidRequestError("lock: an event of several features cannot be held")
    feature = features[0]
    if feature.type == "boolean" or (feature.type == "metered" and not feature.consumable):
        raise InvalidRequestError(
            f"lock: feature {feature.id} is not consumable, its use cannot be held"
        )
    expires = integer(lock.expires_at, field="lock.expires_at")
    if expires is None:
        expires = now_ms + LOCK_MS_MAX
    if not now_ms < expires <= now_ms + LOCK_MS_MAX:
        raise InvalidRequestError("lock.expires_at: must be within the next 24 hours")
    return Hold(lock.lock_id, expires, of_check)
