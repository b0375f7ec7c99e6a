"""``entities.*``: seats, workspaces, projects under a customer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from gateway.documents import EntityDocument, encode_document, held_entity
from gateway.engine.controls import check_controls, entity_scope, own_rows, rules_of
from gateway.engine.creation import Creation, check_sizes
from gateway.engine.paging import place_among, subjects_of
from gateway.engine.planner import CHANGES_MAX
from gateway.engine.portraits import entity_view
from gateway.engine.subject import Subject, changed_meanwhile, entity_not_found
from gateway.errors import (
    CustomerNotFoundError,
    EntityAmbiguousError,
    EntityExistsError,
    EntityNotFoundError,
    UnavailableError,
    UnknownOutcomeError,
)
from gateway.messages.entities import (
    EntityCreateRequest,
    EntityGetRequest,
    EntityListRequest,
    EntityListResponse,
    EntityUpdateRequest,
    EntityView,
)
from gateway.messages.subjects import CustomerData, EntityData
from gateway.ports import ListQuery
from gateway.scripts import CustomerReply, Status

_POOLED = '"pooled":['
"""What the text of an entity has whose plans give to pooled rows, as ``delete_entity`` looks for
it."""


@contextlib.contextmanager
def _naming_the_entity(subject: Subject) -> Iterator[None]:
    """Of an unknown customer's entity, say that the entity is unknown, as the reference does."""
    try:
        yield
    except CustomerNotFoundError as error:
        raise entity_not_found(subject.entity_id) from error


def _exists(subject: Subject) -> EntityExistsError:
    return EntityExistsError(f"Entity {subject.entity_id} already exists")


def _ended(subject: Subject, request: EntityCreateRequest, now_ms: int) -> EntityView:
    """Return an entity that was created, and deleted by somebody else before it could be read."""
    return EntityView(
        id=subject.entity_id,
        name=request.name,
        customer_id=subject.customer_id,
        feature_id=request.feature_id,
        created_at=now_ms,
        env=subject.env,
        subscriptions=[],
        purchases=[],
        balances={},
        flags={},
        billing_controls=request.billing_controls or {},
        invoices=[],
    )


