"""Customers and entities as responses show them, from the reply of ``read_customer``."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.cycles import last_boundary, next_boundary
from gateway.documents import (
    ACTIVE,
    PAUSED,
    Subscription,
    decode_customer,
    decode_subscriptions,
    held_entity,
)
from gateway.engine.catalog import Catalog
from gateway.engine.controls import (
    read_customer_scope,
    read_entity_scope,
    shown_customer_controls,
    shown_entity_controls,
)
from gateway.engine.subject import Subject
from gateway.engine.views import balance_of, flag_of, parts_of
from gateway.errors import PlanNotFoundError
from gateway.ids import public_id
from gateway.lifecycle.catalog import StoredPlan, feature_view
from gateway.lifecycle.plan_rules import plan_view
from gateway.lifecycle.trials import is_trialing
from gateway.messages.balances import Balance, FlagView
from gateway.messages.customers import (
    CustomerView,
    EntitySummary,
    PurchaseView,
    SubscriptionView,
)
from gateway.messages.entities import EntityView
from gateway.messages.plans import PlanDocument
from gateway.scripts import CustomerReply, Scripts

FLAG_FEATURES = frozenset({"flags.feature", "balances.feature"})
"""Expansions that add its feature to a flag. The React hooks ask for that of balances alone, and
throw at the first flag of a customer who has no balance.
"""


async def customer_view(
    catalog: Catalog, subject: Subject, reply: CustomerReply, now_ms: int, expand: frozenset[str]
) -> CustomerView:
    """Return the customer; its totals include what entities hold."""
    document = decode_customer(reply.document)
    subscriptions = decode_subscriptions(reply.subscriptions)
    scope = read_customer_scope(reply, document, subscriptions)
    portrait = _Portrait(catalog, subject, now_ms, expand)
    balances, flags = await portrait.holdings(reply)
    return CustomerView(
        id=public_id(subject.customer_id),
        name=document.name,
        email=document.email,
        created_at=document.created_at,
        fingerprint=document.fingerprint,
        stripe_id=document.stripe_id,
        env=subject.env,
        metadata=document.metadata,
        send_email_receipts=document.send_email_receipts,
        billing_controls=shown_customer_controls(catalog, subject.env, scope, reply, now_ms=now_ms),
        subscriptions=await portrait.recurring(subscriptions, "customer"),
        purchases=await portrait.purchases(subscriptions, "customer"),
        licenses=[],
        balances=balances,
        flags=flags,
        config=document.config,
    )


async def entity_view(
    catalog: Catalog, subject: Subject, reply: CustomerReply, now_ms: int
) -> EntityView:
    """Return the entity; the plans and balances of its customer are its own too."""
    entity = held_entity(reply.entity)
    own = entity.document.subscriptions
    inherited = decode_subscriptions(reply.subscriptions)
    customer = decode_customer(reply.document)
    portrait = _Portrait(catalog, subject, now_ms)
    balances, flags = await portrait.holdings(reply)
    return EntityView(
        id=subject.entity_id,
        name=entity.document.name,
        customer_id=subject.customer_id,
        feature_id=entity.feature_id,
        created_at=entity.document.created_at,
        env=subject.env,
        subscriptions=[
            *await portrait.recurring(own, "entity"),
            *await portrait.recurring(inherited, "customer"),
        ],
        purchases=[
            *await portrait.purchases(own, "entity"),
            *await portrait.purchases(inherited, "customer"),
        ],
        balances=balances,
        flags=flags,
        billing_controls=shown_entity_controls(
            catalog,
            subject.env,
            read_entity_scope(reply, entity.document),
            reply,
            customer=read_customer_scope(reply, customer, inherited),
            now_ms=now_ms,
        ),
        invoices=[],
    )


async def entity_summary(
    scripts: Scripts, subject: Subject, entity_id: str, now_ms: int
) -> EntitySummary | None:
    """Return the entity as a customer's ``entities`` expansion lists it; None when it is gone."""
    reply = await scripts.read_customer(subject.keys, now_ms, entity_id)
    if not reply.entity:
        return None
    entity = held_entity(reply.entity)
    return EntitySummary(
        id=entity_id,
        name=entity.document.name,
        customer_id=subject.customer_id,
        feature_id=entity.feature_id,
        created_at=entity.document.created_at,
        env=subject.env,
    )


