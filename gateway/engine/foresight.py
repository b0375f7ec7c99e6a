"""What a call finds that would create its customer or its entity, without creating anybody: so a
preview writes nothing, and nobody is there after a call that was refused. And what other entities
have that matters to an attach.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from gateway.documents import ACTIVE, SCHEDULED, Subscription
from gateway.engine.controls import check_controls
from gateway.engine.creation import Creation, refuse_paid_seats
from gateway.engine.subject import Subject, entity_not_found
from gateway.errors import (
    CustomerNotFoundError,
    EntityNotFoundError,
    InvalidRequestError,
    PlanNotFoundError,
    UnavailableError,
)
from gateway.ids import nameless_id
from gateway.lifecycle.due import foreseen
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.preview import Preview, named, preview
from gateway.lifecycle.scope import Change, Scope, after
from gateway.messages.plans import PlanDocument
from gateway.messages.subjects import CustomerData

SIBLINGS_MAX = 20
"""Plans of other entities that are looked at for one with a billing cycle."""


class Foresight(Creation):
    """See the module docstring."""

    async def scope_seen(self, subject: Subject, now_ms: int) -> Scope:
        """Return the scope a call would find, that of a customer or an entity which its data would
        create included.
        """
        customer, entity = subject.customer_data, subject.entity_data
        known = await self._findable(subject)
        try:
            return await self.planner.scope(known, await self.read(known), now_ms)
        except CustomerNotFoundError:
            if customer is None:
                raise
            base = await self._first_scope(subject.env, customer, now_ms)
        except EntityNotFoundError:
            if entity is None:
                raise
            owner = known._replace(entity_id="")
            base = await self.planner.scope(owner, await self.read(owner), now_ms)
        if not subject.entity_id:
            return base
        if entity is None:
            raise entity_not_found(subject.entity_id)
        await self.countable_feature(subject.env, entity.feature_id)
        await check_controls(self.catalog, subject.env, entity.billing_controls)
        refuse_paid_seats(base.rows, entity.feature_id)
        return Scope(subject.entity_id, [], {}, base=base.subscriptions)

    async def would_hold(self, subject: Subject, feature_id: str) -> bool:
        """Whether anything of a feature would be held by who is created for a call. Raises what
        would refuse to create them.
        """
        now_ms = self.clock.now_ms(subject.env)
        await self.scope_seen(subject, now_ms)
        owner = await self.scope_seen(subject._replace(entity_id="", entity_data=None), now_ms)
        of = ["", subject.entity_data.feature_id] if subject.entity_data else [""]
        return any(row.entity_feature in of for row in owner.rows.get(feature_id, ()))

    async def _findable(self, subject: Subject) -> Subject:
        """Return the subject as nobody is created for it; where its customer is not there, that
        without an id which would become it.
        """
        known = subject.creating_nobody
        email = subject.customer_data.email if subject.customer_data else None
        if not email:
            return known
        claimed = self.subjects.subject(
            subject.env, nameless_id(email), entity_id=subject.entity_id
        )
        for one in (known, claimed):
            try:
                await self.read(one._replace(entity_id=""))
            except CustomerNotFoundError:
                continue
            return one
        return known

    async def _first_scope(self, env: str, customer: CustomerData, now_ms: int) -> Scope:
        """Return what a new customer would hold."""
        await check_controls(self.catalog, env, customer.billing_controls)
        change = await self.first_change(env, customer, now_ms, is_preview=True)
        documents = {
            one.id: (await self.planner.offer_of(env, one, is_preview=True)).document
            for one in change.subscriptions
        }
        return Scope("", change.subscriptions, change.rows, documents=documents)

    async def beside_siblings(self, subject: Subject, scope: Scope) -> Scope:
        """Return the scope of an entity with a paid plan of another one, whose cycle it joins where
        neither it nor its customer has a paid one: the plans of entities are billed together.
        Without SQL it is on its own.
        """
        if not subject.entity_id or any(map(_has_cycle, (*scope.subscriptions, *scope.base))):
            return scope
        plans: list[Subscription] = []
        with contextlib.suppress(UnavailableError):
            await self.subjects.caught_up([subject.partition])
            asked = (subject.env, subject.customer_id, SIBLINGS_MAX)
            plans = await self.reader.entity_plans(*asked)
        sibling = next(filter(_has_cycle, plans), None)
        return scope if sibling is None else scope._replace(base=[*scope.base, sibling])

    async def tried(self, subject: Subject, documents: Iterable[PlanDocument]) -> set[str]:
        """Return the plans of which the scope has had its trial, where one of some has a trial.

        Raises ``UnavailableError`` while SQL may not know of all.
        """
        if not any(document.free_trial for document in documents):
            return set()
        await self.subjects.known([subject.partition])
        named = (subject.env, subject.customer_id, subject.entity_id)
        return await self.reader.tried_plans(*named)

    async def previewed(
        self,
        subject: Subject,
        scope: Scope,
        change: Change,
        *,
        prorates: bool,
        precisions: Mapping[str, int] | None = None,
    ) -> Preview:
        """Return what a change would do, with what is scheduled as it will begin."""
        now_ms = self.clock.now_ms(subject.env)
        offers: dict[str, Offer] = {}
        documents: dict[str, PlanDocument] = {}
        for one in change.subscriptions:
            known = scope.documents.get(one.id)
            if known is None or one not in scope.subscriptions or one.status == SCHEDULED:
                try:
                    offer = await self.planner.offer_of(subject.env, one, is_preview=True)
                except PlanNotFoundError:  # deleted while it was attached: nobody knows its price
                    continue
                offers[one.id], known = offer, offer.document
            documents[one.id] = known
        left = after(scope, change)._replace(documents=documents)
        making = self.planner.making(now_ms)
        begun: dict[str, Subscription] = {}
        for one in change.subscriptions:
            if one.status == SCHEDULED and one.id in offers:
                with contextlib.suppress(InvalidRequestError):  # it will not be able to begin
                    begun[one.id] = foreseen(left, one, offers[one.id], making)
        seen = preview(
            scope, change, documents, now_ms, prorates=prorates, precisions=precisions, begun=begun
        )
        plans = (*scope.documents.values(), *documents.values())
        sold = {item.feature_id for plan in plans for item in plan.items if item.price}
        names: dict[str, str] = {}
        for feature_id in sold:
            feature = await self.catalog.feature_if_any(subject.env, feature_id)
            if feature is not None:  # or a plan of the customer's own still names it
                names[feature_id] = feature.name
        return named(seen, names)


def _has_cycle(one: Subscription) -> bool:
    return one.status == ACTIVE and one.cycle_unit != "" and one.is_main
