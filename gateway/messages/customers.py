"""``customers.*`` (hot-path section 1.7, cold-path section 4)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from gateway.messages.balances import Balance, FlagView
from gateway.messages.common import Integer, Json, JsonObject
from gateway.messages.pages import SubjectsPage, SubjectsRequest
from gateway.messages.subjects import CustomerData


class CustomerCreateRequest(CustomerData, kw_only=True):
    """Get a customer, or create it with the plans that are enabled by themselves. Without an id it
    is known by its email.
    """

    customer_id: str | None
    expand: list[str] | None = None


class CustomerGetRequest(msgspec.Struct, kw_only=True):
    """Name a customer."""

    customer_id: str
    expand: list[str] | None = None


class CustomerUpdateRequest(msgspec.Struct, kw_only=True):
    """Change the given fields; metadata is merged, a null value removes its key."""

    customer_id: str
    new_customer_id: str | None = None
    name: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    fingerprint: str | UnsetType | None = UNSET
    metadata: JsonObject | None = None
    stripe_id: str | UnsetType | None = UNSET
    send_email_receipts: bool | None = None
    billing_controls: JsonObject | None = None
    config: JsonObject | None = None


class CustomerDeleteRequest(msgspec.Struct, kw_only=True):
    """Delete a customer with its entities and balances."""

    customer_id: str
    delete_in_stripe: bool | None = None


class CreatedAtRange(msgspec.Struct, kw_only=True):
    """Unix milliseconds, both inclusive; what is left out is open."""

    start: Integer | None = None
    end: Integer | None = None


class CustomerListRequest(SubjectsRequest, kw_only=True):
    """Page through customers, newest first unless ``sort_order`` is ``asc``; ``start_cursor`` from
    2.3 on, ``offset`` in any.
    """

    created_at_range: CreatedAtRange | None = None
    sort_order: str | None = None


class SubscriptionView(msgspec.Struct, kw_only=True):
    """A recurring (or free) plan that is attached."""

    id: str
    plan: Json | UnsetType = UNSET
    plan_id: str
    auto_enable: bool
    add_on: bool
    status: str
    past_due: bool
    canceled_at: int | None
    expires_at: int | None
    trial_ends_at: int | None
    started_at: int
    current_period_start: int | None
    current_period_end: int | None
    quantity: int
    scope: str


class PurchaseView(msgspec.Struct, kw_only=True):
    """A one-off plan that is attached."""

    plan: Json | UnsetType = UNSET
    plan_id: str
    expires_at: int | None
    started_at: int
    quantity: int
    scope: str


class EntitySummary(msgspec.Struct, kw_only=True):
    """An entity as ``expand: ["entities"]`` lists it."""

    id: str
    name: str | None
    customer_id: str
    feature_id: str
    created_at: int
    env: str


class CustomerFacts(msgspec.Struct, kw_only=True):
    """What a customer is, apart from what it holds."""

    id: str | None
    name: str | None
    email: str | None
    created_at: int
    fingerprint: str | None
    stripe_id: str | None
    env: str
    metadata: JsonObject
    send_email_receipts: bool
    billing_controls: JsonObject


class CustomerView(CustomerFacts, kw_only=True):
    """A customer with everything it may spend; totals include what its entities hold."""

    subscriptions: list[SubscriptionView]
    purchases: list[PurchaseView]
    licenses: list[JsonObject]
    balances: dict[str, Balance]
    flags: dict[str, FlagView]
    config: JsonObject
    entities: list[EntitySummary] | UnsetType = UNSET
    invoices: list[JsonObject] | UnsetType = UNSET
    invoice_previews: list[JsonObject] | UnsetType = UNSET
    trials_used: list[JsonObject] | UnsetType = UNSET
    referrals: list[JsonObject] | UnsetType = UNSET


class CustomerListResponse(SubjectsPage[CustomerView], kw_only=True):
    """One page of customers; with the cursor from 2.3 on, or by offset."""
