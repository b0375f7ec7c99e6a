"""Products, which is what 1.2 calls plans, and features: created and shown."""

from __future__ import annotations

from msgspec import UNSET

from gateway.api.legacy import product_messages as wire
from gateway.api.legacy.items import base_price, feature_type, item_views, plan_item
from gateway.api.operation import Call, Services
from gateway.api.resources import billing_rules, plans, rules
from gateway.engine.catalog import Catalog
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.lifecycle.catalog import StoredPlan, feature_view
from gateway.lifecycle.prices import is_one_off, is_paid
from gateway.messages.common import given, integer
from gateway.messages.features import FeatureGetRequest, FeatureListRequest, FeatureView
from gateway.messages.plan_changes import PlanUpdateRequest
from gateway.messages.plans import (
    FreeTrialRequest,
    PlanCreateRequest,
    PlanDocument,
    PlanGetRequest,
    PlanListRequest,
)
from gateway.ports import FeatureRecord

_SENT_AS = {
    "included": "included_usage",
    "reset.interval": "interval",
    "reset.interval_count": "interval_count",
    "price.amount": "price",
    "price.tiers": "tiers",
    "price.interval": "interval",
    "price.interval_count": "interval_count",
    "price.billing_units": "billing_units",
    "price.max_purchase": "usage_limit",
    "rollover": "config.rollover",
    "proration": "config",
    "free_trial.duration_length": "free_trial.length",
    "free_trial.duration_type": "free_trial.duration",
    "add_on": "is_add_on",
    "auto_enable": "is_default",
}
"""What 1.2 calls the fields of a plan."""


async def get_feature(
    services: Services, call: Call, request: FeatureGetRequest
) -> wire.FeatureShape:
    """``features.get``."""
    return _feature(feature_view(await services.catalog.feature(call.env, request.feature_id)))


async def list_features(services: Services, call: Call, _: FeatureListRequest) -> wire.FeaturePage:
    """``features.list``."""
    await services.catalog.refresh()
    features = services.catalog.features(call.env)
    return wire.FeaturePage(list=[_feature(feature_view(feature)) for feature in features])


def create_rule(call: Call, request: wire.ProductCreateRequest) -> None:
    """Refuse a product whose items cannot be those of a plan."""
    call.sent_as = {**call.sent_as, **_names_in(request)}
    rules.plan_create(call, _plan(request, {}))
    _check_items(request)


async def create(
    services: Services, call: Call, request: wire.ProductCreateRequest
) -> wire.Product:
    """``plans.create``."""
    plan = _plan(request, await _features(services, call, request))
    return await product(services.catalog, await services.catalog.create_plan(call.env, plan))


def update_rule(call: Call, request: wire.ProductUpdateRequest) -> None:
    """Refuse items that cannot be those of a plan."""
    call.sent_as = {**call.sent_as, **_names_in(request)}
    billing_rules.plan_update(call, _changes(request, {}))
    _check_items(request)


async def update(
    services: Services, call: Call, request: wire.ProductUpdateRequest
) -> wire.Product:
    """``plans.update``."""
    changes = _changes(request, await _features(services, call, request))
    return await product(services.catalog, await plans.update(services, call, changes))


async def get(services: Services, call: Call, request: PlanGetRequest) -> wire.Product:
    """``plans.get``."""
    version = integer(request.version, field="version")
    plan = await services.catalog.plan(call.env, request.plan_id, version)
    return await product(services.catalog, plan)


async def list_all(services: Services, call: Call, request: PlanListRequest) -> wire.ProductPage:
    """``plans.list``."""
    shown = await plans.listed(services, call, request)
    return wire.ProductPage(list=[await product(services.catalog, plan) for plan in shown])


