"""What a decoder cannot say of a request for events: their ranges, groups and filters."""

from __future__ import annotations

from gateway.api.operation import Call
from gateway.api.resources import rules, shapes
from gateway.engine.aggregates import BILLING_RANGES, BIN_SIZES, LENGTHS
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.messages.common import ID_MAX, NAME_MAX, one_of, whole
from gateway.messages.events import FILTERS_MAX, AggregateRequest, EventListRequest
from gateway.ports import PROPERTY_PREFIX

MAX_GROUPS_MAX = 250
"""Groups an answer may show by name."""

RANGES = (*LENGTHS, *BILLING_RANGES)
GROUPS = ("$customer_id", "$entity_id", "$plan_id", "$feature_id")


def event_list(call: Call, request: EventListRequest) -> None:
    """``events.list``."""
    _selection(request)
    rules.page(call, request)


def event_aggregate(_: Call, request: AggregateRequest) -> None:
    """``events.aggregate``."""
    if not request.feature_ids:
        raise InvalidInputsError("feature_id: must name at least one feature")
    _selection(request)
    custom = request.custom_range
    if custom is not None and None in (custom.start, custom.end):
        raise InvalidInputsError("custom_range: start and end are required")
    one_of(request.bin_size, BIN_SIZES, "bin_size")
    one_of(request.measure, ("sum", "count"), "measure")
    if request.timezone not in (None, "UTC"):
        raise NotSupportedError("timezone: bins are aligned to UTC")
    request.max_groups = whole(request.max_groups, "max_groups", 1, MAX_GROUPS_MAX)
    _group(request)
    _deducted(request)


def _group(request: AggregateRequest) -> None:
    group = request.group_by
    if group is None:
        return
    if group.startswith(PROPERTY_PREFIX):
        shapes.text_id(group.removeprefix(PROPERTY_PREFIX), "group_by")
    elif group not in GROUPS:
        raise InvalidInputsError(
            f"group_by: must be properties.<name> or one of {', '.join(GROUPS)}"
        )
    if group == "$feature_id" and request.aggregate_on is None:
        raise InvalidInputsError("group_by: $feature_id needs aggregate_on")


def _deducted(request: AggregateRequest) -> None:
    if request.aggregate_on is None:
        return
    one_of(request.aggregate_on, ("deducted",), "aggregate_on")
    if request.customer_id is None:
        raise InvalidInputsError("aggregate_on: needs customer_id")
    if request.filter_by:
        raise InvalidInputsError("aggregate_on: cannot be combined with filter_by")


def _selection(request: AggregateRequest | EventListRequest) -> None:
    shapes.customer_id(request.customer_id)
    shapes.text_ids(entity_id=request.entity_id)
    for feature_id in request.feature_ids:
        shapes.text_id(feature_id, "feature_id")
    _range(request)
    filters = request.filter_by or {}
    if len(filters) > FILTERS_MAX:
        raise InvalidInputsError(f"filter_by: must have at most {FILTERS_MAX} properties")
    for name, value in filters.items():
        if not 1 <= len(name) <= ID_MAX:
            raise InvalidInputsError(f"filter_by: a property name has 1 to {ID_MAX} characters")
        shapes.name(value, f"filter_by.{name}", most=NAME_MAX)


def _range(request: AggregateRequest | EventListRequest) -> None:
    custom = request.custom_range
    if custom is not None:
        start = whole(custom.start, "custom_range.start", 0, shapes.TIME_MS_MAX)
        end = whole(custom.end, "custom_range.end", 0, shapes.TIME_MS_MAX)
        if start is not None and end is not None and start >= end:
            raise InvalidInputsError("custom_range: start must be before end")
        custom.start, custom.end = start, end
    if request.range is None:
        return
    one_of(request.range, RANGES, "range")
    if custom is not None:
        raise InvalidInputsError("range: cannot be combined with custom_range")
    if request.customer_id is None and request.range in BILLING_RANGES:
        raise InvalidInputsError(f"range: {request.range} needs customer_id")
