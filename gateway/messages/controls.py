"""Billing controls and customer configuration: their shape (hot-path section 1.12).

They are stored as they were sent; checked here so that what comes back is what every client can
read, and that ``gateway.lifecycle.controls`` can compile it. Amounts are floats here only to be
looked at: no balance is ever compared with one.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.messages.common import JsonObject

Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[float, Meta(ge=1)]
Scalar = str | int | float | bool
ENTRIES_MAX = 100
"""Entries of one array, and values of one property of a filter."""

FILTER_MAX = 4
"""Properties of a filter."""

BASIS = "balance"
"""What 100 percent of an alert is: all that is granted."""


class PurchaseLimit(msgspec.Struct):
    """How often units may be bought by themselves."""

    interval: Literal["hour", "day", "week", "month"]
    limit: Count
    interval_count: Count | None = None
    count: Amount | None = None


class AutoTopup(msgspec.Struct):
    """Buy units when few are left."""

    feature_id: str
    threshold: Amount
    quantity: Count
    enabled: bool | None = None
    purchase_limit: PurchaseLimit | None = None
    invoice_mode: bool | None = None


class SpendLimit(msgspec.Struct):
    """A cap on overage."""

    feature_id: str | None = None
    enabled: bool | None = None
    limit_type: Literal["absolute", "usage_percentage"] | None = None
    overage_limit: Amount | None = None
    skip_overage_billing: bool | None = None


Values = Annotated[list[Scalar], Meta(min_length=1, max_length=ENTRIES_MAX)]


class UsageFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which uses count: those that have each property with its value, or with any of a list."""

    properties: Annotated[dict[str, Scalar | Values], Meta(min_length=1, max_length=FILTER_MAX)]


class UsageLimit(msgspec.Struct):
    """A cap on use within a window; ``billing_cycle`` is the anchor unless another is named."""

    feature_id: str
    limit: Amount
    interval: Literal["day", "week", "month", "year"]
    enabled: bool | None = None
    anchor: Literal["billing_cycle", "utc"] | None = None
    filter: UsageFilter | None = None


class UsageAlert(msgspec.Struct):
    """A threshold somebody wants to hear of."""

    threshold: Amount
    threshold_type: Literal["usage", "usage_percentage", "remaining", "remaining_percentage"]
    feature_id: str | None = None
    enabled: bool | None = None
    name: str | None = None
    basis: str | None = None
    filter: JsonObject | None = None


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


_sorted = msgspec.json.Encoder(order="sorted")
_values = msgspec.json.Decoder(Values)
_SHAPES: dict[str, type[msgspec.Struct]] = {
    "billing_controls": BillingControls,
    "config": CustomerConfig,
}


def take_document(document: JsonObject, field: str) -> None:
    """Bring controls or a configuration into the form that is kept, and refuse another shape; other
    documents have no shape. What a filter compares becomes text, which is all that the answers of
    published clients may hold.

    Raises ``InvalidInputsError`` naming the place inside the field, and ``NotSupportedError`` for
    what nothing here goes by.
    """
    shape = _SHAPES.get(field.rpartition(".")[2])
    if shape is None:
        return
    try:
        msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        where = place.rstrip("`").replace("[...]", "").replace("[", ".").replace("]", "")
        raise InvalidInputsError(f"{field}{where}: {text[0].lower()}{text[1:]}") from error
    if shape is BillingControls:
        _refuse_unknown(document, field)
        _refuse_limits_of_nothing(document, field)
        for entry in document.get("usage_limits") or ():
            _spell(entry)
        _check_identities(document, field)


def _refuse_unknown(document: JsonObject, field: str) -> None:
    if document.get("balance_allocations") not in (None, []):
        raise NotSupportedError(f"{field}.balance_allocations: is not supported")
    for index, entry in enumerate(document.get("usage_alerts") or ()):
        if entry.get("basis") not in (None, BASIS):
            raise NotSupportedError(f"{field}.usage_alerts.{index}.basis: must be {BASIS}")
        if entry.get("filter") is not None:
            raise NotSupportedError(f"{field}.usage_alerts.{index}.filter: is not supported")


def _refuse_limits_of_nothing(document: JsonObject, field: str) -> None:
    """What a spend limit says of overage is about one feature (cold-path section 4.4)."""
    for index, entry in enumerate(document.get("spend_limits") or ()):
        for name in ("overage_limit", "skip_overage_billing"):
            if entry.get("feature_id") is None and entry.get(name) is not None:
                where = f"{field}.spend_limits.{index}.feature_id"
                raise InvalidInputsError(f"{where}: is required with {name}")


def shown_controls(document: JsonObject) -> JsonObject:
    """Return controls as they are answered."""
    limits = document.get("usage_limits")
    if not limits:
        return document
    return document | {"usage_limits": [shown_entry(entry) for entry in limits]}


def shown_entry(entry: JsonObject) -> JsonObject:
    """Return an entry as it is answered: several values of a filter are one text, their JSON."""
    properties = (entry.get("filter") or {}).get("properties") or {}
    if not any(isinstance(value, list) for value in properties.values()):
        return entry
    texts = {
        name: _sorted.encode(value).decode() if isinstance(value, list) else value
        for name, value in properties.items()
    }
    return entry | {"filter": entry["filter"] | {"properties": texts}}


def _spell(entry: JsonObject) -> None:
    properties = (entry.get("filter") or {}).get("properties") or {}
    for name, value in properties.items():
        several = value if isinstance(value, list) else _several(value)
        properties[name] = _spelled(value) if several is None else [_spelled(v) for v in several]


def _several(value: object) -> list[Scalar] | None:
    """Return the values a text was answered for, which whoever read it may send back."""
    if isinstance(value, str) and value.startswith("["):
        with contextlib.suppress(msgspec.DecodeError):
            return _values.decode(value)
    return None


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(_canonical(value))


def filter_text(entry: JsonObject) -> str:
    """Return the properties of a usage limit's filter as JSON that is equal for equal filters, in
    whatever order they were written; ``{}`` without a filter.
    """
    properties = (entry.get("filter") or {}).get("properties") or {}
    canonical = {name: _canonical(value) for name, value in properties.items()}
    return _sorted.encode(canonical).decode()


def _canonical(value: object) -> object:
    if isinstance(value, list):
        texts = {_sorted.encode(_canonical(one)) for one in value}
        return [msgspec.Raw(text) for text in sorted(texts)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_identities(document: JsonObject, field: str) -> None:
    for name in ("auto_topups", "spend_limits", "usage_limits", "overage_allowed"):
        seen: list[object] = []
        for index, entry in enumerate(document.get(name) or ()):
            identity = (entry.get("feature_id"), filter_text(entry))
            if identity in seen:
                first = seen.index(identity)
                what = "feature and filter" if name == "usage_limits" else "feature"
                raise InvalidInputsError(f"{field}.{name}.{index}: has the {what} of entry {first}")
            seen.append(identity)
