"""``entities.*``: seats, workspaces, projects under a customer."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Operation, always, asking
from gateway.api.resources import rules
from gateway.messages.common import Acknowledged
from gateway.messages.entities import (
    EntityCreateRequest,
    EntityGetRequest,
    EntityListRequest,
    EntityListResponse,
    EntityUpdateRequest,
    EntityView,
)

_LOOKUP = (
    errors.CustomerNotFoundError,
    errors.EntityNotFoundError,
    errors.EntityAmbiguousError,
)

OPERATIONS = (
    Operation(
        name="entities.create",
        summary="Create an entity",
        description=(
            "Creates an entity of a non-consumable feature and counts one unit of it. The entity "
            "gets its part of every per-entity plan item at once. A customer that does not exist "
            "is created."
        ),
        request=EntityCreateRequest,
        response=EntityView,
        handle=asking(lambda engine, call, request: engine.create_entity(call.env, request)),
        rule=rules.entity_create,
        errors=(
            errors.EntityExistsError,
            errors.FeatureNotFoundError,
            errors.FeatureLimitError,
            errors.PlanNotFoundError,
            errors.InvalidRequestError,
        ),
    ),
    Operation(
        name="entities.get",
        summary="Get an entity",
        description="Returns what the entity may spend: its own balances and the customer's.",
        request=EntityGetRequest,
        response=EntityView,
        handle=asking(lambda engine, call, request: engine.get_entity(call.env, request)),
        rule=rules.entity_named,
        errors=_LOOKUP,
        reads=always,
    ),
    Operation(
        name="entities.update",
        summary="Update an entity",
        description="Replaces the arrays of `billing_controls` that are sent.",
        request=EntityUpdateRequest,
        response=EntityView,
        handle=asking(lambda engine, call, request: engine.update_entity(call.env, request)),
        rule=rules.entity_update,
        errors=_LOOKUP,
    ),
    Operation(
        name="entities.list",
        summary="List entities",
        description=(
            "Newest first, of one customer or of all. `plans` and `subscription_status` look at "
            "what an entity shows: its own plans and its customer's. From version 2.3 on, pass "
            "`next_cursor` as `start_cursor` until it is null; `offset` works in any. No customer "
            "has a payment processor: filtered by one, the list is empty."
        ),
        request=EntityListRequest,
        response=EntityListResponse,
        handle=asking(
            lambda engine, call, request: engine.list_entities(
                call.env, request, cursor_paging=rules.by_cursor(call, request)
            )
        ),
        rule=rules.entity_list,
        errors=(
            errors.InvalidCursorError,
            errors.CustomerNotFoundError,
        ),
        reads=always,
    ),
    Operation(
        name="entities.delete",
        summary="Delete an entity",
        description="Deletes the entity with what it holds and gives its unit back.",
        request=EntityGetRequest,
        response=Acknowledged,
        handle=asking(lambda engine, call, request: engine.delete_entity(call.env, request)),
        rule=rules.entity_named,
        errors=_LOOKUP,
    ),
)
