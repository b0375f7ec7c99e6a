"""Products, which is what 1.2 calls plans, and features: created and shown."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.api import rules
from gateway.api.legacy import product_messages as wire
from gateway.api.legacy.items import base_price, feature_type, item_views, plan_item
from gateway.api.operation import Call, Services
from gateway.engine.catalog import Catalog
from gateway.errors import InvalidInputsError, NotSupportedError, PlanNotFoundError
from gateway.lifecycle.catalog import StoredPlan, feature_view
from gateway.lifecycle.prices import is_one_off, is_paid
from gateway.messages.common import given
from gateway.messages.features import (
    FeatureGetRequest,
    FeatureListRequest,
    FeatureView,
)
from gateway.messages.plans import (
    FreeTrialRequest,
    PlanCreateRequest,
    PlanDocument,
    PlanGetRequest,
    PlanListRequest,
)
from gateway.ports import FeatureRecord


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
    rules.plan_create(call, _plan(request, request.items or (), {}))
    for index, item in enumerate(request.items or ()):
        if item.feature_id is None and not given(item.price):
            raise InvalidInputsError(f"items.{index}: needs a feature_id or a price")


async def create(
    services: Services, call: Call, request: wire.ProductCreateRequest
) -> wire.Product:
    """``plans.create``."""
    named = {item.feature_id for item in request.items or () if item.feature_id}
    features = {one: await services.catalog.feature(call.env, one) for one in named}
    plan = _plan(request, request.items or (), features)
    return await product(services.catalog, await services.catalog.create_plan(call.env, plan))


async def get(services: Services, call: Call, request: PlanGetRequest) -> wire.Product:
    """``plans.get``."""
    plan = await services.catalog.plan(call.env, request.plan_id)
    if request.version not in (None, plan.record.version):
        raise PlanNotFoundError(f"Plan {request.plan_id} has no version {request.version}")
    return await product(services.catalog, plan)


async def list_all(services: Services, call: Call, request: PlanListRequest) -> wire.ProductPage:
    """``plans.list``."""
    await services.catalog.refresh()
    plans = services.catalog.plans(call.env)
    shown = [plan for plan in plans if request.include_archived or not plan.record.archived]
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
            updateable=any(item.price and item.price.prepaid for item in document.items),
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


def _plan(
    request: wire.ProductCreateRequest,
    items: Sequence[wire.ProductItem],
    features: dict[str, FeatureRecord],
) -> PlanCreateRequest:
    prices = [index for index, item in enumerate(items) if item.feature_id is None]
    if len(prices) > 1:
        raise NotSupportedError(f"items.{prices[1]}: a product has one fixed price")
    trial = request.free_trial
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
        free_trial=None
        if trial is None
        else FreeTrialRequest(
            duration_length=trial.length,
            duration_type=trial.duration,
            card_required=trial.card_required,
        ),
    )
