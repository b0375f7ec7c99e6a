"""Billing controls and customer configuration: their shape (hot-path section 1.12).

They are stored and echoed as they were sent; checked here so that what comes back is what every
client can read.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.errors import InvalidInputsError
from gateway.messages.common import JsonObject

Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[float, Meta(ge=1)]
ENTRIES_MAX = 100
"""Entries of one array."""


class PurchaseLimit(msgspec.Struct):
    """How often units may be bought by themselves."""

    interval: Literal["hour", "day", "week", "month"]
    limit: Count
    interval_count: Count | None = None


class AutoTopup(msgspec.Struct):
    """Buy units when few are left."""

    feature_id: str
    threshold: Amount
    quantity: Count
    enabled: bool | None = None
    purchase_limit: PurchaseLimit | None = None


class SpendLimit(msgspec.Struct):
    """A cap on overage."""

    feature_id: str | None = None
    enabled: bool | None = None
    limit_type: Literal["absolute", "usage_percentage"] | None = None
    overage_limit: Amount | None = None
    skip_overage_billing: bool | None = None


class UsageLimit(msgspec.Struct):
    """A cap on use within a window."""

    feature_id: str
    limit: Amount
    interval: Literal["day", "week", "month", "year"]
    enabled: bool | None = None
    anchor: Literal["billing_cycle", "utc"] | None = None
    filter: JsonObject | None = None


class UsageAlert(msgspec.Struct):
    """A threshold somebody wants to hear of."""

    threshold: Amount
    threshold_type: Literal["usage", "usage_percentage", "remaining", "remaining_percentage"]
    feature_id: str | None = None
    enabled: bool | None = None
    name: str | None = None


class OverageAllowed(msgspec.Struct):
    """Whether a feature may go below zero."""

    feature_id: str
    enabled: bool | None = None


class BillingControls(msgspec.Struct):
    """All controls of a customer, an entity or a plan."""

    auto_topups: Annotated[list[AutoTopup], Meta(max_length=ENTRIES_MAX)] | None = None
    spend_limits: Annotated[list[SpendLimit], Meta(max_length=ENTRIES_MAX)] | None = None
    usage_limits: Annotated[list[UsageLimit], Meta(max_length=ENTRIES_MAX)] | None = None
    usage_alerts: Annotated[list[UsageAlert], Meta(max_length=ENTRIES_MAX)] | None = None
    overage_allowed: Annotated[list[OverageAllowed], Meta(max_length=ENTRIES_MAX)] | None = None


class CustomerConfig(msgspec.Struct):
    """Switches of a customer."""

    disable_pooled_balance: bool | None = None
    disable_overage_billing: bool | None = None


_SHAPES: dict[str, type[msgspec.Struct]] = {
    "billing_controls": BillingControls,
    "config": CustomerConfig,
}


def check_document(document: JsonObject, field: str) -> None:
    """Refuse controls or a configuration of another shape; other documents have no shape.

    Raises ``InvalidInputsError`` naming the place inside the field.
    """
    shape = _SHAPES.get(field.rpartition(".")[2])
    if shape is None:
        return
    try:
        msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        where = place.rstrip("`").replace("[", ".").replace("]", "")
        raise InvalidInputsError(f"{field}{where}: {text[0].lower()}{text[1:]}") from error
    if shape is BillingControls:
        _check_identities(document, field)


def _check_identities(document: JsonObject, field: str) -> None:
    for name in ("auto_topups", "spend_limits", "usage_limits", "overage_allowed"):
        seen: list[object] = []
        for entry in document.get(name) or ():
            identity = (entry.get("feature_id"), entry.get("filter"))
            if identity in seen:
                raise InvalidInputsError(f"{field}.{name}: two entries for one feature")
            seen.append(identity)
