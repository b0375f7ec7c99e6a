"""Creating customers and entities: by their own operations, and on the way of a check or track that
sends their data.

Every operation class of the engine builds on ``Creation``, which also holds the parts they share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from gateway.amounts import ENTITIES_MAX
from gateway.documents import CustomerDocument, EntityDocument, encode_document
from gateway.engine.backlog import Backlog
from gateway.engine.catalog import Catalog
from gateway.engine.controls import (
    check_controls,
    customer_scope,
    entity_scope,
    rules_of,
    rules_of_image,
    shared_rows,
)
from gateway.engine.denials import Denials
from gateway.engine.newcomers import Newcomers
from gateway.engine.outage import Outage
from gateway.engine.planner import Planner
from gateway.engine.subject import R, Subject, Subjects, entity_not_found
from gateway.errors import (
    EntityNotFoundError,
    FeatureLimitError,
    InvalidInputsError,
    InvalidRequestError,
)
from gateway.ids import new_id
from gateway.lifecycle.attach import attach
from gateway.lifecycle.catalog import StoredPlan
from gateway.lifecycle.plan_rules import is_default_trial
from gateway.lifecycle.prices import is_paid
from gateway.lifecycle.scope import Change, Scope
from gateway.lifecycle.scope import join as join_changes
from gateway.lifecycle.terms import NO_TERMS
from gateway.messages.common import DOCUMENT_BYTES_MAX
from gateway.messages.subjects import CustomerData, EntityData
from gateway.outbox import join
from gateway.ports import Clock, CustomerImage, FeatureRecord, Reader
from gateway.rows import Row
from gateway.scripts import CustomerReply, Scripts, Status

Item = TypeVar("Item")

TOGETHER_MAX = 16
"""Reads all lists together keep under way; more would leave no connection to the hot path."""

_encoder = msgspec.json.Encoder()


class Parts(NamedTuple):
    """What the engine is made of."""

    scripts: Scripts
    subjects: Subjects
    catalog: Catalog
    reader: Reader
    clock: Clock
    outage: Outage
    backlog: Backlog
    keeps_overage: bool = False
    """Whether overage of new balances without a price stays after their reset."""
    repeats: bool = True
    """Whether a finalize that is repeated is answered as the first was."""


def check_sizes(documents: Mapping[str, object]) -> None:
    """Refuse a document that has grown too large by merging; each request was checked alone."""
    for field, document in documents.items():
        if isinstance(document, dict) and len(_encoder.encode(document)) > DOCUMENT_BYTES_MAX:
            raise InvalidInputsError(
                f"{field}: must be at most {DOCUMENT_BYTES_MAX} bytes with what is there already"
            )


def refuse_paid_seats(rows: Mapping[str, Sequence[Row]], feature_id: str) -> None:
    """Refuse to create an entity on the way where each one is paid for (cold-path section 5.1);
    ``rows`` are those of its customer.
    """
    if any(row.document.price is not None for row in rows.get(feature_id, ())):
        raise InvalidInputsError(
            f"entity_data: {feature_id} has a price; create the entity with entities.create"
        )


async def in_turns(turns: asyncio.Semaphore, calls: Iterable[Awaitable[Item]]) -> list[Item]:
    """Return the answers of some calls in order, each of which waits for its turn."""

    async def take_turn(call: Awaitable[Item]) -> Item:
        async with turns:
            return await call

    return await asyncio.gather(*map(take_turn, calls))


class Creation:
    """The shared parts, and the creation of what a call needs."""

    def __init__(self, parts: Parts) -> None:
        self.scripts = parts.scripts
        self.subjects = parts.subjects
        self.subjects.creator = self
        self.catalog = parts.catalog
        self.reader = parts.reader
        self.clock = parts.clock
        self.outage = parts.outage
        self.backlog = parts.backlog
        self.keeps_overage = parts.keeps_overage
        self.planner = Planner(
            parts.scripts,
            parts.subjects,
            parts.catalog,
            parts.clock,
            keeps_overage=parts.keeps_overage,
        )
        self.denials = Denials(parts.scripts, parts.clock, parts.subjects.partitions)
        self.newcomers = Newcomers()
        self._turns = asyncio.Semaphore(TOGETHER_MAX)

    async def together(self, calls: Iterable[Awaitable[Item | None]]) -> list[Item]:
        """Return the answers of a list's reads in order, but those that found nothing any more; all
        lists share the turns.
        """
        found = await in_turns(self._turns, calls)
        return [one for one in found if one is not None]

    async def caught_up(self, env: str, customer_id: str | None) -> None:
        """Wait until SQL has what a customer, or all of them, changed; see ``Subjects``."""
        partitions = [self.subjects.subject(env, customer_id).partition] if customer_id else None
        await self.subjects.caught_up(partitions)

    async def run(self, subject: Subject, call: Callable[[], Awaitable[R]]) -> R:
        """Return the reply of a call once nothing stands in its way; see ``Subjects.run``."""
        return await self.subjects.run(subject, call)

    async def read(self, subject: Subject) -> CustomerReply:
        """Return the customer or, when the subject names one, its entity, with everything it may
        spend.
        """

        async def call() -> CustomerReply:
            return await self.scripts.read_customer(
                subject.keys, self.clock.now_ms(subject.env), subject.entity_id
            )

        return await self.run(subject, call)

    async def carry_out(self, subject: Subject) -> None:
        """Let happen whatever is due to the plans of a customer and of its entities."""
        await self.planner.carry_out(subject)

    async def rules_of(
        self, image: CustomerImage
    ) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
        """Return the rules texts of a customer as SQL knows it, and of its entities."""
        return await rules_of_image(self.catalog, image)

    async def create_customer(self, subject: Subject, data: CustomerData, cursor: str) -> Status:
        """Create the customer with the plans that enable themselves, unless it exists.

        ``cursor`` is what SQL had applied when it did not know the customer. Raises what would
        refuse to create the entity the call is about: its customer is then not created either.
        """
        if subject.entity_id:
            if subject.entity_data is None:
                raise entity_not_found(subject.entity_id)
            entity = subject.entity_data
            await self.countable_feature(subject.env, entity.feature_id)
            await check_controls(self.catalog, subject.env, entity.billing_controls)
        await check_controls(self.catalog, subject.env, data.billing_controls)
        now_ms = self.clock.now_ms(subject.env)
        document = CustomerDocument(
            created_at=now_ms,
            name=data.name,
            email=data.email,
            fingerprint=data.fingerprint,
            stripe_id=data.stripe_id,
            metadata=data.metadata or {},
            send_email_receipts=bool(data.send_email_receipts),
            billing_controls=data.billing_controls or {},
            config=data.config or {},
        )
        change = await self.first_change(subject.env, data, now_ms)
        controlled = customer_scope(document, change.subscriptions, change.rows)
        return await self.scripts.create_customer(
            self.subjects.context(subject)._replace(now_ms=now_ms),
            cursor,
            new_id("cus"),
            encode_document(document),
            encode_document(change.subscriptions),
            "\n".join(join("S", "", encode_document(one)) for one in change.touched),
            await rules_of(self.catalog, subject.env, controlled),
            await self.planner.feature_rows(subject.env, change),
        )

    async def first_change(
        self, env: str, data: CustomerData, now_ms: int, *, is_preview: bool = False
    ) -> Change:
        """Return what a new customer holds: the plans that enable themselves, or the one its data
        names. Raises ``PlanNotFoundError`` and ``InvalidRequestError`` for that one.
        """
        change = Change([], [])
        for record, plan in await self._first_plans(env, data.auto_enable_plan_id):
            offer = await self.planner.offer(env, record, plan, is_preview=is_preview)
            scope = Scope("", change.subscriptions, change.rows)
            making = self.planner.making(now_ms)
            change = join_changes(change, attach(scope, offer, NO_TERMS, making))
        return change

    async def _first_plans(self, env: str, plan_id: str | None) -> Sequence[StoredPlan]:
        if plan_id is None:
            return await self.catalog.default_plans(env)
        await self.catalog.renew()
        plan = await self.catalog.plan(env, plan_id)
        if is_paid(plan.document) and not is_default_trial(plan.document):
            raise InvalidRequestError(
                f"auto_enable_plan_id: plan {plan_id} has a price; only a free plan, or one whose "
                "free trial needs no card, can be enabled by itself"
            )
        return [plan]

    async def create_entity_from(self, subject: Subject, data: EntityData) -> None:
        """Create the entity a check or track brings the data of; fine when another call did so
        meanwhile. Raises ``InvalidInputsError`` where that would cost a seat.
        """
        now_ms = self.clock.now_ms(subject.env)
        reply = await self.scripts.read_customer(subject.keys, now_ms, "")
        if reply.status is Status.DONE:
            refuse_paid_seats(shared_rows(reply), data.feature_id)
        document = EntityDocument(
            created_at=0, name=data.name, billing_controls=data.billing_controls or {}
        )
        status = await self.place_entity(subject, data.feature_id, document)
        if status is Status.DUE:
            await self.subjects.settle(subject)

    async def place_entity(
        self, subject: Subject, feature_id: str, document: EntityDocument
    ) -> Status:
        """Run ``create_entity``.

        Raises ``FeatureNotFoundError``, ``InvalidRequestError`` for a consumable feature and
        ``FeatureLimitError``.
        """
        if not subject.entity_id:
            raise EntityNotFoundError
        rules = ""
        if document.billing_controls:
            await check_controls(self.catalog, subject.env, document.billing_controls)
            rules = await rules_of(self.catalog, subject.env, entity_scope(document, rows={}))
        feature = await self.countable_feature(subject.env, feature_id)
        if not feature.in_use:  # where nothing is created, nobody has begun to use it
            now_ms = self.clock.now_ms(subject.env)
            seen = await self.scripts.read_customer(subject.keys, now_ms, subject.entity_id)
            if seen.status is not Status.ENTITY_MISSING:
                return Status.EXISTS if seen.status is Status.DONE else seen.status
            feature = await self.catalog.use_feature(feature)
        context = self.subjects.context(subject)
        status = await self.scripts.create_entity(
            context,
            subject.entity_id,
            feature.id,
            encode_document(msgspec.structs.replace(document, created_at=context.now_ms)),
            10**feature.precision,
            ENTITIES_MAX,
            rules,
        )
        if status is Status.CAPPED:
            raise FeatureLimitError(f"feature {feature.id} has reached its limit of entities")
        if status is Status.OUT_OF_RANGE:
            raise FeatureLimitError(
                f"feature {feature.id}: what is given to each of its entities would leave the "
                "exact range with one more; tallygate rescale makes that range larger"
            )
        if status is Status.DONE:
            self.newcomers.note(subject.env, subject.entity_id, subject.customer_id)
        return status

    async def entity_feature(self, env: str, feature_id: str) -> FeatureRecord:
        """Return a feature that entities can be of, marked as used."""
        return await self.catalog.use_feature(await self.countable_feature(env, feature_id))

    async def countable_feature(self, env: str, feature_id: str) -> FeatureRecord:
        """Return a feature that entities can be of: metered and not consumable."""
        feature = await self.catalog.feature(env, feature_id)
        if feature.type != "metered" or feature.consumable:
            raise InvalidRequestError(
                "feature_id: entities are of continuous-use features (metered, not consumable); "
                f"{feature.id} is not one"
            )
        return feature
