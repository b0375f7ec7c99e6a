"""Customers and entities."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway.api.legacy import messages as old
from gateway.api.legacy import views
from gateway.api.operation import Call, Handler, Services
from gateway.api.resources import rules, shapes
from gateway.engine.engine import Engine
from gateway.errors import InvalidInputsError, UnavailableError, UnknownOutcomeError
from gateway.messages.customers import CustomerListRequest, CustomerView
from gateway.messages.entities import (
    EntityCreateRequest,
    EntityListRequest,
    EntityUpdateRequest,
)
from gateway.messages.pages import Page


def _customer(act: Callable[[Engine, str, Any], Awaitable[CustomerView]]) -> Handler:
    async def handle(services: Services, call: Call, request: msgspec.Struct) -> old.Customer:
        view = await act(services.engine, call.env, request)
        return await views.customer(services, view)

    return handle


get_or_create_customer = _customer(
    lambda engine, env, request: engine.get_or_create_customer(env, request)
)
get_customer = _customer(lambda engine, env, request: engine.get_customer(env, request))
update_customer = _customer(lambda engine, env, request: engine.update_customer(env, request))


async def list_customers(
    services: Services, call: Call, request: CustomerListRequest
) -> old.CustomerPage:
    """``customers.list``."""
    page = await services.engine.list_customers(call.env, request, cursor_paging=False)
    return old.CustomerPage(
        list=[await views.customer(services, view) for view in page.list],
        **_paging(page),
    )


def create_rule(call: Call, request: old.EntitiesCreateRequest) -> None:
    """Refuse a request that names no entity, or one of them twice."""
    if request.entities is None:
        if request.entity_id is None:
            raise InvalidInputsError("id: is required")
        if request.feature_id is None:
            raise InvalidInputsError("feature_id: is required")
    for index, creation in enumerate(_creations(request)):
        call.sent_as = _names_in(request, index)
        rules.entity_create(call, creation)
    ids = [one.id for one in request.entities or ()]
    if len(set(ids)) < len(ids):
        raise InvalidInputsError("id: the same one is there twice")


async def create_entities(
    services: Services, call: Call, request: old.EntitiesCreateRequest
) -> old.Entity | old.EntityPage:
    """``entities.create``; several are created only if each of them may be."""
    creations = _creations(request)
    if len(creations) > 1:
        await services.engine.check_entities(call.env, creations)
    made: list[old.Entity] = []
    for index, creation in enumerate(creations):
        call.sent_as = _names_in(request, index)
        try:
            view = await services.engine.create_entity(call.env, creation)
        except UnavailableError as error:
            if made:  # the error would say that nothing was changed
                raise UnknownOutcomeError from error
            raise
        made.append(await views.entity(services, view))
    return made[0] if len(made) == 1 else old.EntityPage(list=made)


async def get_entity(services: Services, call: Call, request: old.EntityGetOf) -> old.Entity:
    """``entities.get``."""
    view = await services.engine.get_entity(call.env, request)
    return await views.entity(services, view, request.expand)


async def update_entity(services: Services, call: Call, request: EntityUpdateRequest) -> old.Entity:
    """``entities.update``."""
    view = await services.engine.update_entity(call.env, request)
    return await views.entity(services, view)


async def list_entities(
    services: Services, call: Call, request: EntityListRequest
) -> old.EntityPage:
    """``entities.list``."""
    page = await services.engine.list_entities(call.env, request, cursor_paging=False)
    return old.EntityPage(
        list=[await views.entity(services, view) for view in page.list],
        **_paging(page),
    )


def _paging(page: Page[Any]) -> dict[str, Any]:
    return {name: getattr(page, name) for name in ("has_more", "offset", "limit", "total")}


def get_rule(call: Call, request: old.EntityGetOf) -> None:
    """Refuse what names no entity."""
    rules.entity_named(call, request)
    shapes.length(request.expand, "expand")


def _names_in(request: old.EntitiesCreateRequest, index: int) -> dict[str, str]:
    """Return what the fields of an entity are called, alone or in a list."""
    if request.entities is None:
        return {"entity_id": "id"}
    place = f"entities.{index}"
    as_today = {name: f"{place}.{name}" for name in ("feature_id", "name", "billing_controls")}
    return {"entity_id": f"{place}.id", **as_today}


def _creations(request: old.EntitiesCreateRequest) -> list[EntityCreateRequest]:
    given = request.entities
    if given is None:
        given = [
            old.EntityFields(
                id=request.entity_id or "",
                feature_id=request.feature_id or "",
                name=request.name,
                billing_controls=request.billing_controls,
            )
        ]
    return [
        EntityCreateRequest(
            customer_id=request.customer_id,
            entity_id=one.id,
            feature_id=one.feature_id,
            name=one.name,
            billing_controls=one.billing_controls,
            customer_data=one.customer_data or request.customer_data,
        )
        for one in given
    ]
