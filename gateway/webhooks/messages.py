"""What is sent and when: bodies, signatures, the schedule of attempts. Pure.

The format is that of Standard Webhooks: ``webhook-id`` is the id of the alert and stays the same in
every attempt, so a receiver that has seen it may ignore it; the timestamp and the signature are of
the attempt. Receivers written for the reference find the same under the names of Svix.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from standardwebhooks import Webhook

from gateway.messages.common import number_of
from gateway.webhooks.records import (
    Alert,
    Claim,
    DeliveryState,
    EventType,
    Message,
    Outcome,
    Result,
)

RETRY_MS = (5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000)
"""Wait after the first failed attempt, the second, and so on; after the last of them it failed."""

GONE = 410
"""The status by which a receiver says that it wants nothing any more."""

_SECRET_BYTES = 32
"""The specification allows 24 to 64; this is the width of the digest."""

_PERCENT_PRECISION = 2
"""Percentages arrive in hundredths."""

_USER_AGENT = "tallygate-webhooks"


class _LimitReached(msgspec.Struct, frozen=True):
    limit_type: Literal["included", "max_purchase", "spend_limit", "usage_limit"]
    filter: msgspec.Raw | UnsetType = UNSET
    """Of the usage limit, where it has one."""


class _UsageAlert(msgspec.Struct, frozen=True):
    threshold: int
    threshold_type: Literal["usage", "usage_percentage", "remaining", "remaining_percentage"]
    name: str | None = None


class _UsageAlertData(msgspec.Struct, frozen=True):
    name: str | UnsetType
    threshold: msgspec.Raw
    threshold_type: str


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    entity_id: str | UnsetType = UNSET
    feature_id: str
    limit_type: str | UnsetType = UNSET
    filter: msgspec.Raw | UnsetType = UNSET
    usage_alert: _UsageAlertData | UnsetType = UNSET
    env: str


def tell(alert: Alert) -> Message | None:
    """Return the message of an alert; None for one that cannot be told: its body is not the
    contract's, or its amount is of a feature that is no more.
    """
    try:
        event = EventType(f"balances.{alert.kind}")
        limit: _LimitReached | None = None
        usage_alert: _UsageAlertData | UnsetType = UNSET
        if event is EventType.LIMIT_REACHED:
            limit = msgspec.json.decode(alert.body, type=_LimitReached)
        else:
            usage_alert = _usage_alert(alert)
    except (ValueError, msgspec.MsgspecError):
        return None
    data = _Data(
        customer_id=alert.customer_id,
        entity_id=alert.entity_id or UNSET,
        feature_id=alert.feature_id,
        limit_type=limit.limit_type if limit else UNSET,
        filter=limit.filter if limit else UNSET,
        usage_alert=usage_alert,
        env=alert.env,
    )
    return Message(event, _body(event, alert.created_at, data))


def _usage_alert(alert: Alert) -> _UsageAlertData:
    found = msgspec.json.decode(alert.body, type=_UsageAlert)
    is_share = found.threshold_type.endswith("_percentage")
    precision = _PERCENT_PRECISION if is_share else alert.precision
    if precision is None:
        raise ValueError(alert.feature_id)
    threshold = number_of(found.threshold, precision)
    return _UsageAlertData(found.name or UNSET, threshold, found.threshold_type)


def ping(env: str, now_ms: int) -> str:
    """Return the body of a test message."""
    return _body("ping", now_ms, {"env": env})


def _body(event: str, at_ms: int, data: object) -> str:
    timestamp = _moment(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": event, "timestamp": timestamp, "data": data}).decode()


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def headers(message_id: str, body: str, secret: str, now_ms: int) -> dict[str, str]:
    """Return the headers of one attempt, its signature among them."""
    seconds = now_ms // 1000
    signature = Webhook(secret).sign(message_id, _moment(seconds * 1000), body)
    signed = {"id": message_id, "timestamp": str(seconds), "signature": signature}
    return {
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        **{f"webhook-{name}": value for name, value in signed.items()},
        **{f"svix-{name}": value for name, value in signed.items()},
    }


def judge(claim: Claim, outcome: Outcome, now_ms: int) -> Result:
    """Return what an attempt leads to: 2xx is delivered, all else is tried again, within bounds."""
    if outcome.is_delivered:
        return Result(claim, outcome, DeliveryState.DELIVERED, now_ms)
    if outcome.status == GONE or claim.attempt > len(RETRY_MS):
        return Result(claim, outcome, DeliveryState.FAILED, now_ms)
    return Result(claim, outcome, DeliveryState.PENDING, now_ms + RETRY_MS[claim.attempt - 1])


def new_secret() -> str:
    """Return a signing secret."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
