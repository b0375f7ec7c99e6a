"""``events.list`` and ``events.aggregate``: what was tracked, from SQL."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Operation, always, asking
from gateway.api.resources import event_rules, rules
from gateway.messages.events import (
    AggregateRequest,
    AggregateResponse,
    EventListRequest,
    EventListResponse,
)

OPERATIONS = (
    Operation(
        name="events.list",
        summary="List events",
        description=(
            "Usage events, newest first, each with what was asked for and what moved. From version "
            "2.3 on, pass `next_cursor` as `start_cursor` until it is null; `offset` works in any. "
            "`filter_by` keeps the events whose properties have these texts; `range` is one of "
            "those of `events.aggregate`."
        ),
        request=EventListRequest,
        response=EventListResponse,
        handle=asking(
            lambda engine, call, request: engine.list_events(
                call.env, request, cursor_paging=rules.by_cursor(call, request)
            )
        ),
        rule=event_rules.event_list,
        errors=(
            errors.InvalidCursorError,
            errors.CustomerNotFoundError,
        ),
        reads=always,
    ),
    Operation(
        name="events.aggregate",
        summary="Sum usage over time",
        description=(
            "Values of events in bins of `bin_size` (`hour`, `day`, `week`, `month`; in UTC), also "
            "the empty ones. `range` is `24h`, `7d`, `30d`, `90d`, or a billing cycle of the "
            "customer: `1bc` (the current one), `3bc`, `last_cycle`; or send `custom_range`. "
            "`group_by` is `properties.<name>`, `$customer_id`, `$entity_id`, `$plan_id` or "
            "`$feature_id`; the `max_groups` largest groups of the range keep their name, the "
            "others are `Other`, and events without one are `null`. `aggregate_on: deducted` adds "
            "what each balance gave."
        ),
        request=AggregateRequest,
        response=AggregateResponse,
        handle=asking(lambda engine, call, request: engine.aggregate_events(call.env, request)),
        rule=event_rules.event_aggregate,
        errors=(
            errors.NotSupportedError,
            errors.CustomerNotFoundError,
            errors.FeatureNotFoundError,
        ),
        reads=always,
    ),
)
