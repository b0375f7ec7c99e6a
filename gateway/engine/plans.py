"""``billing.*``: read the scope, decide (``gateway.lifecycle``), apply if nothing has changed.

A preview decides in the same way and applies nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.documents import SCHEDULED, Subscription
from gateway.engine.asked import anchor_of, quantities_of, version_of, whole
from gateway.engine.foresight import Foresight
from gateway.engine.planner import CHANGES_MAX
from gateway.engine.subject import Subject, changed_meanwhile
from gateway.errors import (
    InvalidRequestError,
    SubscriptionExistsError,
    SubscriptionNotFoundError,
    UnavailableError,
)
from gateway.lifecycle.attach import attach
from gateway.lifecycle.cancel import cancel
from gateway.lifecycle.carrying import Carrying
from gateway.lifecycle.catalog import plain
from gateway.lifecycle.customize import customized, with_trial
from gateway.lifecycle.eligibility import eligibility
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.preview import CURRENCY, Preview, intent_of
from gateway.lifecycle.prices import billing_cycle
from gateway.lifecycle.quantities import buy
from gateway.lifecycle.reanchor import Wish, begins_anew, reanchor
from gateway.lifecycle.revise import revise
from gateway.lifecycle.room import check_room
from gateway.lifecycle.scope import Change, Making, Scope
from gateway.lifecycle.suggestions import Suggestion, suggestions
from gateway.lifecycle.target import find_target
from gateway.lifecycle.terms import Terms
from gateway.lifecycle.together import attach_together
from gateway.lifecycle.trials import without_trial
from gateway.messages.billing import (
    UNPRORATED,
    AttachPreview,
    AttachRequest,
    AttachResponse,
    CarryOver,
    MultiAttachRequest,
    SubscriptionUpdateRequest,
    UpdatePreview,
)
from gateway.messages.plans import Eligibility, PlanListRequest, raw
from gateway.scripts import CustomerReply, Status

Decide = Callable[[Scope, Making], Awaitable[Change]]
Deciding = Callable[[Scope, Sequence[tuple[Offer, Terms]], Making], Change]


class Decided(NamedTuple):
    """A change, and the scope it was decided on."""

    scope: Scope
    change: Change


class Attachments(Foresight):
    """Plans of customers and entities."""

    async def attach(self, env: str, request: AttachRequest) -> AttachResponse:
        """Attach the plan without payment, at once or when the cycle ends.

        Raises ``PlanNotFoundError``, ``PlanAttachedError``, ``SubscriptionExistsError``,
        ``InvalidRequestError`` for terms that do not fit, and the not-found errors of the subject.
        """
        return await self._attach(env, [request], _alone)

    async def multi_attach(self, env: str, request: MultiAttachRequest) -> AttachResponse:
        """Attach several plans in one step, or none of them; errors as ``attach``, but for a plan
        that is held, which is an ``InvalidRequestError`` here.
        """
        return await self._attach(env, request.each(), attach_together)

    async def _attach(
        self, env: str, wanted: list[AttachRequest], decided: Deciding
    ) -> AttachResponse:
        if wanted[0].customer_data is not None or wanted[0].entity_data is not None:
            await self._foreseen(env, wanted, decided)  # nobody is created for what is refused
        subject, decide = await self._attaching(env, wanted, decided)
        await self._change(subject, decide, _ids(wanted))
        return AttachResponse(customer_id=subject.customer_id, entity_id=_entity(subject))

    async def preview_attach(self, env: str, request: AttachRequest) -> AttachPreview:
        """Return what attaching the plan would do; errors as ``attach``. Nobody is created: who
        would be is looked at as if there already.
        """
        return await self._preview_attach(env, [request], _alone)

    async def preview_multi_attach(self, env: str, request: MultiAttachRequest) -> AttachPreview:
        """Return what attaching the plans would do; errors as ``multi_attach``."""
        return await self._preview_attach(env, request.each(), attach_together)

    async def _preview_attach(
        self, env: str, wanted: list[AttachRequest], decided: Deciding
    ) -> AttachPreview:
        subject, (scope, change) = await self._foreseen(env, wanted, decided)
        prorates = wanted[0].proration_behavior != UNPRORATED
        precisions = await self._precisions(env, scope)
        seen = await self.previewed(
            subject, scope, change, prorates=prorates, precisions=precisions
        )
        return AttachPreview(**_shown(subject, seen))

    async def _foreseen(
        self, env: str, wanted: list[AttachRequest], decided: Deciding
    ) -> tuple[Subject, Decided]:
        """Return what attaching the plans would change, and write nothing."""
        subject, decide = await self._attaching(env, wanted, decided, is_preview=True)
        now_ms = self.clock.now_ms(env)
        scope = await self.beside_siblings(subject, await self.scope_seen(subject, now_ms))
        await self._check_ids(subject, _ids(wanted))
        making = self.planner.making(scope.time_of(now_ms))
        return subject, Decided(scope, await decide(scope, making))

    async def update_subscription(
        self, env: str, request: SubscriptionUpdateRequest
    ) -> AttachResponse:
        """Change a plan that is held.

        Raises ``SubscriptionNotFoundError``, ``InvalidRequestError`` and ``InvalidOptionsError``
        for what does not fit it, and the not-found errors of the subject.
        """
        subject, decide = await self._updating(env, request)
        await self._change(subject, decide)
        return AttachResponse(customer_id=subject.customer_id, entity_id=_entity(subject))

    async def preview_update(self, env: str, request: SubscriptionUpdateRequest) -> UpdatePreview:
        """Return what an update would do; errors as ``update_subscription``."""
        subject, decide = await self._updating(env, request, is_preview=True)
        reply = await self.read(subject)
        scope, change = await self._decided(subject, reply, decide)
        prorates = request.proration_behavior != UNPRORATED
        precisions = {} if request.cancel_action else await self._precisions(env, scope)
        seen = await self.previewed(
            subject, scope, change, prorates=prorates, precisions=precisions
        )
        return UpdatePreview(**_shown(subject, seen), intent=intent_of(request))

    async def _precisions(self, env: str, scope: Scope) -> dict[str, int]:
        features = [await self.catalog.feature(env, feature) for feature in scope.rows]
        return {feature.id: feature.precision for feature in features}

    async def eligibilities(self, env: str, request: PlanListRequest) -> dict[str, Eligibility]:
        """Return what attaching each plan would be for a customer or an entity of it."""
        subject = self.subjects.subject(env, request.customer_id or "", entity_id=request.entity_id)
        reply = await self.read(subject)
        now_ms = self.clock.now_ms(env)
        scope = await self.planner.scope(subject, reply, now_ms)
        plans = self.catalog.plans(env)
        tried = {plan.record.id for plan in plans}
        with contextlib.suppress(UnavailableError):  # else no trial is promised
            tried = await self.tried(subject, (plan.document for plan in plans))
        return {plan.record.id: eligibility(scope, plan, now_ms, tried) for plan in plans}

    async def suggestions(
        self, env: str, customer_id: str, entity_id: str | None, feature_id: str
    ) -> list[Suggestion]:
        """Return the plans that would give a customer or an entity of it more of a feature."""
        feature = await self.catalog.feature(env, feature_id)
        subject = self.subjects.subject(env, customer_id, entity_id=entity_id)
        now_ms = self.clock.now_ms(env)
        scope = await self.planner.scope(subject, await self.read(subject), now_ms)
        features = [feature, *self.catalog.credit_systems(feature)]
        return suggestions(scope, self.catalog.plans(env), features, now_ms)

    async def plan_statuses(self, env: str, plan_id: str) -> set[str]:
        """Return the statuses of all subscriptions of a plan there ever were. Raises
        ``UnavailableError`` while SQL may not know of all.
        """
        await self.subjects.known()
        return await self.reader.plan_holders(env, plan_id)

    async def _attaching(
        self,
        env: str,
        wanted: list[AttachRequest],
        decided: Deciding,
        *,
        is_preview: bool = False,
    ) -> tuple[Subject, Decide]:
        await self.catalog.renew()
        seen = [(await self._seen(env, one), await self._terms(env, one)) for one in wanted]
        subject = self.subjects.named(env, wanted[0])

        async def decide(scope: Scope, making: Making) -> Change:
            pays = any(billing_cycle(offer.document)[0] for offer, _ in seen)
            if pays and not is_preview:  # else they were asked for with the scope
                scope = await self.beside_siblings(subject, scope)
            tried = await self.tried(subject, (offer.document for offer, _ in seen))
            offers = [
                (offer if one.trial else _once(offer, tried), terms)
                for one, (offer, terms) in zip(wanted, seen, strict=True)
            ]
            change = decided(scope, offers, making)
            check_room(scope, change, [offer for offer, _ in offers])
            if is_preview:
                return change
            # Nothing refuses it, so the features are used from now on.
            used = [(await self._used(env, offer), terms) for offer, terms in offers]
            return decided(scope, used, making)

        return subject, decide

    async def _seen(self, env: str, request: AttachRequest) -> Offer:
        """Return the plan that is asked for, its features not used yet."""
        record, document = await self.catalog.plan(env, request.plan_id, version_of(request))
        if record.archived:
            raise InvalidRequestError(f"plan {record.id} is archived")
        if request.customize is not None:
            document = customized(document, request.customize, self.catalog.view(env))
        document = with_trial(document, request)
        is_custom = request.customize is not None or bool(request.trial)
        return await self.planner.offer(env, record, document, is_custom=is_custom, is_preview=True)

    async def _used(self, env: str, seen: Offer) -> Offer:
        return await self.planner.offer(env, seen.record, seen.document, is_custom=seen.is_custom)

    async def _terms(self, env: str, request: AttachRequest) -> Terms:
        anchor = anchor_of(request)
        return Terms(
            quantities=quantities_of(request.feature_quantities),
            schedule=request.plan_schedule or "",
            starts_ms=whole(request.starts_at),
            ends_ms=whole(request.ends_at),
            subscription_id=request.subscription_id or "",
            anchor_ms=None if anchor is None else anchor.at_ms,
            anew=anchor is not None and anchor.is_now,
            usages=await self._carrying(env, request.carry_over_usages, "carry_over_usages"),
            balances=await self._carrying(env, request.carry_over_balances, "carry_over_balances"),
            skips_charge=request.proration_behavior == UNPRORATED
            and not request.no_billing_changes,
            removes=request.remove_plan_ids or (),
        )

    async def _carrying(self, env: str, wish: CarryOver | None, field: str) -> Carrying | None:
        if wish is None or not wish.enabled:
            return None
        for feature_id in wish.feature_ids or ():
            feature = await self.catalog.feature(env, feature_id)
            if not feature.consumable:
                raise InvalidRequestError(f"{field}.feature_ids: {feature_id} is not consumable")
        return Carrying(wish.feature_ids)

    async def _updating(
        self, env: str, request: SubscriptionUpdateRequest, *, is_preview: bool = False
    ) -> tuple[Subject, Decide]:
        subject = self.subjects.subject(env, request.customer_id, entity_id=request.entity_id)
        quantities = quantities_of(request.feature_quantities)
        anchor = anchor_of(request)
        await self.catalog.renew()
        usages = None
        if carry := request.carry_over_usages:
            usages = await self._carrying(env, carry, "carry_over_usages") or Carrying(())

        async def decide(scope: Scope, making: Making) -> Change:
            target = find_target(scope, request.subscription_id, request.plan_id)
            if target is None:
                named = request.subscription_id or request.plan_id or "that could be updated"
                raise SubscriptionNotFoundError(
                    f"customer {request.customer_id} has no plan {named}"
                )
            if request.cancel_action is not None:
                group = scope.group_of(target)
                default = await self.planner.default(env, group, is_preview=is_preview)
                return cancel(scope, target, request.cancel_action, default, making)
            if target.status == SCHEDULED:
                raise InvalidRequestError(
                    f"plan {target.plan_id} has not begun; cancel it and attach it again"
                )
            revises = request.version or request.customize or request.trial is None
            change = Change(list(scope.subscriptions), [])
            if revises:
                offer = await self._revised(env, target, request, is_preview=is_preview)
                change = revise(scope, target, offer, quantities, making, usages=usages)
                check_room(scope, change)
            else:
                offer = await self.planner.offer_of(env, target, is_preview=is_preview)
                if quantities or anchor is None:
                    anew = begins_anew(target, anchor, making.now_ms)
                    change = buy(scope, target, offer, quantities, making, anew=anew)
            if anchor is None:
                return change
            wish = Wish(anchor, usages, is_alone=not revises and not quantities)
            return reanchor(scope, change, target, offer.document, wish, now_ms=making.now_ms)

        return subject, decide

    async def _revised(
        self,
        env: str,
        target: Subscription,
        request: SubscriptionUpdateRequest,
        *,
        is_preview: bool,
    ) -> Offer:
        """Return what the target becomes: the plan in the version asked for, customized."""
        version = version_of(request)
        if version is None:
            offer = await self.planner.offer_of(env, target, is_preview=is_preview)
            record, document, is_custom = offer.record, offer.document, offer.is_custom
        else:
            record, document = await self.catalog.plan(env, target.plan_id, version)
            is_custom = False
        if request.customize is not None:
            document = customized(document, request.customize, self.catalog.view(env))
            is_custom = True
        if request.trial is None:
            document, is_custom = without_trial(document), True
        return await self.planner.offer(
            env, record, document, is_custom=is_custom, is_preview=is_preview
        )

    async def _change(
        self, subject: Subject, decide: Decide, subscription_ids: Sequence[str] = ()
    ) -> None:
        """Carry out what is decided on the scope of now; decide anew when it has changed."""
        for _ in range(CHANGES_MAX):
            reply = await self.read(subject)
            await self._check_ids(subject, subscription_ids)
            change = (await self._decided(subject, reply, decide)).change
            if not change.touched and not change.rows:
                return
            status = await self.planner.apply(subject, reply, change)
            if status is Status.OUT_OF_RANGE:
                raise InvalidRequestError(
                    "the grants of all entities together would leave the range"
                )
            if status is Status.DONE:
                return
        raise changed_meanwhile(subject.customer_id)

    async def _decided(self, subject: Subject, reply: CustomerReply, decide: Decide) -> Decided:
        now_ms = self.clock.now_ms(subject.env)
        scope = await self.planner.scope(subject, reply, now_ms)
        return Decided(scope, await decide(scope, self.planner.making(scope.time_of(now_ms))))

    async def _check_ids(self, subject: Subject, subscription_ids: Sequence[str]) -> None:
        """Refuse an id that a subscription of the customer has or had. Whatever is attached after
        the customer was read makes the change that follows be decided anew, and this be asked
        again.
        """
        if subscription_ids:
            await self.subjects.known([subject.partition])
        for one in subscription_ids:
            if await self.reader.has_subscription(subject.env, subject.customer_id, one):
                raise SubscriptionExistsError(
                    f"subscription_id: the customer has or had a subscription {one}"
                )


def _alone(scope: Scope, wanted: Sequence[tuple[Offer, Terms]], making: Making) -> Change:
    ((offer, terms),) = wanted
    return attach(scope, offer, terms, making)


def _once(offer: Offer, tried: Collection[str]) -> Offer:
    """Return a plan without its trial where that has been had (cold-path section 3.8)."""
    if offer.record.id not in tried:
        return offer
    return offer._replace(document=without_trial(offer.document))


def _ids(wanted: list[AttachRequest]) -> list[str]:
    return [one.subscription_id for one in wanted if one.subscription_id is not None]


def _shown(subject: Subject, seen: Preview) -> dict[str, Any]:
    total = raw(plain(seen.total))
    return {
        "customer_id": subject.customer_id,
        "line_items": seen.line_items,
        "subtotal": total,
        "total": total,
        "currency": CURRENCY,
        "next_cycle": seen.next_cycle or UNSET,
        "incoming": seen.incoming,
        "outgoing": seen.outgoing,
    }


def _entity(subject: Subject) -> str | msgspec.UnsetType:
    return subject.entity_id or UNSET
