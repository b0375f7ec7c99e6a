"""``billing.attach``: read the scope, decide (``gateway.lifecycle.attach``), apply if nothing
changed meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gateway.amounts import parse_decimal
from gateway.engine.controls import (
    customer_scope,
    entity_scope,
    own_rows,
    rules_of,
    shared_rows,
)
from gateway.engine.creation import CHANGES_MAX, Creation, changed_meanwhile, encode_document
from gateway.engine.portraits import decode_customer, decode_entity, decode_subscriptions
from gateway.errors import InvalidRequestError, PlanNotFoundError
from gateway.ids import new_id
from gateway.lifecycle.attach import Change, Scope, attach
from gateway.messages.billing import AttachResponse
from gateway.messages.common import integer
from gateway.outbox import join
from gateway.scripts import Status

if TYPE_CHECKING:
    from decimal import Decimal

    from gateway.engine.portraits import EntityText
    from gateway.engine.subject import Subject
    from gateway.messages.billing import AttachRequest
    from gateway.scripts import CustomerReply


class Attachments(Creation):
    """Plans of customers and entities."""

    async def attach(self, env: str, request: AttachRequest) -> AttachResponse:
        """Attach the plan, at once and without payment.

        Raises ``PlanNotFoundError``, ``PlanAttachedError`` and the not-found errors of the subject.
        """
        record, document = await self.catalog.plan(env, request.plan_id)
        if integer(request.version, field="version") not in (None, record.version):
            msg = f"Plan {request.plan_id} has no version {request.version}"
            raise PlanNotFoundError(msg)
        if record.archived:
            msg = f"plan {record.id} is archived"
            raise InvalidRequestError(msg)
        offer = await self.offer(env, record, document)
        quantities: dict[str, Decimal] = {
            one.feature_id: parse_decimal(bytes(one.quantity), field="feature_quantities.quantity")
            for one in request.feature_quantities or ()
        }
        subject = self.subjects.subject(
            env,
            request.customer_id,
            entity_id=request.entity_id,
            customer_data=request.customer_data,
            entity_data=request.entity_data,
        )

        for _ in range(CHANGES_MAX):
            reply = await self.read(subject)
            entity = decode_entity(reply.entity) if reply.entity else None
            change = attach(
                _scope(subject, reply, entity),
                offer,
                quantities=quantities,
                now_ms=self.clock.now_ms(env),
                make_id=new_id,
                keeps_overage=self.keeps_overage,
            )
            status = await self._apply(subject, reply, entity, change)
            if status is Status.OUT_OF_RANGE:
                msg = f"plan {record.id}: the grants of all entities together would leave the range"
                raise InvalidRequestError(msg)
            if status is Status.DONE:
                return AttachResponse(
                    customer_id=subject.customer_id, entity_id=subject.entity_id or UNSET
                )
        raise changed_meanwhile(subject.customer_id)

    async def _apply(
        self, subject: Subject, reply: CustomerReply, entity: EntityText | None, change: Change
    ) -> Status:
        lines = [join("S", subject.entity_id, encode_document(one)) for one in change.touched]
        if entity is None:
            document = msgspec.json.encode(change.subscriptions).decode()
        else:
            document = encode_document(
                msgspec.structs.replace(entity.document, subscriptions=change.subscriptions)
            )
            lines.append(join("N", subject.entity_id, entity.number, entity.feature_id, document))
        return await self.scripts.apply_plan(
            self.subjects.context(subject),
            reply.revision,
            subject.entity_id,
            document,
            "\n".join(lines),
            await self._rules(subject, reply, entity, change),
            await self.feature_rows(subject.env, change),
        )

    async def _rules(
        self, subject: Subject, reply: CustomerReply, entity: EntityText | None, change: Change
    ) -> str:
        customer = decode_customer(reply.document)
        if entity is None:
            subscriptions = decode_subscriptions(reply.subscriptions)
            before = customer_scope(customer, subscriptions, shared_rows(reply))
        else:
            before = entity_scope(entity.document, customer, own_rows(reply))
        rows = {**before.rows, **change.rows}
        after = before._replace(subscriptions=change.subscriptions, rows=rows)
        return await rules_of(self.catalog, subject.env, after, before)


def _scope(subject: Subject, reply: CustomerReply, entity: EntityText | None) -> Scope:
    if entity is not None:
        inherited = {row.id for rows in shared_rows(reply).values() for row in rows}
        return Scope(subject.entity_id, entity.document.subscriptions, own_rows(reply), inherited)
    return Scope("", decode_subscriptions(reply.subscriptions), shared_rows(reply))
