"""Balances, customers and entities in the shapes of 1.2, from those of today. Pure, but for
features, which are looked up in the catalog, and plans: what is held of them takes one more read.

A balance is what is granted less what is used, so unlike today's it falls below zero by overage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from gateway.api.legacy import messages as old
from gateway.api.legacy.items import feature_type, item_views
from gateway.api.operation import Services
from gateway.engine.catalog import Catalog
from gateway.engine.controls import own_controls
from gateway.errors import CustomerNotFoundError, EntityNotFoundError
from gateway.ids import nameless_id
from gateway.lifecycle.catalog import StoredPlan, plain
from gateway.messages.balances import Balance, Breakdown, CheckResponse, FlagView
from gateway.messages.customers import CustomerFacts, CustomerView, PurchaseView, SubscriptionView
from gateway.messages.entities import EntityView

SEVERAL = "multiple"
"""The interval of a balance whose sources reset at different intervals."""

LIFETIME = "lifetime"
"""The interval of what never resets but is used up."""


class _Price(msgspec.Struct):
    billing_method: str
    max_purchase: Any = None


_prices = msgspec.json.Decoder(_Price)


def verdict(response: CheckResponse, feature_id: str) -> old.FeatureVerdict:
    """Return the answer of a check."""
    balance = response.balance
    return old.FeatureVerdict(
        allowed=response.allowed,
        customer_id=response.customer_id,
        entity_id=response.entity_id,
        feature_id=feature_id if balance is None else balance.feature_id,
        required_balance=response.required_balance,
        preview=response.preview,
        **({} if balance is None else balanced(balance)),
    )


def balanced(balance: Balance) -> dict[str, Any]:
    """Return what is left of a feature, as ``old.Balanced`` names it."""
    cap = balance.max_purchase
    included = balance.granted
    interval, count = _interval(balance.breakdown)
    return {
        "unlimited": balance.unlimited,
        "interval": interval,
        "interval_count": count,
        "balance": Raw(b"0") if balance.unlimited else _less(included, balance.usage),
        "usage": Raw(b"0") if balance.unlimited else balance.usage,
        "included_usage": included,
        "next_reset_at": balance.next_reset_at,
        "overage_allowed": balance.overage_allowed and cap is None,
        "usage_limit": UNSET if cap is None else _sum(included, cap),
        "breakdown": [_source(one) for one in balance.breakdown],
        "rollovers": UNSET
        if balance.rollovers is UNSET
        else [
            old.Leftover(balance=one.balance, expires_at=one.expires_at)
            for one in balance.rollovers
        ],
    }


async def customer(services: Services, view: CustomerView) -> old.Customer:
    """Return a customer."""
    customer_id = view.id or nameless_id(view.email or "")
    facts = {name: getattr(view, name) for name in CustomerFacts.__struct_fields__}
    return old.Customer(
        **facts | {"billing_controls": own_controls(view.billing_controls)},
        products=await _products(services, view, customer_id, None),
        features=await _features(services.catalog, view.env, view.balances, view.flags),
        entities=view.entities,
        invoices=view.invoices,
        trials_used=view.trials_used,
        referrals=view.referrals,
    )


async def entity(
    services: Services, view: EntityView, expand: Iterable[str] | None = None
) -> old.Entity:
    """Return an entity."""
    return old.Entity(
        id=view.id,
        name=view.name or "",
        customer_id=view.customer_id,
        feature_id=view.feature_id,
        created_at=view.created_at,
        env=view.env,
        products=await _products(services, view, view.customer_id, view.id),
        features=await _features(services.catalog, view.env, view.balances, view.flags),
        invoices=view.invoices if "invoices" in (expand or ()) else UNSET,
    )


def status_of(plan: SubscriptionView | PurchaseView) -> str:
    """Return what 1.2 calls the state of an attached plan."""
    if isinstance(plan, PurchaseView):
        return "active"
    if plan.past_due:
        return "past_due"
    return "trialing" if plan.trial_ends_at is not None else plan.status


async def _features(
    catalog: Catalog, env: str, balances: Mapping[str, Balance], flags: Mapping[str, FlagView]
) -> dict[str, old.Feature]:
    shown = {}
    for feature_id, balance in balances.items():
        feature = await catalog.feature(env, feature_id)
        costs = catalog.document(feature).credit_schema
        shown[feature_id] = old.Feature(
            id=feature_id,
            name=feature.name,
            # A credit system is used up like any other feature that is consumed.
            type="single_use" if feature.type == "credit_system" else feature_type(feature),
            credit_schema=[
                old.CreditAmount(
                    feature_id=cost.metered_feature_id,
                    credit_amount=Raw(cost.credit_cost.encode()),
                )
                for cost in costs
            ]
            or UNSET,
            **balanced(balance),
        )
    for feature_id in flags:
        feature = await catalog.feature(env, feature_id)
        shown[feature_id] = old.Feature(id=feature_id, name=feature.name, type="static")
    return shown


async def _products(
    services: Services, view: CustomerView | EntityView, customer_id: str, entity_id: str | None
) -> list[old.ProductOf]:
    held: list[SubscriptionView | PurchaseView] = [*view.subscriptions, *view.purchases]
    plans: Mapping[tuple[str, int], StoredPlan] = {}
    if held:
        with suppress(CustomerNotFoundError, EntityNotFoundError):  # deleted since
            plans = await services.engine.held_plans(view.env, customer_id, entity_id)
    return [
        await _product(
            services.catalog, view.env, one, plans.get((one.plan_id, one.started_at)), entity_id
        )
        for one in held
    ]


async def _product(
    catalog: Catalog,
    env: str,
    held: SubscriptionView | PurchaseView,
    plan: StoredPlan | None,
    entity_id: str | None,
) -> old.ProductOf:
    recurring = held if isinstance(held, SubscriptionView) else None
    ends = None if recurring is None else recurring.trial_ends_at
    return old.ProductOf(
        id=held.plan_id,
        name=None if plan is None else plan.document.name,
        group=None if plan is None else plan.record.group or None,
        status=status_of(held),
        canceled_at=None if recurring is None else recurring.canceled_at,
        started_at=held.started_at,
        is_default=recurring is not None and recurring.auto_enable,
        is_add_on=plan is not None and plan.record.add_on,
        version=1 if plan is None else plan.record.version,
        current_period_start=None if recurring is None else recurring.current_period_start,
        current_period_end=None if recurring is None else recurring.current_period_end,
        trial_ends_at=UNSET if ends is None else ends,
        entity_id=entity_id if entity_id and held.scope == "entity" else UNSET,
        quantity=held.quantity,
        items=[] if plan is None else await item_views(catalog, env, plan.document),
    )


def _interval(sources: list[Breakdown]) -> tuple[str | None, int | None]:
    found = {_reset_of(source) for source in sources}
    if len(found) == 1:
        return found.pop()
    return (SEVERAL, None) if found else (None, None)


def _reset_of(source: Breakdown) -> tuple[str | None, int | None]:
    if source.reset is None:
        return None, None
    if source.reset.interval == "one_off":
        return LIFETIME, 1
    count = source.reset.interval_count
    return source.reset.interval, 1 if count is UNSET else count


def _source(source: Breakdown) -> old.Source:
    included = _sum(source.included_grant, source.prepaid_grant)
    interval, count = _reset_of(source)
    return old.Source(
        interval=interval,
        interval_count=count,
        balance=Raw(b"0") if source.unlimited else _less(included, source.usage),
        usage=Raw(b"0") if source.unlimited else source.usage,
        included_usage=included,
        next_reset_at=None if source.reset is None else source.reset.resets_at,
        expires_at=source.expires_at,
        overage_allowed=_is_paid_by_use(source),
    )


def _is_paid_by_use(source: Breakdown) -> bool:
    if source.price is None:
        return False
    price = _prices.decode(msgspec.json.encode(source.price))
    return price.billing_method == "usage_based" and price.max_purchase is None


def _less(one: Raw, other: Raw) -> Raw:
    return Raw(plain(_decimal(one) - _decimal(other)).encode())


def _sum(one: Raw, other: Raw) -> Raw:
    return Raw(plain(_decimal(one) + _decimal(other)).encode())


def _decimal(number: Raw) -> Decimal:
    return Decimal(bytes(number).decode())