class _Portrait(NamedTuple):
    """Who is shown as of which time, and what of it in full."""

    catalog: Catalog
    subject: Subject
    now_ms: int
    expand: frozenset[str] = frozenset()

    async def holdings(
        self, reply: CustomerReply
    ) -> tuple[dict[str, Balance], dict[str, FlagView]]:
        """Return the balances and the flags of a customer or an entity, by feature."""
        entity_level, now_ms = bool(self.subject.entity_id), self.now_ms
        balances: dict[str, Balance] = {}
        flags: dict[str, FlagView] = {}
        for description in reply.descriptions:
            if not description.granted:  # only named by controls, or only paid for by credits
                continue
            feature = await self.catalog.feature(self.subject.env, description.feature)
            if not feature.in_use:  # the catalog is from before the plan
                feature = await self.catalog.use_feature(feature)
            if feature.type == "boolean":
                parts = parts_of(description, entity_level=entity_level, now_ms=now_ms)
                flag = flag_of(feature.id, parts)
                if flag is not None:
                    if self.expand & FLAG_FEATURES:
                        flag.feature = Raw(msgspec.json.encode(feature_view(feature)))
                    flags[feature.id] = flag
                continue
            balance = balance_of(
                description, feature.precision, entity_level=entity_level, now_ms=now_ms
            )
            if balance is not None:
                if "balances.feature" in self.expand:
                    balance.feature = Raw(msgspec.json.encode(feature_view(feature)))
                balances[feature.id] = balance
        return balances, flags

    async def recurring(
        self, subscriptions: list[Subscription], scope: str
    ) -> list[SubscriptionView]:
        """Return the plans that come again, or are free."""
        views = []
        for one in subscriptions:
            if one.one_off or one.status == PAUSED:
                continue
            at_ms = max(self.now_ms, one.started_at)  # another clock, ahead, may have begun it
            cycle = (one.anchor_ms, one.cycle_unit, one.cycle_every, at_ms)
            begun, tries = one.status == ACTIVE, is_trialing(one, self.now_ms)
            view = SubscriptionView(
                id=one.id,
                plan_id=one.plan_id,
                auto_enable=one.auto_enable,
                add_on=one.add_on,
                status=one.status,
                past_due=False,
                canceled_at=one.canceled_at,
                expires_at=one.expires_at,
                trial_ends_at=one.trial_ends_at if tries else None,
                started_at=one.started_at,
                current_period_start=_period_start(one, last_boundary(*cycle)) if begun else None,
                current_period_end=(begun and next_boundary(*cycle)) or None,
                quantity=one.quantity,
                scope=scope,
            )
            if tries and one.cycle_unit:
                view.current_period_start = one.started_at
                view.current_period_end = one.trial_ends_at
            if "subscriptions.plan" in self.expand:
                view.plan = await self._plan(one)
            views.append(view)
        return views

    async def purchases(self, subscriptions: list[Subscription], scope: str) -> list[PurchaseView]:
        """Return the plans that were bought once."""
        shown = "purchases.plan" in self.expand
        return [
            PurchaseView(
                plan=await self._plan(one) if shown else UNSET,
                plan_id=one.plan_id,
                expires_at=one.expires_at,
                started_at=one.started_at,
                quantity=one.quantity,
                scope=scope,
            )
            for one in subscriptions
            if one.one_off
        ]

    async def _plan(self, one: Subscription) -> Raw | UnsetType:
        plan = await held_plan(self.catalog, self.subject.env, one)
        return UNSET if plan is None else Raw(msgspec.json.encode(plan_view(plan)))


def _period_start(one: Subscription, boundary_ms: int) -> int | None:
    """Return where a billing cycle begins: where the plan does, if its cycles are counted from a
    later time (cold-path section 6.1).
    """
    return max(boundary_ms, min(one.started_at, one.anchor_ms)) if boundary_ms else None


async def held_plan(catalog: Catalog, env: str, one: Subscription) -> StoredPlan | None:
    """Return the plan as it is held, which may be an older version of it or the customer's own."""
    try:
        plan = await catalog.plan(env, one.plan_id, one.version)
    except PlanNotFoundError:  # deleted while it was attached
        return None
    if one.custom is not None:
        return plan._replace(document=msgspec.convert(one.custom, PlanDocument))
    return plan
