"""``plans.update`` and ``plans.delete``: what may be asked of a plan that is there."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.common import Integer, JsonObject
from gateway.messages.plans import (
    ITEMS_MAX,
    BasePriceRequest,
    FreeTrialRequest,
    PlanConfigRequest,
    PlanItemRequest,
)


class PlanUpdateRequest(msgspec.Struct, kw_only=True):
    """Change the given fields; ``items`` replaces all of them, a null ``price`` or ``free_trial``
    removes it.
    """

    plan_id: str
    new_plan_id: str | None = None
    version: Integer | None = None
    name: str | None = None
    description: str | UnsetType | None = UNSET
    group: str | None = None
    add_on: bool | None = None
    auto_enable: bool | None = None
    is_default: bool | None = None
    price: BasePriceRequest | UnsetType | None = UNSET
    items: Annotated[list[PlanItemRequest], Meta(max_length=ITEMS_MAX)] | None = None
    free_trial: FreeTrialRequest | UnsetType | None = UNSET
    config: PlanConfigRequest | None = None
    billing_controls: JsonObject | None = None
    metadata: JsonObject | None = None
    archived: bool | None = None
    disable_version: bool | None = None
    force_version: bool | None = None
    all_versions: bool | None = None
    update_variant_ids: list[str] | None = None
    base_plan_id: str | None = None
    migration: JsonObject | None = None
    licenses: list[JsonObject] | None = None
    variants: list[JsonObject] | None = None
    update_license_parents: list[JsonObject] | None = None
    create_in_stripe: bool | None = None


class PlanDeleteRequest(msgspec.Struct, kw_only=True):
    """Delete a plan that no customer ever had, with all its versions."""

    plan_id: str
    all_versions: bool | None = None
