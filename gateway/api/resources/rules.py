"""What a decoder cannot say of a request: which fields exclude each other, which shapes they have.

A rule checks one request and may tidy it: 2.0 becomes 2, properties lose line breaks. It never asks
the catalog or Redis: whether an id exists is found out later.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.amounts import parse_decimal
from gateway.api.operation import Call
from gateway.api.resources import shapes
from gateway.engine.claims import KEY_MAX
from gateway.errors import InvalidInputsError, InvalidRequestError, NotSupportedError
from gateway.messages.balances import CheckRequest, FinalizeRequest, LockRequest, TrackRequest
from gateway.messages.common import ID_MAX, JsonObject, given, integer, one_of, whole
from gateway.messages.customers import (
    CustomerCreateRequest,
    CustomerGetRequest,
    CustomerListRequest,
    CustomerUpdateRequest,
)
from gateway.messages.entities import (
    EntityCreateRequest,
    EntityGetRequest,
    EntityListRequest,
    EntityUpdateRequest,
)
from gateway.messages.features import (
    CreditCostRequest,
    FeatureCreateRequest,
    FeatureGetRequest,
    FeatureUpdateRequest,
)
from gateway.messages.pages import PageRequest, SubjectsRequest
from gateway.messages.plans import (
    PlanCreateRequest,
    PlanGetRequest,
    PlanItemRequest,
    PlanListRequest,
)
from gateway.messages.subjects import CustomerData, EntityData

VERSION_MAX = 1_000_000
"""Highest version of a plan anybody may name."""

QUERY_MAX = 1_024
"""Characters of a search text or a cursor."""

LIMIT_MAX = 5_000
"""Rows of a page that is asked for by cursor."""

OFFSET_MAX = 10_000_000
"""Rows an offset may skip; SQL reads them all."""

FUTURE_MS_MAX = 5_000
"""How far a clock of the caller may run ahead of ours."""

SORT_ORDERS = ("asc", "desc")
PROCESSORS = ("stripe", "revenuecat", "vercel")
FINALIZE_ACTIONS = ("confirm", "release")

LOCK_ID_MAX = 256
"""Characters of a lock id."""

OVERAGE_BEHAVIORS = ("cap", "reject", "overflow")

_OF_ITEMS = ("expiry", "feature_override", "threshold_billing")
"""What published clients may say of an item and no plan here can do."""


def check(_: Call, request: CheckRequest) -> None:
    """``balances.check``."""
    shapes.customer_id(request.customer_id)
    shapes.text_id(request.feature_id, "feature_id")
    shapes.text_id(request.entity_id, "entity_id")
    shapes.number(request.required_balance, "required_balance")
    request.properties = shapes.properties(request.properties)
    _lock(request.lock)
    if request.lock is not None:
        one_of(request.lock.overage_behavior, OVERAGE_BEHAVIORS, "lock.overage_behavior")
    subject_data(request.customer_data, request.entity_data, request.entity_id)


def track(call: Call, request: TrackRequest) -> None:
    """``balances.track``."""
    shapes.customer_id(request.customer_id)
    if (request.feature_id is None) == (request.event_name is None):
        raise InvalidInputsError("input: Either feature_id or event_name must be provided")
    shapes.text_ids(
        feature_id=request.feature_id, event_name=request.event_name, entity_id=request.entity_id
    )
    shapes.number(request.value, "value")
    request.properties = shapes.properties(request.properties)
    request.timestamp = _timestamp(request.timestamp, call.now_ms)
    _overage(request)
    _lock(request.lock)
    if request.dry_run and request.lock is not None:
        raise InvalidRequestError("dry_run: a dry run cannot hold anything; leave lock out")
    if request.idempotency_key is not None and not 1 <= len(request.idempotency_key) <= KEY_MAX:
        raise InvalidInputsError(f"idempotency_key: must be 1 to {KEY_MAX} characters")
    subject_data(request.customer_data, request.entity_data, request.entity_id)


def finalize(_: Call, request: FinalizeRequest) -> None:
    """``balances.finalize``."""
    _lock_id(request.lock_id, "lock_id")
    shapes.customer_id(request.customer_id)
    one_of(request.action, FINALIZE_ACTIONS, "action")
    shapes.number(request.override_value, "override_value")
    if request.action == "release" and given(request.override_value):
        raise InvalidInputsError("override_value: a lock that is released has none")
    request.properties = shapes.properties(request.properties)


def customer_create(_: Call, request: CustomerCreateRequest) -> None:
    """``customers.get_or_create``."""
    shapes.customer_id(request.customer_id)
    if request.customer_id is None and not request.email:
        raise InvalidInputsError("email: is required where customer_id is null")
    _customer_data(request, "")
    shapes.length(request.expand, "expand")


def customer_named(_: Call, request: CustomerGetRequest) -> None:
    """``customers.get`` and ``customers.delete``."""
    shapes.customer_id(request.customer_id)
    shapes.length(getattr(request, "expand", None), "expand")


def customer_update(_: Call, request: CustomerUpdateRequest) -> None:
    """``customers.update``."""
    shapes.customer_id(request.customer_id)
    shapes.customer_id(request.new_customer_id, "new_customer_id")
    for field in ("name", "email", "fingerprint", "stripe_id"):
        value = getattr(request, field)
        shapes.name(None if value is msgspec.UNSET else value, field)
    shapes.email(request.email or None, "email")
    shapes.documents(
        metadata=request.metadata, billing_controls=request.billing_controls, config=request.config
    )


def customer_list(call: Call, request: CustomerListRequest) -> None:
    """``customers.list``."""
    created = request.created_at_range
    if created is not None:
        start = whole(created.start, "created_at_range.start", 0, shapes.TIME_MS_MAX)
        end = whole(created.end, "created_at_range.end", 0, shapes.TIME_MS_MAX)
        if start is not None and end is not None and start > end:
            raise InvalidInputsError("created_at_range: start must not be after end")
        created.start, created.end = start, end
    one_of(request.sort_order, SORT_ORDERS, "sort_order")
    _subject_filters(request)
    page(call, request)


def entity_create(_: Call, request: EntityCreateRequest) -> None:
    """``entities.create``."""
    shapes.customer_id(request.customer_id)
    shapes.new_entity_id(request.entity_id)
    shapes.text_id(request.feature_id, "feature_id")
    shapes.name(request.name, "name")
    _entity_controls(request.billing_controls)
    subject_data(request.customer_data, None)


def entity_named(_: Call, request: EntityGetRequest) -> None:
    """``entities.get`` and ``entities.delete``."""
    shapes.text_id(request.entity_id, "entity_id")
    shapes.customer_id(request.customer_id)


def entity_update(_: Call, request: EntityUpdateRequest) -> None:
    """``entities.update``."""
    shapes.text_id(request.entity_id, "entity_id")
    shapes.customer_id(request.customer_id)
    _entity_controls(request.billing_controls)


def _entity_controls(controls: JsonObject | None, prefix: str = "") -> None:
    """Refuse controls that only customers and plans have (cold-path section 4.4)."""
    field = f"{prefix}billing_controls"
    shapes.documents(**{field: controls})
    if controls and controls.get("auto_topups"):
        raise InvalidInputsError(f"{field}.auto_topups: an entity has none")


def entity_list(call: Call, request: EntityListRequest) -> None:
    """``entities.list``."""
    shapes.customer_id(request.customer_id)
    _subject_filters(request)
    page(call, request)


def feature_create(_: Call, request: FeatureCreateRequest) -> None:
    """``features.create``."""
    shapes.text_id(request.feature_id, "feature_id")
    _feature(request)


def feature_update(_: Call, request: FeatureUpdateRequest) -> None:
    """``features.update``."""
    shapes.text_ids(feature_id=request.feature_id, new_feature_id=request.new_feature_id)
    _feature(request)


def feature_named(_: Call, request: FeatureGetRequest) -> None:
    """``features.get`` and ``features.delete``."""
    shapes.text_id(request.feature_id, "feature_id")


def plan_create(_: Call, request: PlanCreateRequest) -> None:
    """``plans.create``."""
    shapes.plan_id(request.plan_id)
    shapes.name(request.name, "name", least=1)
    shapes.name(request.description, "description")
    shapes.name(request.group, "group", most=ID_MAX)
    plan_items(request.items or (), "items")
    shapes.documents(metadata=request.metadata, billing_controls=request.billing_controls)


def plan_items(items: Sequence[PlanItemRequest], field: str) -> None:
    """Refuse items that name no feature, or ask for what is not there; ``field`` is where they
    stand.
    """
    for index, item in enumerate(items):
        shapes.text_id(item.feature_id, f"{field}.{index}.feature_id")
        shapes.refuse_given(item, _OF_ITEMS, "is not supported", f"{field}.{index}.")
        shapes.text_id(item.entity_feature_id, f"{field}.{index}.entity_feature_id")


def plan_named(_: Call, request: PlanGetRequest) -> None:
    """``plans.get``."""
    shapes.plan_id(request.plan_id)
    request.version = whole(request.version, "version", 1, VERSION_MAX)


def plan_list(_: Call, request: PlanListRequest) -> None:
    """``plans.list``."""
    shapes.customer_id(request.customer_id)
    shapes.text_ids(entity_id=request.entity_id)


def nothing(_: Call, __: msgspec.Struct) -> None:
    """Accept whatever was decoded."""


def _timestamp(value: float | None, now_ms: int) -> int | None:
    timestamp = integer(value, field="timestamp")
    if timestamp is None:
        return None
    if timestamp <= 0:
        raise InvalidInputsError("timestamp: must be greater than 0 (Unix milliseconds)")
    if timestamp > now_ms + FUTURE_MS_MAX:
        raise InvalidInputsError("timestamp: must not be in the future")
    return timestamp


def _overage(request: TrackRequest) -> None:
    one_of(request.overage_behavior, OVERAGE_BEHAVIORS, "overage_behavior")
    if request.overage_behavior == "reject" and request.event_name is not None:
        raise InvalidRequestError("overage_behavior: reject needs a feature_id, not an event_name")


def _lock(lock: LockRequest | None) -> None:
    if lock is None:
        return
    _lock_id(lock.lock_id, "lock.lock_id")
    if not lock.enabled:
        raise InvalidInputsError("lock.enabled: must be true")


def _lock_id(lock_id: str, field: str) -> None:
    if not 1 <= len(lock_id) <= LOCK_ID_MAX or not lock_id.isprintable():
        raise InvalidInputsError(f"{field}: must be 1 to {LOCK_ID_MAX} printable characters")


def subject_data(
    customer: CustomerData | None, entity: EntityData | None, entity_id: str | None = None
) -> None:
    """Refuse what no customer or entity can be created from."""
    if customer is not None:
        _customer_data(customer, "customer_data.")
    if entity is not None:
        if entity_id is not None:
            shapes.new_entity_id(entity_id)
        shapes.text_id(entity.feature_id, "entity_data.feature_id")
        shapes.name(entity.name, "entity_data.name")
        _entity_controls(entity.billing_controls, "entity_data.")


def _customer_data(data: CustomerData, prefix: str) -> None:
    for field in ("name", "email", "fingerprint", "stripe_id"):
        shapes.name(getattr(data, field), f"{prefix}{field}")
    shapes.plan_id(data.auto_enable_plan_id, f"{prefix}auto_enable_plan_id")
    shapes.email(data.email, f"{prefix}email")
    shapes.documents(
        **{
            f"{prefix}metadata": data.metadata,
            f"{prefix}billing_controls": data.billing_controls,
            f"{prefix}config": data.config,
        }
    )


def _feature(request: FeatureCreateRequest | FeatureUpdateRequest) -> None:
    shapes.name(request.name, "name", least=1)
    for index, event_name in enumerate(request.event_names or ()):
        shapes.text_id(event_name, f"event_names.{index}")
    for index, cost in enumerate(request.credit_schema or ()):
        _credit_cost(cost, f"credit_schema.{index}.")
    if request.display is not None:
        shapes.name(request.display.singular, "display.singular")
        shapes.name(request.display.plural, "display.plural")


def _credit_cost(cost: CreditCostRequest, prefix: str) -> None:
    shapes.text_id(cost.metered_feature_id, f"{prefix}metered_feature_id")
    shapes.refuse_given(cost, ("dimensions", "multipliers"), "is not supported", prefix)
    field = f"{prefix}billing_units"
    shapes.number(cost.billing_units, field)
    if given(cost.billing_units) and parse_decimal(bytes(cost.billing_units), field=field) != 1:
        raise NotSupportedError(f"{field}: must be 1; say in credit_cost what one unit costs")


def _subject_filters(request: SubjectsRequest) -> None:
    shapes.name(request.search, "search", most=QUERY_MAX)
    shapes.length(request.plans, "plans")
    shapes.length(request.processors, "processors")
    for index, plan in enumerate(request.plans or ()):
        plan_id = plan.get("id")
        if not isinstance(plan_id, str):
            raise InvalidInputsError(f"plans.{index}.id: must be a string")
        shapes.plan_id(plan_id, f"plans.{index}.id")
        _versions(plan.get("versions"), f"plans.{index}.versions")
    for index, processor in enumerate(request.processors or ()):
        one_of(processor, PROCESSORS, f"processors.{index}")
    one_of(request.subscription_status, ("active", "scheduled"), "subscription_status")


def _versions(versions: object, field: str) -> None:
    if versions is None:
        return
    if not isinstance(versions, list):
        raise InvalidInputsError(f"{field}: must be an array")
    shapes.length(versions, field)
    for index, version in enumerate(versions):
        if isinstance(version, bool) or not isinstance(version, int | float):
            raise InvalidInputsError(f"{field}.{index}: must be a number")
        whole(version, f"{field}.{index}", 1, VERSION_MAX)


def by_cursor(call: Call, request: PageRequest) -> bool:
    """Whether a list is paged by cursor: from 2.3 on, unless it is asked for by offset alone, as
    PyPI autumn-sdk 1.0 does, which means 2.2 and does not say so.
    """
    by_offset = request.offset is not None and request.start_cursor is None
    return call.version.cursor_paging and not by_offset


def page(call: Call, request: PageRequest) -> None:
    """Refuse a page that is too large for its paging, or begins too far away."""
    most = LIMIT_MAX if by_cursor(call, request) else 1_000
    request.limit = whole(request.limit, "limit", 1, most)
    request.offset = whole(request.offset, "offset", 0, OFFSET_MAX)
    shapes.name(request.start_cursor, "start_cursor", most=QUERY_MAX)
