"""Check, track, and balances. In 1.2 a check or a track creates the customer on the way, and an
entity whose data is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from gateway.api.legacy import messages as old
from gateway.api.legacy import previews, views
from gateway.api.operation import Call, Services
from gateway.api.resources import balances, grant_rules, rules, shapes
from gateway.errors import EntityNotFoundError, InvalidInputsError
from gateway.messages.balances import TrackRequest
from gateway.messages.common import ACKNOWLEDGED, Acknowledged, given
from gateway.messages.customers import (
    CustomerCreateRequest,
    CustomerGetRequest,
    PurchaseView,
    SubscriptionView,
)
from gateway.messages.entities import EntityGetRequest
from gateway.messages.events import AggregateRequest, UsageBin
from gateway.messages.grants import BalanceUpdateRequest, UsageSetRequest
from gateway.messages.subjects import CustomerData

_decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def check_rule(call: Call, request: old.CheckOf) -> None:
    """Refuse a check of no feature or product, or of both."""
    if bool(request.feature_id) == (request.product_id is not None):
        raise InvalidInputsError("input: Either feature_id or product_id must be provided")
    if given(request.required_quantity) and not given(request.required_balance):
        call.sent_as = {"required_balance": "required_quantity"}
        request.required_balance = request.required_quantity
    if request.product_id is None:
        rules.check(call, request)
        return
    shapes.plan_id(request.product_id, "product_id")
    named = msgspec.structs.replace(request, feature_id=request.product_id)
    rules.check(call, named)


async def check(
    services: Services, call: Call, request: old.CheckOf
) -> old.FeatureVerdict | old.ProductVerdict:
    """``balances.check``."""
    if not call.restricted:
        request.customer_data = request.customer_data or CustomerData()
    if request.product_id is not None:
        return await _check_product(services, call, request, request.product_id)
    with _described(call):
        response = await previews.check(services, call, request)
    return views.verdict(response, request.feature_id)


def spends(request: old.CheckOf) -> bool:
    """Whether a check uses or holds units."""
    return request.product_id is None and balances.spends(request)


def track_rule(call: Call, request: TrackRequest) -> None:
    """Let a number in ``properties.value`` be the value that was left out."""
    rules.track(call, request)
    if given(request.value) or not given(request.properties):
        return
    properties = _decode_properties(bytes(request.properties))
    value = bytes(properties.get("value", b""))
    if value[:1] and value[:1] in b"-0123456789":
        request.value = properties.pop("value")
        request.properties = msgspec.Raw(msgspec.json.encode(properties))


async def track(services: Services, call: Call, request: TrackRequest) -> old.TrackReceipt:
    """``balances.track``."""
    if not call.restricted:
        request.customer_data = request.customer_data or CustomerData()
    with _described(call):
        response = await balances.track(services, call, request)
    return old.TrackReceipt(
        customer_id=response.customer_id,
        entity_id=response.entity_id,
        feature_id=request.feature_id or msgspec.UNSET,
        event_name=response.event_name,
    )


async def set_usage(services: Services, call: Call, request: UsageSetRequest) -> old.UsageReceipt:
    """``usage``."""
    await services.engine.set_usage(call.env, request, call.request_id)
    return old.UsageReceipt(customer_id=request.customer_id, feature_id=request.feature_id)


def grant_rule(call: Call, request: old.GrantOf) -> None:
    """Let ``granted_balance`` mean ``included_grant``."""
    if given(request.granted_balance):
        if given(request.included_grant):
            raise InvalidInputsError("granted_balance: excludes included_grant")
        call.sent_as = {"included_grant": "granted_balance"}
        request.included_grant = request.granted_balance
    grant_rules.create(call, request)


def balances_rule(call: Call, request: old.BalancesRequest) -> None:
    """Refuse what names no balance."""
    if request.balances is None:
        if request.feature_id is None:
            raise InvalidInputsError("balances: is required")
        grant_rules.set_usage(call, _usage(request, request.feature_id))
        return
    for index, one in enumerate(request.balances):
        shapes.number(one.balance, f"balances.{index}.balance", required=True)
        call.sent_as = _names_in(index, one)
        grant_rules.update(call, _update(request, one))


async def set_balances(
    services: Services, call: Call, request: old.BalancesRequest
) -> Acknowledged:
    """Set what is left of features, or what is used of one."""
    engine = services.engine
    if request.balances is None:
        usage = _usage(request, request.feature_id or "")
        await engine.set_usage(call.env, usage, call.request_id)
        return ACKNOWLEDGED
    for index, one in enumerate(request.balances):
        call.sent_as = _names_in(index, one)
        await engine.check_update(call.env, _update(request, one))
    for index, one in enumerate(request.balances):
        call.sent_as = _names_in(index, one)
        request_id = f"{call.request_id}-{index}"
        await engine.update_balance(call.env, _update(request, one), request_id)
    return ACKNOWLEDGED


async def aggregate(services: Services, call: Call, request: AggregateRequest) -> old.UsageSeries:
    """``events.aggregate``: values stand in the bin itself."""
    response = await services.engine.aggregate_events(call.env, request)
    return old.UsageSeries(
        list=[_bin(one) for one in response.list],
        total=msgspec.Raw(msgspec.json.encode(response.total)),
    )


def _bin(one: UsageBin) -> dict[str, object]:
    grouped = one.grouped_values
    return {"period": one.period, **(one.values if grouped is msgspec.UNSET else grouped)}


async def _check_product(
    services: Services, call: Call, request: old.CheckOf, product_id: str
) -> old.ProductVerdict:
    held = await _held(services, call, request)
    found = next((one for one in held if one.plan_id == product_id), None)
    status = None if found is None else views.status_of(found)
    return old.ProductVerdict(
        allowed=status not in (None, "scheduled"),
        customer_id=request.customer_id,
        product_id=product_id,
        entity_id=request.entity_id or msgspec.UNSET,
        status=status or msgspec.UNSET,
    )


@contextmanager
def _described(call: Call) -> Iterator[None]:
    """Whoever may create an entity and does not say of which feature is told so (hot-path 1.0)."""
    try:
        yield
    except EntityNotFoundError as error:
        if call.restricted:
            raise
        raise InvalidInputsError(f"entity_data.feature_id: is required; {error}") from error


async def _held(
    services: Services, call: Call, request: old.CheckOf
) -> list[SubscriptionView | PurchaseView]:
    engine = services.engine
    if request.entity_id is not None:
        named = EntityGetRequest(entity_id=request.entity_id, customer_id=request.customer_id)
        entity = await engine.get_entity(call.env, named)
        return [*entity.subscriptions, *entity.purchases]
    if request.customer_data is None:
        known = CustomerGetRequest(customer_id=request.customer_id)
        customer = await engine.get_customer(call.env, known)
    else:
        data = msgspec.structs.asdict(request.customer_data)
        customer = await engine.get_or_create_customer(
            call.env, CustomerCreateRequest(customer_id=request.customer_id, **data)
        )
    return [*customer.subscriptions, *customer.purchases]


def _names_in(index: int, one: old.BalanceOf) -> dict[str, str]:
    """Return what the fields of an update are called in a list of balances."""
    place = f"balances.{index}"
    names = {"remaining": f"{place}.balance", "feature_id": f"{place}.feature_id"}
    return names if one.entity_id is None else {**names, "entity_id": f"{place}.entity_id"}


def _usage(request: old.BalancesRequest, feature_id: str) -> UsageSetRequest:
    return UsageSetRequest(
        customer_id=request.customer_id,
        entity_id=request.entity_id,
        feature_id=feature_id,
        value=request.value,
    )


def _update(request: old.BalancesRequest, one: old.BalanceOf) -> BalanceUpdateRequest:
    return BalanceUpdateRequest(
        customer_id=request.customer_id,
        entity_id=one.entity_id or request.entity_id,
        feature_id=one.feature_id,
        remaining=one.balance,
    )
