"""What 1.2 sends and is sent. Requests extend those of today by the names 1.2 has for things."""

from __future__ import annotations

from typing import Annotated, Generic

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.api.legacy.product_messages import ItemView
from gateway.messages.balances import CheckPreview, CheckRequest
from gateway.messages.common import NOT_SENT, Json, JsonObject, Number
from gateway.messages.customers import CustomerFacts, EntitySummary
from gateway.messages.entities import EntityGetRequest
from gateway.messages.grants import BalanceCreateRequest
from gateway.messages.pages import Item, Items, Listed
from gateway.messages.plans import ITEMS_MAX
from gateway.messages.subjects import CustomerData

ENTITIES_MAX = 100
"""Entities one request may create."""


class CheckOf(CheckRequest, kw_only=True):
    """May the customer use a feature, or has it a product? Exactly one of the two is named."""

    feature_id: str = ""
    product_id: str | None = None
    required_quantity: Number = NOT_SENT


class Balanced(msgspec.Struct, kw_only=True):
    """What is left of a feature; without an entitlement nothing of it is there."""

    unlimited: bool | UnsetType = UNSET
    interval: str | UnsetType | None = UNSET
    interval_count: int | UnsetType | None = UNSET
    balance: Number | UnsetType = UNSET
    usage: Number | UnsetType = UNSET
    included_usage: Number | UnsetType = UNSET
    next_reset_at: int | UnsetType | None = UNSET
    overage_allowed: bool | UnsetType = UNSET
    usage_limit: Number | UnsetType = UNSET
    breakdown: list[Source] | UnsetType = UNSET
    rollovers: list[Leftover] | UnsetType = UNSET
    credit_schema: list[CreditAmount] | UnsetType = UNSET


class Source(msgspec.Struct, kw_only=True):
    """One source of a balance."""

    interval: str | None
    interval_count: int | None
    balance: Number
    usage: Number
    included_usage: Number
    next_reset_at: int | None
    expires_at: int | None
    overage_allowed: bool


class Leftover(msgspec.Struct, kw_only=True):
    """Units left over from earlier periods."""

    balance: Number
    expires_at: int


class CreditAmount(msgspec.Struct, kw_only=True):
    """Credits that one unit of a feature costs."""

    feature_id: str
    credit_amount: Number


class FeatureVerdict(Balanced, kw_only=True):
    """The verdict on a feature."""

    allowed: bool
    code: str = "feature_found"
    customer_id: str
    feature_id: str
    entity_id: str | UnsetType = UNSET
    required_balance: Number
    preview: CheckPreview | UnsetType = UNSET


class ProductVerdict(msgspec.Struct, kw_only=True):
    """Whether a product is attached, and its status."""

    allowed: bool
    code: str = "product_found"
    customer_id: str
    product_id: str
    entity_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET


class TrackReceipt(msgspec.Struct, kw_only=True):
    """The use is recorded; its ``id`` is the same for every use."""

    id: str = "placeholder"
    code: str = "event_received"
    customer_id: str
    entity_id: str | UnsetType = UNSET
    feature_id: str | UnsetType = UNSET
    event_name: str | UnsetType = UNSET


class UsageReceipt(msgspec.Struct, kw_only=True):
    """The usage is set."""

    success: bool = True
    code: str = "event_received"
    customer_id: str
    feature_id: str


class GrantOf(BalanceCreateRequest, kw_only=True):
    """Give units without a plan; ``granted_balance`` is today's ``included_grant``."""

    granted_balance: Number = NOT_SENT


class BalanceOf(msgspec.Struct, kw_only=True):
    """What is to be left of a feature."""

    feature_id: str
    balance: Number
    entity_id: str | None = None


class BalancesRequest(msgspec.Struct, kw_only=True):
    """Set what is left of features, or what is used of one."""

    customer_id: str
    entity_id: str | None = None
    balances: Annotated[list[BalanceOf], Meta(max_length=ITEMS_MAX)] | None = None
    feature_id: str | None = None
    value: Number = NOT_SENT


class Feature(Balanced, kw_only=True):
    """A feature a customer or an entity has."""

    id: str
    name: str
    type: str


class ProductOf(msgspec.Struct, kw_only=True):
    """A product a customer or an entity has."""

    id: str
    name: str | None
    group: str | None
    status: str
    canceled_at: int | None
    started_at: int
    is_default: bool
    is_add_on: bool
    version: int
    current_period_start: int | None
    current_period_end: int | None
    trial_ends_at: int | UnsetType = UNSET
    entity_id: str | UnsetType = UNSET
    quantity: int
    subscription_ids: list[str] = []
    items: list[ItemView]


class Customer(CustomerFacts, kw_only=True):
    """A customer."""

    products: list[ProductOf]
    features: dict[str, Feature]
    entities: list[EntitySummary] | UnsetType = UNSET
    invoices: list[JsonObject] | UnsetType = UNSET
    trials_used: list[JsonObject] | UnsetType = UNSET
    referrals: list[JsonObject] | UnsetType = UNSET


class Entity(msgspec.Struct, kw_only=True):
    """An entity; clients of 1.2 need its name to be a text."""

    id: str | None
    name: str
    customer_id: str
    feature_id: str
    created_at: int
    env: str
    products: list[ProductOf]
    features: dict[str, Feature]
    invoices: list[JsonObject] | UnsetType = UNSET


class _Page(msgspec.Struct, Generic[Item], kw_only=True):
    has_more: bool | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    total: int | UnsetType = UNSET
    list: Items[Item]


class CustomerPage(_Page[Customer], kw_only=True):
    """One page of customers."""


class EntityPage(_Page[Entity], kw_only=True):
    """One page of entities, or all that were created together, which have no page."""


class EntityFields(msgspec.Struct, kw_only=True):
    """An entity to create, among others."""

    id: str
    feature_id: str
    name: str | None = None
    billing_controls: JsonObject | None = None
    customer_data: CustomerData | None = None


class EntitiesCreateRequest(msgspec.Struct, kw_only=True):
    """Create one entity, or all of ``entities``."""

    customer_id: str
    entity_id: str | None = None
    feature_id: str | None = None
    name: str | None = None
    billing_controls: JsonObject | None = None
    entities: Annotated[list[EntityFields], Meta(min_length=1, max_length=ENTITIES_MAX)] | None = (
        None
    )
    customer_data: CustomerData | None = None


class EntityGetOf(EntityGetRequest, kw_only=True):
    """Name an entity, and what to show with it."""

    expand: list[str] | None = None


class UsageSeries(Listed[JsonObject], kw_only=True):
    """Usage in bins: each with its ``period`` and a value for every feature, or for every group."""

    total: Json


class UnsupportedRequest(msgspec.Struct):
    """Whatever is sent to a route that cannot be served."""
