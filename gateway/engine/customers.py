"""``customers.*``: one read script for each customer that is shown, one script for each change."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from gateway.documents import (
    CustomerDocument,
    decode_customer,
    decode_subscriptions,
    encode_document,
    held_entity,
)
from gateway.engine.controls import check_controls, customer_scope, rules_of, shared_rows
from gateway.engine.creation import Creation, check_sizes
from gateway.engine.paging import place_among, subjects_of
from gateway.engine.planner import CHANGES_MAX
from gateway.engine.portraits import (
    customer_view,
    entity_summary,
    held_plan,
)
from gateway.engine.subject import Subject, changed_meanwhile
from gateway.errors import CustomerNotFoundError, NotSupportedError
from gateway.ids import nameless_id
from gateway.lifecycle.catalog import StoredPlan
from gateway.messages.common import integer
from gateway.messages.customers import (
    CreatedAtRange,
    CustomerCreateRequest,
    CustomerDeleteRequest,
    CustomerGetRequest,
    CustomerListRequest,
    CustomerListResponse,
    CustomerUpdateRequest,
    CustomerView,
)
from gateway.messages.subjects import CustomerData
from gateway.ports import ListQuery
from gateway.scripts import CustomerReply, Status

EXPANDED_MAX = 5_000
"""Entities ``expand: ["entities"]`` lists, the newest ones; ``entities.list`` pages through all."""

_NONE_OF = ("invoices", "invoice_previews", "referrals")
"""Lists a caller may ask for and walk through, and nobody has anything of."""


class Customers(Creation):
    """Customers: get, create, change, list, delete."""

    async def get_or_create_customer(
        self, env: str, request: CustomerCreateRequest
    ) -> CustomerView:
        """Return the customer, created with the plans that enable themselves when there is none.

        Without an id it is found by its email. Of a customer that exists only an empty name or
        email is filled, and send_email_receipts follows.
        """
        data = msgspec.convert(msgspec.structs.asdict(request), CustomerData, strict=False)
        customer_id = request.customer_id or nameless_id(request.email or "")
        subject = self.subjects.subject(env, customer_id, customer_data=data)
        for _ in range(CHANGES_MAX):
            reply = await self.read(subject)
            document = decode_customer(reply.document)
            filled = _filled(document, request)
            if filled == document:
                return await self._customer_view(subject, reply, request.expand)
            await self.scripts.update_customer(
                self.subjects.context(subject), reply.revision, encode_document(filled)
            )
        raise changed_meanwhile(customer_id)

    async def get_customer(self, env: str, request: CustomerGetRequest) -> CustomerView:
        """Return the customer. Raises ``CustomerNotFoundError``."""
        subject = self.subjects.subject(env, request.customer_id)
        return await self._customer_view(subject, await self.read(subject), request.expand)

    async def held_plans(
        self, env: str, customer_id: str, entity_id: str | None
    ) -> dict[tuple[str, int], StoredPlan]:
        """Return the plans of a customer and of one of its entities as they hold them, by id and
        beginning. Raises the not-found errors of the subject.
        """
        subject = self.subjects.subject(env, customer_id, entity_id=entity_id)
        reply = await self.read(subject)
        held = decode_subscriptions(reply.subscriptions)
        if reply.entity:
            held += held_entity(reply.entity).document.subscriptions
        plans = {
            (one.plan_id, one.started_at): await held_plan(self.catalog, env, one) for one in held
        }
        return {key: plan for key, plan in plans.items() if plan is not None}

    async def update_customer(self, env: str, request: CustomerUpdateRequest) -> CustomerView:
        """Change the fields that are given. Raises ``CustomerNotFoundError``."""
        if request.new_customer_id not in (None, request.customer_id):
            raise NotSupportedError("new_customer_id: renaming a customer is not supported")
        await check_controls(self.catalog, env, request.billing_controls)
        subject = self.subjects.subject(env, request.customer_id)
        for _ in range(CHANGES_MAX):
            reply = await self.read(subject)
            before = decode_customer(reply.document)
            document = _changed(before, request)
            held = (decode_subscriptions(reply.subscriptions), shared_rows(reply))
            rules = await rules_of(
                self.catalog, env, customer_scope(document, *held), customer_scope(before, *held)
            )
            status = await self.scripts.update_customer(
                self.subjects.context(subject), reply.revision, encode_document(document), rules
            )
            if status is Status.DONE:
                return await self._customer_view(subject, await self.read(subject), None)
        raise changed_meanwhile(request.customer_id)

    async def delete_customer(self, env: str, request: CustomerDeleteRequest) -> None:
        """Delete the customer with everything it holds. Raises ``CustomerNotFoundError``."""
        subject = self.subjects.subject(env, request.customer_id)
        for _ in range(CHANGES_MAX):
            await self.read(subject)  # brings it, also one that left Redis meanwhile
            status = await self.scripts.delete_customer(self.subjects.context(subject))
            if status is Status.DONE:
                return
        raise changed_meanwhile(request.customer_id)

    async def list_customers(
        self, env: str, request: CustomerListRequest, *, cursor_paging: bool
    ) -> CustomerListResponse:
        """Return one page of customers."""
        await self.subjects.caught_up()
        created = request.created_at_range or CreatedAtRange()
        query = ListQuery(
            env=env,
            created=(
                integer(created.start, field="created_at_range.start"),
                integer(created.end, field="created_at_range.end"),
            ),
            oldest_first=request.sort_order == "asc",
            **subjects_of(request, cursor_paging=cursor_paging),
        )
        page = await self.reader.list_customers(query)
        views = await self.together(
            self._listed_customer(env, customer_id) for customer_id, _ in page.items
        )
        place = place_among(query, page, cursor_paging=cursor_paging)
        return CustomerListResponse(list=views, **place)

    async def _listed_customer(self, env: str, customer_id: str) -> CustomerView | None:
        subject = self.subjects.subject(env, customer_id)
        try:
            return await self._customer_view(subject, await self.read(subject), None)
        except CustomerNotFoundError:  # deleted since SQL listed it
            return None

    async def _customer_view(
        self, subject: Subject, reply: CustomerReply, expand: list[str] | None
    ) -> CustomerView:
        wanted = frozenset(expand or ())
        now_ms = self.clock.now_ms(subject.env)
        view = await customer_view(self.catalog, subject, reply, now_ms, wanted)
        if "entities" in wanted:
            await self.subjects.caught_up([subject.partition])
            query = ListQuery(env=subject.env, limit=EXPANDED_MAX, customer_id=subject.customer_id)
            page = await self.reader.list_entities(query)
            view.entities = await self.together(
                entity_summary(self.scripts, subject, entity_id, now_ms)
                for _, entity_id in page.items
            )
        if "trials_used" in wanted:
            await self.subjects.caught_up([subject.partition])
            tried = await self.reader.tried_plans(subject.env, subject.customer_id, "")
            whose = {"customer_id": view.id, "fingerprint": view.fingerprint}
            view.trials_used = [{"plan_id": plan_id, **whose} for plan_id in sorted(tried)]
        for name in _NONE_OF:
            if name in wanted:
                setattr(view, name, [])
        return view


def _filled(document: CustomerDocument, request: CustomerCreateRequest) -> CustomerDocument:
    """Return the document of a customer that exists with what a request adds to it."""
    receipts = request.send_email_receipts
    return msgspec.structs.replace(
        document,
        name=document.name or request.name,
        email=document.email or request.email,
        send_email_receipts=document.send_email_receipts if receipts is None else receipts,
    )


def _changed(document: CustomerDocument, request: CustomerUpdateRequest) -> CustomerDocument:
    """Return the document with the request's fields: metadata is merged, a null value removes its
    key, and each array of billing controls replaces the one it names.
    """
    changes: dict[str, object] = {
        name: value
        for name in ("name", "email", "fingerprint", "stripe_id")
        if (value := getattr(request, name)) is not UNSET
    }
    if request.send_email_receipts is not None:
        changes["send_email_receipts"] = request.send_email_receipts
    if request.metadata is not None:
        merged = document.metadata | request.metadata
        changes["metadata"] = {key: value for key, value in merged.items() if value is not None}
    if request.billing_controls is not None:
        changes["billing_controls"] = document.billing_controls | request.billing_controls
    if request.config is not None:
        changes["config"] = document.config | request.config
    check_sizes(changes)
    return msgspec.structs.replace(document, **changes)