async def product(catalog: Catalog, plan: StoredPlan) -> wire.Product:
    """Return a plan as a product."""
    record, document = plan
    trial = document.free_trial
    return wire.Product(
        id=record.id,
        name=document.name,
        group=document.group,
        env=record.env,
        is_add_on=record.add_on,
        is_default=record.auto_enable,
        archived=record.archived,
        version=record.version,
        created_at=record.created_at,
        items=await item_views(catalog, record.env, document),
        free_trial=None
        if trial is None
        else wire.Trial(
            duration=trial.duration_type,
            length=trial.duration_length,
            card_required=trial.card_required,
        ),
        properties=wire.ProductFacts(
            is_free=not is_paid(document),
            is_one_off=is_one_off(document),
            interval_group=_interval_group(document),
            has_trial=trial is not None,
            updateable=bool(document.prepaid_items),
        ),
    )


def _interval_group(document: PlanDocument) -> str | None:
    prices = [document.price, *(item.price for item in document.items)]
    return next((one.interval for one in prices if one and one.interval != "one_off"), None)


def _feature(view: FeatureView) -> wire.FeatureShape:
    return wire.FeatureShape(
        id=view.id,
        name=view.name,
        type=feature_type(view),
        display=view.display or None,
        credit_schema=view.credit_schema or None,
        archived=view.archived,
    )


def _names_in(request: wire.ProductCreateRequest) -> dict[str, str]:
    """Return what the fields of a plan are called in a product, among whose items its price is."""
    items = request.items or []
    fixed = next((at for at, item in enumerate(items) if item.feature_id is None), len(items))
    moved = {f"items.{at}": f"items.{at + 1}" for at in range(len(items) - 2, fixed - 1, -1)}
    return {**_SENT_AS, **moved}


def _check_items(request: wire.ProductCreateRequest) -> None:
    for index, item in enumerate(request.items or ()):
        if item.feature_id is None and not given(item.price):
            raise InvalidInputsError(f"items.{index}: needs a feature_id or a price")


async def _features(
    services: Services, call: Call, request: wire.ProductCreateRequest
) -> dict[str, FeatureRecord]:
    named = {item.feature_id for item in request.items or () if item.feature_id}
    return {one: await services.catalog.feature(call.env, one) for one in named}


def _changes(
    request: wire.ProductUpdateRequest, features: dict[str, FeatureRecord]
) -> PlanUpdateRequest:
    plan = _plan(request, features)
    return PlanUpdateRequest(
        plan_id=request.plan_id,
        new_plan_id=request.new_plan_id,
        version=request.version,
        name=request.name,
        group=request.group,
        add_on=request.is_add_on,
        auto_enable=request.is_default,
        archived=request.archived,
        price=UNSET if request.items is None else plan.price,
        items=None if request.items is None else plan.items,
        free_trial=UNSET if request.free_trial is UNSET else plan.free_trial,
    )


def _plan(
    request: wire.ProductCreateRequest, features: dict[str, FeatureRecord]
) -> PlanCreateRequest:
    items = request.items or ()
    prices = [index for index, item in enumerate(items) if item.feature_id is None]
    if len(prices) > 1:
        raise NotSupportedError(f"items.{prices[1]}: a product has one fixed price")
    return PlanCreateRequest(
        plan_id=request.plan_id,
        name=request.name or request.plan_id,
        group=request.group,
        add_on=request.is_add_on,
        auto_enable=request.is_default,
        price=base_price(items[prices[0]]) if prices else None,
        items=[
            plan_item(item, features.get(item.feature_id), f"items.{index}")
            for index, item in enumerate(items)
            if item.feature_id is not None
        ],
        free_trial=free_trial(request.free_trial) if request.free_trial else None,
    )


def free_trial(trial: wire.Trial) -> FreeTrialRequest:
    """Return a free trial as today's API takes it. Raises ``NotSupportedError`` for one that those
    with the same fingerprint have once together.
    """
    if trial.unique_fingerprint:
        raise NotSupportedError("free_trial.unique_fingerprint: is not supported")
    return FreeTrialRequest(
        duration_length=trial.length,
        duration_type=trial.duration,
        card_required=trial.card_required,
    )