class Entities(Creation):
    """Entities: create, get, change, list, delete."""

    async def create_entity(self, env: str, request: EntityCreateRequest) -> EntityView:
        """Create the entity, and the customer when there is none.

        Raises ``EntityExistsError``, ``FeatureNotFoundError``, ``InvalidRequestError`` for a
        consumable feature.
        """
        await self.countable_feature(env, request.feature_id)
        subject = self.subjects.subject(
            env,
            request.customer_id,
            entity_id=request.entity_id,
            customer_data=request.customer_data or CustomerData(),
            entity_data=EntityData(feature_id=request.feature_id, name=request.name),
        )
        document = EntityDocument(
            created_at=0, name=request.name, billing_controls=request.billing_controls or {}
        )

        place = partial(self.place_entity, subject, request.feature_id, document)
        if await self.run(subject, place) is Status.EXISTS:
            raise _exists(subject)
        try:
            return await self._entity_view(subject.creating_nobody)
        except UnavailableError as error:  # which would say that nothing was changed
            raise UnknownOutcomeError from error
        except (CustomerNotFoundError, EntityNotFoundError):
            return _ended(subject, request, self.clock.now_ms(env))

    async def check_entities(self, env: str, requests: Sequence[EntityCreateRequest]) -> None:
        """Raise what would refuse to create one of several entities, before any is created; but
        for a limit of them.
        """
        for request in requests:
            await self.countable_feature(env, request.feature_id)
            await check_controls(self.catalog, env, request.billing_controls)
            subject = self.subjects.subject(env, request.customer_id, entity_id=request.entity_id)
            with contextlib.suppress(CustomerNotFoundError, EntityNotFoundError):
                await self.read(subject)
                raise _exists(subject)

    async def get_entity(self, env: str, request: EntityGetRequest) -> EntityView:
        """Return the entity. Raises ``EntityNotFoundError`` and, without a customer,
        ``EntityAmbiguousError``.
        """
        subject = await self._find_entity(env, request.entity_id, request.customer_id)
        try:
            with _naming_the_entity(subject):
                return await self._entity_view(subject)
        except EntityNotFoundError:
            if request.customer_id:
                raise
        # It was deleted, and another customer may have one of this id by now.
        subject = await self._find_entity(env, request.entity_id, None, is_certain=True)
        with _naming_the_entity(subject):
            return await self._entity_view(subject)

    async def update_entity(self, env: str, request: EntityUpdateRequest) -> EntityView:
        """Replace the arrays of billing controls that are given."""
        subject = await self._find_entity(
            env, request.entity_id, request.customer_id, is_certain=True
        )
        await check_controls(self.catalog, env, request.billing_controls)
        for _ in range(CHANGES_MAX):
            with _naming_the_entity(subject):
                reply = await self.read(subject)
            document = held_entity(reply.entity).document
            controls = document.billing_controls | (request.billing_controls or {})
            check_sizes({"billing_controls": controls})
            changed = msgspec.structs.replace(document, billing_controls=controls)
            rows = own_rows(reply)
            rules = await rules_of(
                self.catalog, env, entity_scope(changed, rows), entity_scope(document, rows)
            )
            status = await self.scripts.update_entity(
                self.subjects.context(subject),
                reply.revision,
                subject.entity_id,
                encode_document(changed),
                rules,
            )
            if status is Status.DONE:
                return await self._entity_view(subject)
        raise changed_meanwhile(subject.customer_id)

    async def delete_entity(self, env: str, request: EntityGetRequest) -> None:
        """Delete the entity: its seat is given back, its balances are gone. Raises
        ``EntityNotFoundError``.
        """
        subject = await self._find_entity(
            env, request.entity_id, request.customer_id, is_certain=True
        )
        for _ in range(CHANGES_MAX):
            with _naming_the_entity(subject):
                reply = await self.read(subject)
            if await self._delete(subject, reply) is not Status.STALE:
                return
        raise changed_meanwhile(subject.customer_id)

    async def _delete(self, subject: Subject, reply: CustomerReply) -> Status:
        feature_id = held_entity(reply.entity).feature_id
        feature = await self.entity_feature(subject.env, feature_id)
        pooled = await self.planner.pooled(subject, reply, ())
        revision = reply.revision if _POOLED in reply.entity else ""

        async def call() -> Status:
            return await self.scripts.delete_entity(
                self.subjects.context(subject),
                subject.entity_id,
                10**feature.precision,
                revision,
                pooled,
            )

        return await self.run(subject, call)

    async def list_entities(
        self, env: str, request: EntityListRequest, *, cursor_paging: bool
    ) -> EntityListResponse:
        """Return one page of entities, newest first. Raises ``CustomerNotFoundError`` when there
        are none because there is no such customer.
        """
        await self.caught_up(env, request.customer_id)
        query = ListQuery(
            env=env,
            customer_id=request.customer_id,
            **subjects_of(request, cursor_paging=cursor_paging),
        )
        page = await self.reader.list_entities(query)
        if not page.items and request.customer_id:
            await self.read(self.subjects.subject(env, request.customer_id))
        views = await self.together(
            self._listed_entity(env, customer_id, entity_id)
            for customer_id, entity_id in page.items
        )
        place = place_among(query, page, cursor_paging=cursor_paging)
        return EntityListResponse(list=views, **place)

    async def _listed_entity(self, env: str, customer_id: str, entity_id: str) -> EntityView | None:
        try:
            return await self._entity_view(
                self.subjects.subject(env, customer_id, entity_id=entity_id)
            )
        except (CustomerNotFoundError, EntityNotFoundError):  # deleted since SQL listed it
            return None

    async def _find_entity(
        self, env: str, entity_id: str, customer_id: str | None, *, is_certain: bool = False
    ) -> Subject:
        """Return the entity, of whichever customer when none is named. When it must be certain
        that no other customer has one, SQL is waited for first: it may be behind. Raises
        ``UnavailableError`` while it is.
        """
        if customer_id:
            return self.subjects.subject(env, customer_id, entity_id=entity_id)
        found = () if is_certain else await self.reader.find_entity(env, entity_id)
        lately = self.newcomers.customers(env, entity_id)
        if not found or not lately.issubset(one.customer_id for one in found):
            await self.subjects.known()
            found = await self.reader.find_entity(env, entity_id)
            self.newcomers.forget(env, entity_id, lately)
        if not found:
            raise entity_not_found(entity_id)
        if len(found) > 1:
            raise EntityAmbiguousError(
                f"several customers have an entity {entity_id}: send customer_id too"
            )
        return self.subjects.subject(env, found[0].customer_id, entity_id=entity_id)

    async def _entity_view(self, subject: Subject) -> EntityView:
        return await entity_view(
            self.catalog, subject, await self.read(subject), self.clock.now_ms(subject.env)
        )
