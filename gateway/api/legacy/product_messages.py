"""What 1.2 calls products and features of the catalog; a product is a plan of today."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.billing import FeatureQuantity
from gateway.messages.common import NOT_SENT, Integer, Json, Number, choice
from gateway.messages.features import CreditCost, FeatureDisplay
from gateway.messages.pages import Listed
from gateway.messages.plans import (
    ITEMS_MAX,
    ON_DECREASE,
    ON_INCREASE,
    TIERS_MAX,
    NumberOrInf,
    RolloverRequest,
    TierRequest,
)
from gateway.messages.subjects import CustomerData, EntityData

PRODUCTS_MAX = 20
"""Products one request may attach."""


class FeatureShape(msgspec.Struct, kw_only=True):
    """A feature of the catalog."""

    id: str
    name: str
    type: str
    display: FeatureDisplay | None
    credit_schema: list[CreditCost] | None
    archived: bool


class FeaturePage(Listed[FeatureShape], kw_only=True):
    """Every feature, oldest first."""


class ProductItem(msgspec.Struct, kw_only=True):
    """What a product gives of a feature or costs; without a feature, it is the fixed price."""

    type: str | None = None
    feature_id: str | None = None
    included_usage: NumberOrInf = NOT_SENT
    interval: str | None = None
    interval_count: Integer | None = None
    usage_model: str | None = None
    price: Number = NOT_SENT
    tiers: Annotated[list[TierRequest], Meta(max_length=TIERS_MAX)] | None = None
    billing_units: Number = NOT_SENT
    usage_limit: Number = NOT_SENT
    entity_feature_id: str | None = None
    reset_usage_when_enabled: bool | None = None
    config: ItemConfig | None = None


class ItemConfig(msgspec.Struct, kw_only=True):
    """Further rules of an item; those of another quantity are of what is prepaid."""

    rollover: RolloverRequest | None = None
    on_increase: Annotated[str, choice(ON_INCREASE)] | None = None
    on_decrease: Annotated[str, choice(ON_DECREASE)] | None = None


class ItemView(msgspec.Struct, kw_only=True):
    """What a product gives of a feature or costs."""

    type: str
    feature_id: str | None = None
    feature_type: str | None = None
    included_usage: NumberOrInf | None = None
    interval: str | None
    interval_count: int | None
    usage_model: str | None = None
    price: Number | None = None
    tiers: list[Json] | None = None
    billing_units: Number | None = None
    usage_limit: Number | None = None
    entity_feature_id: str | None = None
    reset_usage_when_enabled: bool | None = None


class Trial(msgspec.Struct, kw_only=True):
    """How long a product is free at first."""

    duration: str = "day"
    length: Integer
    unique_fingerprint: bool = False
    card_required: bool | None = None


class ProductCreateRequest(msgspec.Struct, kw_only=True):
    """Define a product."""

    plan_id: str
    name: str | None = None
    group: str | None = None
    is_add_on: bool | None = None
    is_default: bool | None = None
    items: Annotated[list[ProductItem], Meta(max_length=ITEMS_MAX)] | None = None
    free_trial: Trial | UnsetType | None = UNSET


class ProductUpdateRequest(ProductCreateRequest, kw_only=True):
    """Change the given fields; ``items`` replaces all of them, a null ``free_trial`` removes it."""

    new_plan_id: str | None = None
    version: Integer | None = None
    archived: bool | None = None


class ProductFacts(msgspec.Struct, kw_only=True):
    """What follows from the items of a product."""

    is_free: bool
    is_one_off: bool
    interval_group: str | None
    has_trial: bool
    updateable: bool


class Product(msgspec.Struct, kw_only=True):
    """A product."""

    id: str
    name: str
    group: str
    env: str
    is_add_on: bool
    is_default: bool
    archived: bool
    version: int
    created_at: int
    items: list[ItemView]
    free_trial: Trial | None
    base_variant_id: str | None = None
    scenario: str | UnsetType = UNSET
    """What attaching it would be, where it is suggested."""
    properties: ProductFacts


class ProductPage(Listed[Product], kw_only=True):
    """Products, oldest first."""


class ProductChoice(msgspec.Struct, kw_only=True):
    """One of several products to attach."""

    product_id: str
    quantity: Integer | None = None


class ProductAttachRequest(msgspec.Struct, kw_only=True):
    """Attach one product or several."""

    customer_id: str
    product_id: str | None = None
    product_ids: Annotated[list[str], Meta(max_length=PRODUCTS_MAX)] | None = None
    products: Annotated[list[ProductChoice], Meta(max_length=PRODUCTS_MAX)] | None = None
    entity_id: str | None = None
    options: list[FeatureQuantity] | None = None
    version: Integer | None = None
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None
    free_trial: Trial | bool | UnsetType | None = UNSET
    force_checkout: bool | None = None
    invoice: bool | None = None
    reward: Json = NOT_SENT


class ProductAttached(msgspec.Struct, kw_only=True):
    """The products are attached; there is nothing to pay."""

    success: bool = True
    customer_id: str
    product_ids: list[str]
    code: str
    message: str


class CancelRequest(msgspec.Struct, kw_only=True):
    """End a product: when its cycle does, or at once."""

    customer_id: str
    product_id: str
    entity_id: str | None = None
    cancel_immediately: bool | None = None
    prorate: bool | None = None


class ProductCanceled(msgspec.Struct, kw_only=True):
    """The product has ended, or will."""

    success: bool = True
    customer_id: str
    product_id: str
