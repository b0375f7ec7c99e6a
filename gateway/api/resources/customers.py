"""``customers.*``."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Call, Operation, Services, always
from gateway.api.resources import rules
from gateway.engine.controls import own_controls
from gateway.messages.common import ACKNOWLEDGED, Acknowledged
from gateway.messages.customers import (
    CustomerCreateRequest,
    CustomerDeleteRequest,
    CustomerGetRequest,
    CustomerListRequest,
    CustomerListResponse,
    CustomerUpdateRequest,
    CustomerView,
)


async def _create(services: Services, call: Call, request: CustomerCreateRequest) -> CustomerView:
    return _shown(call, await services.engine.get_or_create_customer(call.env, request))


async def _get(services: Services, call: Call, request: CustomerGetRequest) -> CustomerView:
    return _shown(call, await services.engine.get_customer(call.env, request))


async def _update(services: Services, call: Call, request: CustomerUpdateRequest) -> CustomerView:
    return _shown(call, await services.engine.update_customer(call.env, request))


async def _list(
    services: Services, call: Call, request: CustomerListRequest
) -> CustomerListResponse:
    page = await services.engine.list_customers(
        call.env, request, cursor_paging=rules.by_cursor(call, request)
    )
    for view in page.list:
        _shown(call, view)
    return page


def _shown(call: Call, view: CustomerView) -> CustomerView:
    """Return a customer as the version of the call shows it."""
    if not call.version.plan_controls:
        view.billing_controls = own_controls(view.billing_controls)
    return view


async def _delete(services: Services, call: Call, request: CustomerDeleteRequest) -> Acknowledged:
    if await services.tokens.are_minted():
        # A 404 comes first, so that it changes nothing; a token must not outlive its customer, for
        # another one may be created under the id.
        named = CustomerGetRequest(customer_id=request.customer_id)
        await services.engine.get_customer(call.env, named)
        await services.tokens.revoke(call.env, request.customer_id)
    await services.engine.delete_customer(call.env, request)
    return ACKNOWLEDGED


OPERATIONS = (
    Operation(
        name="customers.get_or_create",
        summary="Get or create a customer",
        description=(
            "Returns the customer, created with the plans that enable themselves if there is none "
            "with this id. Calling it again changes nothing. Without an id (null) a customer is "
            "known by its `email`, in any case of letters; the first call with a new id and that "
            "email gives it the id."
        ),
        request=CustomerCreateRequest,
        response=CustomerView,
        handle=_create,
        rule=rules.customer_create,
        errors=(errors.PlanNotFoundError, errors.InvalidRequestError),
    ),
    Operation(
        name="customers.get",
        summary="Get a customer",
        description="Returns the customer; its balances include what its entities hold.",
        request=CustomerGetRequest,
        response=CustomerView,
        handle=_get,
        rule=rules.customer_named,
        errors=(errors.CustomerNotFoundError,),
        reads=always,
    ),
    Operation(
        name="customers.update",
        summary="Update a customer",
        description="Changes what is sent. Metadata is merged; a null value removes its key.",
        request=CustomerUpdateRequest,
        response=CustomerView,
        handle=_update,
        rule=rules.customer_update,
        errors=(
            errors.CustomerNotFoundError,
            errors.NotSupportedError,
        ),
    ),
    Operation(
        name="customers.list",
        summary="List customers",
        description=(
            "Newest first, or oldest first with `sort_order` `asc`. From version 2.3 on, pass "
            "`next_cursor` as `start_cursor`, with the same `sort_order`, until it is null; "
            "`offset` works in any. No customer has a payment processor: filtered by one, the list "
            "is empty."
        ),
        request=CustomerListRequest,
        response=CustomerListResponse,
        handle=_list,
        rule=rules.customer_list,
        errors=(errors.InvalidCursorError,),
        reads=always,
    ),
    Operation(
        name="customers.delete",
        summary="Delete a customer",
        description=(
            "Deletes the customer with its entities and balances, and ends its tokens; its events "
            "are kept."
        ),
        request=CustomerDeleteRequest,
        response=Acknowledged,
        handle=_delete,
        rule=rules.customer_named,
        errors=(errors.CustomerNotFoundError,),
    ),
)
