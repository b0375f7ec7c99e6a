"""``entities.*`` (hot-path section 1.6, cold-path section 5.1)."""

from __future__ import annotations

import msgspec

from gateway.messages.balances import Balance, FlagView
from gateway.messages.common import JsonObject
from gateway.messages.customers import PurchaseView, SubscriptionView
from gateway.messages.pages import SubjectsPage, SubjectsRequest
from gateway.messages.subjects import CustomerData


class EntityCreateRequest(msgspec.Struct, kw_only=True):
    """Create an entity under a customer; counts one unit of ``feature_id``."""

    customer_id: str
    entity_id: str
    feature_id: str
    name: str | None = None
    billing_controls: JsonObject | None = None
    customer_data: CustomerData | None = None


class EntityGetRequest(msgspec.Struct, kw_only=True):
    """Name an entity; ``customer_id`` may be left out when no other customer has an entity with
    this id.
    """

    entity_id: str
    customer_id: str | None = None


class EntityUpdateRequest(msgspec.Struct, kw_only=True):
    """Replace the given arrays of billing controls."""

    entity_id: str
    customer_id: str | None = None
    billing_controls: JsonObject | None = None


class EntityListRequest(SubjectsRequest, kw_only=True):
    """Page through entities, newest first; ``start_cursor`` from 2.3 on, ``offset`` in any."""

    customer_id: str | None = None


class EntityView(msgspec.Struct, kw_only=True):
    """An entity with everything it may spend: its own balances and the customer's."""

    id: str | None
    name: str | None
    customer_id: str
    feature_id: str
    created_at: int
    env: str
    subscriptions: list[SubscriptionView]
    purchases: list[PurchaseView]
    balances: dict[str, Balance]
    flags: dict[str, FlagView]
    billing_controls: JsonObject
    invoices: list[JsonObject]


class EntityListResponse(SubjectsPage[EntityView], kw_only=True):
    """One page of entities; with the cursor from 2.3 on, or by offset."""
