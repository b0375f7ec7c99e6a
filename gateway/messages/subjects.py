"""Who a call is about: what check, track and attach may send to create the customer or entity
on the way.
"""

from __future__ import annotations

import msgspec

from gateway.messages.common import JsonObject


class CustomerData(msgspec.Struct, kw_only=True):
    """What is needed to create a customer on the way (check, track, entities.create)."""

    name: str | None = None
    email: str | None = None
    fingerprint: str | None = None
    metadata: JsonObject | None = None
    stripe_id: str | None = None
    send_email_receipts: bool | None = None
    billing_controls: JsonObject | None = None
    config: JsonObject | None = None
    auto_enable_plan_id: str | None = None


class EntityData(msgspec.Struct, kw_only=True):
    """What is needed to create an entity on the way (check and track)."""

    feature_id: str
    name: str | None = None
    billing_controls: JsonObject | None = None
