"""Plans of one scope, read and written: what every change of subscriptions shares, and what happens
to them by itself.

A change is decided on what one script has read and carried out by another, which applies all of it
if nothing changed in between; else it is decided anew. So a plan that was scheduled begins exactly
once, whoever comes first: a call about the customer, a sweep of any process, or both.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

import msgspec

from gateway.documents import (
    Subscription,
    decode_subscriptions,
    encode_document,
    held_entity,
)
from gateway.engine.agenda import Agenda
from gateway.engine.catalog import Catalog
from gateway.engine.controls import (
    own_rows,
    owner_scope,
    reply_scope,
    rules_of,
    shared_rows,
)
from gateway.engine.subject import Subject, Subjects, changed_meanwhile
from gateway.errors import (
    InvalidInputsError,
    InvalidRequestError,
    PlanNotFoundError,
)
from gateway.ids import new_id
from gateway.lifecycle.due import fall_due, first_due
from gateway.lifecycle.plan_rows import Offer, check_range
from gateway.lifecycle.pools import pooled_features, pooled_rows
from gateway.lifecycle.prices import is_paid
from gateway.lifecycle.rules import decode_extras
from gateway.lifecycle.scope import Change, Making, Scope, leave
from gateway.messages.plans import PlanDocument
from gateway.outbox import join
from gateway.ports import Clock, FeatureRecord, PlanRecord
from gateway.rows import Live, Row, decode_live, encode_rows
from gateway.scripts import CustomerReply, FeatureRows, PooledGroups, Scripts, Status

log = logging.getLogger(__name__)

CHANGES_MAX = 50
"""Races one change may lose before it gives up."""


class Planner:
    """See the module docstring."""

    def __init__(
        self,
        scripts: Scripts,
        subjects: Subjects,
        catalog: Catalog,
        clock: Clock,
        *,
        keeps_overage: bool,
    ) -> None:
        self._scripts = scripts
        self._subjects = subjects
        self._catalog = catalog
        self._clock = clock
        self._keeps_overage = keeps_overage
        self.agenda: Agenda = subjects.agenda

    def making(self, now_ms: int) -> Making:
        """Return what decisions at a time need from outside."""
        return Making(now_ms, new_id, self._keeps_overage)

    async def offer(
        self,
        env: str,
        record: PlanRecord,
        document: PlanDocument,
        *,
        is_custom: bool = False,
        is_preview: bool = False,
    ) -> Offer:
        """Return a plan with its features, each marked as used unless it is only looked at: from
        then on their precision is fixed.
        """
        features: dict[str, FeatureRecord] = {}
        for item in document.items:
            for named in filter(None, (item.feature_id, item.entity_feature_id)):
                feature = await self._catalog.feature(env, named)
                if not is_preview:
                    feature = await self._catalog.use_feature(feature)
                features[feature.id] = feature
        return Offer(record, document, features, is_custom)

    async def offer_of(
        self, env: str, subscription: Subscription, *, is_preview: bool = False
    ) -> Offer:
        """Return what a subscription is of. Raises ``PlanNotFoundError``."""
        record, document = await self._catalog.plan(env, subscription.plan_id, subscription.version)
        custom = subscription.custom
        if custom is not None:
            document = msgspec.convert(custom, PlanDocument)
        is_custom = custom is not None
        return await self.offer(env, record, document, is_custom=is_custom, is_preview=is_preview)

    async def default(self, env: str, group: str, *, is_preview: bool = False) -> Offer | None:
        """Return the free plan of a group that enables itself."""
        await self._catalog.renew()
        for record, document in self._catalog.plans(env):
            is_default = record.auto_enable and not record.archived and not record.add_on
            if is_default and record.group == group and not is_paid(document):
                return await self.offer(env, record, document, is_preview=is_preview)
        return None

    async def scope(self, subject: Subject, reply: CustomerReply, now_ms: int) -> Scope:
        """Return the scope of a reply; rows that have expired are left out."""
        customers = decode_subscriptions(reply.subscriptions)
        holds = frozenset(
            one.feature for one in reply.descriptions if decode_extras(one.extras).held
        )
        if not reply.entity:
            rows = _live(shared_rows(reply), now_ms)
            documents, groups = await self._plans_of(subject.env, customers)
            lives = _lives(reply, own=False)
            return Scope("", customers, rows, (), lives, documents, groups=groups, holds=holds)
        held = held_entity(reply.entity).document.subscriptions
        documents, groups = await self._plans_of(subject.env, held)
        return Scope(
            subject.entity_id,
            held,
            _live(own_rows(reply), now_ms),
            {row.id for rows in shared_rows(reply).values() for row in rows},
            _lives(reply, own=True),
            documents,
            customers,
            groups,
            holds,
        )

    async def _plans_of(
        self, env: str, subscriptions: list[Subscription]
    ) -> tuple[dict[str, PlanDocument], dict[str, str]]:
        """Return what each subscription is of, and the group its plan is in, by its id."""
        documents, groups = {}, {}
        for one in subscriptions:
            with contextlib.suppress(PlanNotFoundError):
                plan = await self._catalog.plan(env, one.plan_id, one.version)
                documents[one.id], groups[one.id] = plan.document, plan.record.group
            if one.custom is not None:
                documents[one.id] = msgspec.convert(one.custom, PlanDocument)
        return documents, groups

    async def apply(
        self, subject: Subject, reply: CustomerReply, change: Change, at_ms: int | None = None
    ) -> Status:
        """Carry out a change that was decided on a reply, if nothing has changed since; as of now
        or of an earlier time.
        """
        lines = [join("S", subject.entity_id, encode_document(one)) for one in change.touched]
        # As SQL lists them: a customer that is restored is the same as before.
        subscriptions = sorted(change.subscriptions, key=lambda one: (one.started_at, one.id))
        document = encode_document(subscriptions)
        if reply.entity:
            entity = held_entity(reply.entity)
            document = encode_document(
                msgspec.structs.replace(entity.document, subscriptions=subscriptions)
            )
            lines.append(join("N", subject.entity_id, entity.number, entity.feature_id, document))
        features = {
            row.id: feature
            for feature, rows in _held(reply, own=bool(reply.entity)).items()
            for row in rows
        }
        carries = ("\t".join((features[one.row_id], *one)) for one in change.carries)
        pooled = await self.pooled(subject, reply, change.subscriptions)
        status = await self._scripts.apply_plan(
            self._subjects.context(subject, at_ms),
            reply.revision,
            subject.entity_id,
            document,
            "\n".join(lines),
            await self._rules(subject, reply, change),
            "\n".join(carries),
            await self.feature_rows(subject.env, change),
            pooled,
        )
        if status is Status.DUE:
            await self._subjects.settle(subject, at_ms)
            return Status.STALE
        if status is Status.DONE:
            self._note(subject, first_due(change.subscriptions))
        return status

    async def pooled(
        self, subject: Subject, reply: CustomerReply, subscriptions: Sequence[Subscription]
    ) -> PooledGroups:
        """Return what becomes of the pooled rows of a customer when the entity of a reply holds
        other subscriptions. Raises ``InvalidRequestError`` for a grant out of range.
        """
        held = held_entity(reply.entity).document.subscriptions if reply.entity else ()
        named = pooled_features(held, subscriptions) if reply.entity else ()
        if not named:
            return PooledGroups()
        now_ms = self._clock.now_ms(subject.env)
        rows, dues = pooled_rows(
            _live(shared_rows(reply), now_ms), held, subscriptions, now_ms=now_ms, make_id=new_id
        )
        features = {name: await self._catalog.feature(subject.env, name) for name in named}
        for feature_id, changed in rows.items():
            check_range(feature_id, (row for row in changed if row.pooled), features)
        before = owner_scope(reply)
        after = before._replace(rows={**before.rows, **rows})
        return PooledGroups(
            await rules_of(self._catalog, subject.env, after, before),
            await self.feature_rows(subject.env, Change([], [], rows, dues)),
        )

    async def feature_rows(self, env: str, change: Change) -> list[FeatureRows]:
        """Return the rows of a change as the scripts take them."""
        groups = []
        for feature_id, rows in change.rows.items():
            feature = await self._catalog.feature(env, feature_id)
            text = " ".join(_begins(change, row) for row in rows)
            groups.append(FeatureRows(feature_id, encode_rows(rows), text, 10**feature.precision))
        return groups

    async def _rules(self, subject: Subject, reply: CustomerReply, change: Change) -> str:
        before = reply_scope(reply)
        rows = {**before.rows, **change.rows}
        after = before._replace(subscriptions=change.subscriptions, rows=rows)
        return await rules_of(self._catalog, subject.env, after, before)

    def _note(self, subject: Subject, first: Subscription | None) -> None:
        due_ms = None if first is None else first.due_at
        now_ms = self._clock.now_ms(subject.env)
        self.agenda.note(subject.env, subject.customer_id, subject.entity_id, due_ms, now_ms)

    async def carry_out(self, subject: Subject) -> None:
        """Let happen whatever is due to the plans of a customer and of its entities, one thing
        after the other, each as of its time: what resets before it has been reset before it.

        Raises ``UnavailableError`` when the customer keeps changing.
        """
        known = (subject.env, subject.customer_id)
        while (first := self.agenda.first(*known, self._clock.now_ms(subject.env))) is not None:
            at_ms, entity_id = first
            await self._carry_out(subject._replace(entity_id=entity_id), at_ms)

    async def _carry_out(self, subject: Subject, at_ms: int) -> None:
        """Let happen what is due in one scope by a time, and note when more is."""
        for _ in range(CHANGES_MAX):
            reply = await self._scripts.read_customer(subject.keys, at_ms, subject.entity_id)
            if reply.status is Status.DUE:
                await self._subjects.settle(subject, at_ms)
                continue
            if reply.status is not Status.DONE:  # gone, or comes back with its dates
                self._note(subject, None)
                return
            scope = await self.scope(subject, reply, at_ms)
            first = first_due(scope.subscriptions)
            if first is None or first.due_at is None or first.due_at > at_ms:
                self._note(subject, first)
                return
            await self._happen(subject, reply, scope, first)
        raise changed_meanwhile(subject.customer_id)

    async def _happen(
        self, subject: Subject, reply: CustomerReply, scope: Scope, one: Subscription
    ) -> None:
        at_ms = one.due_at or 0
        try:
            offer = await self.offer_of(subject.env, one)
            default = await self.default(subject.env, scope.group_of(one))
            change = fall_due(scope, one, offer, default, self.making(at_ms))
            status = await self.apply(subject, reply, change, at_ms)
        except (PlanNotFoundError, InvalidInputsError, InvalidRequestError):
            status = Status.OUT_OF_RANGE
        if status is Status.OUT_OF_RANGE:
            # It can never begin: better without it than to try again with every call.
            named = (one.plan_id, subject.env, subject.customer_id)
            log.error("plan %s of %s customer %s cannot go on and ends", *named)
            await self.apply(subject, reply, leave(scope, [one], at_ms), at_ms)


def _begins(change: Change, row: Row) -> str:
    """Return when a row resets first; of one that stays, to when that moves; of one that comes
    back, what it has as well.
    """
    if row.id in change.moves:
        return f"={change.moves[row.id]}"
    due_ms = change.dues.get(row.id, 0)
    back = change.returning.get(row.id)
    if back is None:
        return str(due_ms)
    used = ",".join(f"{number}={units}" for number, units in back.used.items())
    rolled = "".join(f"\x1e{text}" for text in back.rolled).replace("\t", "\x1f")
    return f"{due_ms}:{back.period}:{used}{rolled}"


def _held(reply: CustomerReply, *, own: bool) -> dict[str, list[Row]]:
    return own_rows(reply) if own else shared_rows(reply)


def _live(rows: dict[str, list[Row]], now_ms: int) -> dict[str, list[Row]]:
    found = {
        feature: [row for row in held if not row.has_expired(now_ms)]
        for feature, held in rows.items()
    }
    return {feature: held for feature, held in found.items() if held}


def _lives(reply: CustomerReply, *, own: bool) -> dict[str, Live]:
    rows = _held(reply, own=own)
    return {
        row.id: live
        for one in reply.descriptions
        for row, live in zip(
            rows[one.feature], decode_live(one.own_live if own else one.live), strict=True
        )
    }
