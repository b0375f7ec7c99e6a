"""Shape rules a decoder cannot say: which texts are ids, how long things may be, what excludes
what.

A rule checks one request and may tidy it (defaults of a page, white space in properties). It never
asks the catalog or Redis: whether an id exists is found out later. Ids pass through here before
they become part of a Redis key or of a tab-separated line, so no id may hold a control character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from gateway.amounts import json_type
from gateway.api.operation import Call
from gateway.errors import InvalidInputsError, InvalidRequestError, NotSupportedError
from gateway.messages.balances import CheckRequest, TrackRequest
from gateway.messages.billing import AttachRequest
from gateway.messages.common import ID_MAX, NAME_MAX, JsonObject, given, integer
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
from gateway.messages.events import EventListRequest
from gateway.messages.features import (
    FeatureCreateRequest,
    FeatureGetRequest,
    FeatureUpdateRequest,
)
from gateway.messages.plans import PlanCreateRequest, PlanGetRequest, PlanListRequest
from gateway.messages.subjects import CustomerData, EntityData

DOCUMENT_BYTES_MAX = 16 * 1024
"""Properties, metadata, controls and configuration, each; they travel with every outbox entry."""

DOCUMENT_DEPTH_MAX = 64
"""Levels in a document; far below what the encoder takes, so that no answer can fail on it."""

LIST_MAX = 100
"""Elements of a list in a request that states no other maximum."""

QUERY_MAX = 1_024
"""Characters of a search text or a cursor."""

OFFSET_MAX = 10_000_000
"""Rows an offset may skip; SQL reads them all."""

FUTURE_MS_MAX = 5_000
"""How far a clock of the caller may run ahead of ours."""

OVERAGE_BEHAVIORS = ("cap", "reject", "overflow")

_CUSTOMER_ID = re.compile(rf"[a-zA-Z0-9_:-]{{1,{ID_MAX}}}")
_PLAN_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{ID_MAX}}}")
_TEXT_ID = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{ID_MAX}}}")
_WHITE = re.compile(rb"[\n\r\t]")


def check(call: Call, request: CheckRequest) -> None:
    """``balances.check``."""
    _customer_id(request.customer_id)
    _text_id(request.feature_id, "feature_id")
    if request.entity_id is not None:
        _text_id(request.entity_id, "entity_id")
    _number(request.required_balance, "required_balance")
    request.properties = _properties(request.properties)
    _refuse_lock(request.lock)
    _subject(request.customer_data, request.entity_data)
    call.status = 200


def track(call: Call, request: TrackRequest) -> None:
    """``balances.track``."""
    _customer_id(request.customer_id)
    if (request.feature_id is None) == (request.event_name is None):
        raise InvalidInputsError("input: Either feature_id or event_name must be provided")
    _text_ids(
        feature_id=request.feature_id, event_name=request.event_name, entity_id=request.entity_id
    )
    _number(request.value, "value")
    request.properties = _properties(request.properties)
    request.timestamp = _timestamp(request.timestamp, call.now_ms)
    _overage(request)
    _refuse_lock(request.lock)
    _subject(request.customer_data, request.entity_data)


def customer_create(_: Call, request: CustomerCreateRequest) -> None:
    """``customers.get_or_create``."""
    _customer_id(request.customer_id)
    _customer_data(request, "")
    _length(request.expand, "expand")


def customer_named(_: Call, request: CustomerGetRequest) -> None:
    """``customers.get`` and ``customers.delete``."""
    _customer_id(request.customer_id)
    _length(getattr(request, "expand", None), "expand")


def customer_update(_: Call, request: CustomerUpdateRequest) -> None:
    """``customers.update``."""
    _customer_id(request.customer_id)
    if request.new_customer_id is not None:
        _customer_id(request.new_customer_id, "new_customer_id")
    for field in ("name", "email", "fingerprint", "stripe_id"):
        value = getattr(request, field)
        _name(None if value is msgspec.UNSET else value, field)
    _documents(
        metadata=request.metadata, billing_controls=request.billing_controls, config=request.config
    )


def customer_list(call: Call, request: CustomerListRequest) -> None:
    """``customers.list``."""
    _subject_filters(request)
    _page(call, request)


def entity_create(_: Call, request: EntityCreateRequest) -> None:
    """``entities.create``."""
    _customer_id(request.customer_id)
    _text_ids(entity_id=request.entity_id, feature_id=request.feature_id)
    _name(request.name, "name")
    _documents(billing_controls=request.billing_controls)
    _subject(request.customer_data, None)


def entity_named(_: Call, request: EntityGetRequest) -> None:
    """``entities.get`` and ``entities.delete``."""
    _text_id(request.entity_id, "entity_id")
    if request.customer_id is not None:
        _customer_id(request.customer_id)


def entity_update(_: Call, request: EntityUpdateRequest) -> None:
    """``entities.update``."""
    _text_id(request.entity_id, "entity_id")
    if request.customer_id is not None:
        _customer_id(request.customer_id)
    _documents(billing_controls=request.billing_controls)


def entity_list(call: Call, request: EntityListRequest) -> None:
    """``entities.list``."""
    if request.customer_id is not None:
        _customer_id(request.customer_id)
    _subject_filters(request)
    _page(call, request)


def attach(_: Call, request: AttachRequest) -> None:
    """``billing.attach``."""
    _customer_id(request.customer_id)
    _plan_id(request.plan_id)
    _text_ids(entity_id=request.entity_id)
    request.version = _whole(request.version, "version", 1, 1_000_000)
    _length(request.feature_quantities, "feature_quantities")
    for index, quantity in enumerate(request.feature_quantities or ()):
        _text_id(quantity.feature_id, f"feature_quantities.{index}.feature_id")
        _number(quantity.quantity, f"feature_quantities.{index}.quantity", required=True)
    if given(request.customize):
        raise NotSupportedError("customize: changing a plan while attaching it is not supported")
    _subject(request.customer_data, request.entity_data)


def feature_create(_: Call, request: FeatureCreateRequest) -> None:
    """``features.create``."""
    _text_id(request.feature_id, "feature_id")
    _feature(request)


def feature_update(_: Call, request: FeatureUpdateRequest) -> None:
    """``features.update``."""
    _text_ids(feature_id=request.feature_id, new_feature_id=request.new_feature_id)
    _feature(request)


def feature_named(_: Call, request: FeatureGetRequest) -> None:
    """``features.get`` and ``features.delete``."""
    _text_id(request.feature_id, "feature_id")


def plan_create(_: Call, request: PlanCreateRequest) -> None:
    """``plans.create``."""
    _plan_id(request.plan_id)
    _name(request.name, "name", least=1)
    _name(request.description, "description")
    _name(request.group, "group", most=ID_MAX)
    for index, item in enumerate(request.items or ()):
        _text_id(item.feature_id, f"items.{index}.feature_id")
        if item.entity_feature_id is not None:
            _text_id(item.entity_feature_id, f"items.{index}.entity_feature_id")
    _documents(metadata=request.metadata, billing_controls=request.billing_controls)


def plan_named(_: Call, request: PlanGetRequest) -> None:
    """``plans.get``."""
    _plan_id(request.plan_id)
    request.version = _whole(request.version, "version", 1, 1_000_000)


def plan_list(_: Call, request: PlanListRequest) -> None:
    """``plans.list``."""
    if request.customer_id is not None:
        _customer_id(request.customer_id)
    _text_ids(entity_id=request.entity_id)


def event_list(call: Call, request: EventListRequest) -> None:
    """``events.list``."""
    if request.customer_id is not None:
        _customer_id(request.customer_id)
    _text_ids(entity_id=request.entity_id)
    for feature_id in request.feature_ids:
        _text_id(feature_id, "feature_id")
    if request.custom_range is not None:
        start = _whole(request.custom_range.start, "custom_range.start", 0, 10**15)
        end = _whole(request.custom_range.end, "custom_range.end", 0, 10**15)
        if start is not None and end is not None and start >= end:
            raise InvalidInputsError("custom_range: start must be before end")
        request.custom_range.start, request.custom_range.end = start, end
    _page(call, request)


def nothing(_: Call, __: msgspec.Struct) -> None:
    """Accept whatever was decoded."""


def _customer_id(value: str, field: str = "customer_id") -> None:
    if _CUSTOMER_ID.fullmatch(value) is None:
        raise InvalidInputsError(
            f"{field}: must be 1 to {ID_MAX} letters, digits, underscores, hyphens or colons"
        )


def _plan_id(value: str, field: str = "plan_id") -> None:
    if _PLAN_ID.fullmatch(value) is None:
        raise InvalidInputsError(
            f"{field}: must be 1 to {ID_MAX} letters, digits, underscores or hyphens"
        )


def _text_id(value: str, field: str) -> None:
    if _TEXT_ID.fullmatch(value) is None:
        raise InvalidInputsError(
            f"{field}: must be 1 to {ID_MAX} characters, none of them a control character"
        )


def _text_ids(**ids: str | None) -> None:
    for field, value in ids.items():
        if value is not None:
            _text_id(value, field)


def _name(value: str | None, field: str, *, least: int = 0, most: int = NAME_MAX) -> None:
    if value is not None and not least <= len(value) <= most:
        raise InvalidInputsError(f"{field}: must be {least} to {most} characters")


def _number(value: msgspec.Raw, field: str, *, required: bool = False) -> None:
    raw = bytes(value)
    if (required or given(value)) and raw[:1] not in b"-0123456789":
        raise InvalidInputsError(f"{field}: must be a number (received {json_type(raw)})")


def _whole(value: float | None, field: str, least: int, most: int) -> int | None:
    whole = integer(value, field=field)
    if whole is not None and not least <= whole <= most:
        raise InvalidInputsError(f"{field}: must be {least} to {most}")
    return whole


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
    behavior = request.overage_behavior
    if behavior is None:
        return
    if behavior not in OVERAGE_BEHAVIORS:
        raise InvalidInputsError(f"overage_behavior: must be one of {', '.join(OVERAGE_BEHAVIORS)}")
    if behavior == "reject" and request.event_name is not None:
        raise InvalidRequestError("overage_behavior: reject needs a feature_id, not an event_name")


def _refuse_lock(lock: msgspec.Raw) -> None:
    if given(lock):
        raise NotSupportedError(
            "lock: holding a balance is not supported; use send_event to check and track at once"
        )


def _properties(value: msgspec.Raw) -> msgspec.Raw:
    if not given(value):
        return value
    raw = bytes(value)
    if raw[:1] != b"{":
        raise InvalidInputsError(f"properties: must be an object (received {json_type(raw)})")
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise InvalidInputsError(f"properties: must be at most {DOCUMENT_BYTES_MAX} bytes")
    if _WHITE.search(raw):
        # They become a column of a tab-separated line; inside strings JSON escapes both anyway.
        try:
            return msgspec.Raw(msgspec.json.format(raw, indent=-1))
        except RecursionError as error:
            raise InvalidInputsError("properties: nested too deeply") from error
    return value


def _documents(**documents: JsonObject | None) -> None:
    for field, document in documents.items():
        if document:
            _check_depth(document, field)
            if len(msgspec.json.encode(document)) > DOCUMENT_BYTES_MAX:
                raise InvalidInputsError(f"{field}: must be at most {DOCUMENT_BYTES_MAX} bytes")


def _check_depth(document: JsonObject, field: str) -> None:
    level: list[object] = [document]
    for _ in range(DOCUMENT_DEPTH_MAX):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise InvalidInputsError(f"{field}: nested too deeply (at most {DOCUMENT_DEPTH_MAX} levels)")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _length(values: list[object] | list[str] | None, field: str, most: int = LIST_MAX) -> None:
    if values is not None and len(values) > most:
        raise InvalidInputsError(f"{field}: must have at most {most} elements")


def _subject(customer: CustomerData | None, entity: EntityData | None) -> None:
    if customer is not None:
        _customer_data(customer, "customer_data.")
    if entity is not None:
        _text_id(entity.feature_id, "entity_data.feature_id")
        _name(entity.name, "entity_data.name")


def _customer_data(data: CustomerData, prefix: str) -> None:
    for field in ("name", "email", "fingerprint", "stripe_id"):
        _name(getattr(data, field), f"{prefix}{field}")
    if data.auto_enable_plan_id is not None:
        _plan_id(data.auto_enable_plan_id, f"{prefix}auto_enable_plan_id")
    _documents(
        **{
            f"{prefix}metadata": data.metadata,
            f"{prefix}billing_controls": data.billing_controls,
            f"{prefix}config": data.config,
        }
    )


def _feature(request: FeatureCreateRequest | FeatureUpdateRequest) -> None:
    _name(request.name, "name", least=1)
    for index, event_name in enumerate(request.event_names or ()):
        _text_id(event_name, f"event_names.{index}")
    for index, cost in enumerate(request.credit_schema or ()):
        _text_id(cost.metered_feature_id, f"credit_schema.{index}.metered_feature_id")
    if request.display is not None:
        _name(request.display.singular, "display.singular")
        _name(request.display.plural, "display.plural")


def _subject_filters(request: CustomerListRequest | EntityListRequest) -> None:
    _name(request.search, "search", most=QUERY_MAX)
    _length(request.plans, "plans")
    _length(request.processors, "processors")
    for index, plan in enumerate(request.plans or ()):
        plan_id = plan.get("id")
        if not isinstance(plan_id, str):
            raise InvalidInputsError(f"plans.{index}.id: must be a string")
        _plan_id(plan_id, f"plans.{index}.id")


def _page(call: Call, request: CustomerListRequest | EntityListRequest | EventListRequest) -> None:
    most = 5_000 if call.version.cursor_paging else 1_000
    request.limit = _whole(request.limit, "limit", 1, most) or 50
    request.offset = _whole(request.offset, "offset", 0, OFFSET_MAX) or 0
    _name(request.start_cursor, "start_cursor", most=QUERY_MAX)
    request.start_cursor = request.start_cursor or ""
