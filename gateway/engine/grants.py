"""Balances one by one: create, change and delete them, and set what is used (hot-path
sections 1.5 and 1.10).

Each change reads the customer, decides (``gateway.lifecycle.grants``) and hands edits of rows and a
target for what is left or used to one script, which applies both if no row has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec

from gateway.amounts import parse_units
from gateway.documents import held_entity
from gateway.engine.controls import reply_scope, rules_of
from gateway.engine.foresight import Foresight
from gateway.engine.planner import CHANGES_MAX
from gateway.engine.subject import Subject, changed_meanwhile
from gateway.engine.views import held_of
from gateway.errors import (
    BalanceExistsError,
    BalanceNotFoundError,
    CustomerNotFoundError,
    EntityNotFoundError,
    InvalidInputsError,
    InvalidRequestError,
)
from gateway.ids import ROW_PREFIX, new_id
from gateway.lifecycle.grants import (
    Edit,
    Filter,
    Holding,
    changed_rows,
    edited_rows,
    ended_rows,
    granted,
    lowered_precision,
    new_grant,
)
from gateway.lifecycle.rules import is_alone
from gateway.messages.common import given
from gateway.messages.features import FeatureUpdateRequest
from gateway.messages.grants import (
    BalanceCreateRequest,
    BalanceDeleteRequest,
    BalanceUpdateRequest,
    UsageSetRequest,
)
from gateway.messages.subjects import CustomerData
from gateway.ports import FeatureRecord
from gateway.rows import Kind, Row, decode_rows, encode_row
from gateway.scripts import CustomerReply, Description, RowEdit, Status, Target

_TARGETS = {"remaining": Target.REMAINING, "usage": Target.USAGE, "add_to_balance": Target.ADD}


class Aim(NamedTuple):
    """What is to be left or used, in units; ``rows`` are those meant, all of them when empty."""

    target: Target = Target.NONE
    amount: int = 0
    rows: Sequence[str] = ()


class Decision(NamedTuple):
    """What one change of balances does."""

    edits: Sequence[Edit] = ()
    aim: Aim = Aim()
    claim: str = ""
    """An id the caller chose, which no other balance of the customer may have."""


class _Update(NamedTuple):
    """A change of balances: the field that says it, and what it comes to."""

    field: str
    decide: Callable[[Holding], Decision]


class Grants(Foresight):
    """Balances that are granted, changed and ended on their own."""

    async def create_balance(
        self, env: str, request: BalanceCreateRequest, request_id: str
    ) -> None:
        """Give a balance. Raises ``BalanceExistsError``, ``FeatureNotFoundError`` and the not-found
        errors of the subject, ``InvalidInputsError`` naming a field that breaks a rule.
        """
        seen = feature = await self.catalog.feature(env, request.feature_id)
        amount = granted(request, feature)
        row_id = request.balance_id or new_id(ROW_PREFIX)
        subject = self._subject(env, request, request_id)

        def decide(holding: Holding) -> Decision:
            now_ms = self.clock.now_ms(env)
            edit = new_grant(
                request,
                feature,
                holding,
                amount=amount,
                now_ms=now_ms,
                row_id=row_id,
                keeps_overage=self.keeps_overage,
            )
            return Decision([edit], claim=request.balance_id or "")

        if not seen.in_use:  # a call that is refused must not fix its precision
            lowered = lowered_precision(amount, seen)
            if lowered is not None:
                feature = msgspec.structs.replace(seen, precision=lowered)
            decide(await self._held(subject, feature))
        feature = await self._hold(seen, amount)
        status = await self._adjust(subject, feature, decide)
        if status is Status.EXISTS:
            raise BalanceExistsError(f"balance_id: the customer has a balance {row_id} already")
        _refuse_range(status, "included_grant", feature)

    async def update_balance(
        self, env: str, request: BalanceUpdateRequest, request_id: str
    ) -> None:
        """Change balances, or what is left or used of them. Raises ``BalanceNotFoundError`` and the
        not-found errors of the subject.
        """
        feature = await self.catalog.feature(env, request.feature_id)
        if not feature.in_use:  # a call that is refused must not fix its precision
            await self.check_update(env, request)
        if feature.type != "boolean":
            feature = await self.catalog.use_feature(feature)
        update = _update_of(request, feature)
        subject = self._subject(env, request, request_id)
        status = await self._adjust(subject, feature, update.decide)
        _refuse_range(status, update.field, feature)

    async def check_update(self, env: str, request: BalanceUpdateRequest) -> None:
        """Raise what would refuse a change of balances now."""
        feature = await self.catalog.feature(env, request.feature_id)
        subject = self._subject(env, request, "")
        _update_of(request, feature).decide(await self._held(subject, feature))

    async def set_usage(self, env: str, request: UsageSetRequest, request_id: str) -> None:
        """Make what is used of a feature equal ``value``; the customer is created if there is none.

        Raises ``BalanceNotFoundError`` when nothing of the feature is held.
        """
        feature = await self.catalog.feature(env, request.feature_id)
        if feature.type == "boolean":
            raise InvalidRequestError(
                f"feature_id: feature {feature.id} is boolean, nothing of it is used"
            )
        amount = parse_units(bytes(request.value), feature.precision, field="value")

        def decide(holding: Holding) -> Decision:
            if not holding.spendable and not holding.held:
                raise _none_fits(feature)
            return Decision(aim=Aim(Target.USAGE, amount))

        subject = self.subjects.named(env, request, request_id)
        subject = subject._replace(customer_data=request.customer_data or CustomerData())
        # A call that is refused creates nobody, and fixes no precision.
        try:
            decide(await self._held(subject.creating_nobody, feature))
        except (CustomerNotFoundError, EntityNotFoundError) as error:
            if not await self.would_hold(subject, feature.id):
                raise _none_fits(feature) from error
        feature = await self.catalog.use_feature(feature)
        amount = parse_units(bytes(request.value), feature.precision, field="value")
        _refuse_range(await self._adjust(subject, feature, decide), "value", feature)

    async def delete_balance(
        self, env: str, request: BalanceDeleteRequest, request_id: str
    ) -> None:
        """End balances. Raises ``BalanceNotFoundError``, ``BalancePricedError`` for one that
        belongs to a price, ``BalancePooledError`` for a pooled one, and the not-found errors of
        the subject.
        """
        subject = self._subject(env, request, request_id)
        feature_id = request.feature_id or await self._feature_of(subject, request.balance_id)
        feature = await self.catalog.feature(env, feature_id)
        chosen = Filter(request.balance_id, request.interval)
        recalculate = bool(request.recalculate_balances)

        def decide(holding: Holding) -> Decision:
            matched = chosen.select(holding.own)
            if not matched:
                raise _none_fits(feature)
            edits = ended_rows(holding, matched, recalculate=recalculate)
            return Decision(edits, Aim(Target.CARRY) if recalculate else Aim())

        _refuse_range(await self._adjust(subject, feature, decide), "feature_id", feature)

    def _subject(
        self,
        env: str,
        request: BalanceCreateRequest | BalanceUpdateRequest | BalanceDeleteRequest,
        request_id: str,
    ) -> Subject:
        return self.subjects.subject(
            env, request.customer_id, entity_id=request.entity_id, request_id=request_id
        )

    async def _hold(self, feature: FeatureRecord, amount: Decimal) -> FeatureRecord:
        """Return the feature with its precision fixed, lowered first if the grant needs that."""
        lowered = lowered_precision(amount, feature)
        if lowered is not None:
            change = FeatureUpdateRequest(feature_id=feature.id, precision=lowered)
            feature = await self.catalog.update_feature(feature.env, change)
        return await self.catalog.use_feature(feature)

    async def _feature_of(self, subject: Subject, balance_id: str | None) -> str:
        reply = await self.read(subject)
        for seen in reply.descriptions:
            text = seen.own_rows if subject.entity_id else seen.rows
            if any(row.id == balance_id for row in decode_rows(text)):
                return seen.feature
        raise BalanceNotFoundError(f"balance_id: no balance {balance_id} is held here")

    async def _held(self, subject: Subject, feature: FeatureRecord) -> Holding:
        reply = await self.read(subject)
        return _holding(subject, reply, feature.id, self.clock.now_ms(subject.env))

    async def _adjust(
        self, subject: Subject, feature: FeatureRecord, decide: Callable[[Holding], Decision]
    ) -> Status:
        """Apply what is decided on the rows of now; decide anew when they have changed."""
        for _ in range(CHANGES_MAX):
            reply = await self.read(subject)
            decision = decide(_holding(subject, reply, feature.id, self.clock.now_ms(subject.env)))
            rules = await self._rules_after(subject, reply, feature.id, decision.edits)
            apply = partial(self._apply, subject, feature, reply.revision, decision, rules)
            status = await self.run(subject, apply)
            if status is not Status.STALE:
                return status
        raise changed_meanwhile(subject.customer_id)

    async def _apply(
        self,
        subject: Subject,
        feature: FeatureRecord,
        revision: str,
        decision: Decision,
        rules: str,
    ) -> Status:
        edits = [
            RowEdit(
                edit.row_id,
                "" if edit.due_ms is None else str(edit.due_ms),
                "" if edit.row is None else encode_row(edit.row),
            )
            for edit in decision.edits
        ]
        return await self.scripts.adjust_balance(
            self.subjects.context(subject),
            revision,
            subject.entity_id,
            feature.id,
            10**feature.precision,
            decision.claim,
            decision.aim.target,
            decision.aim.amount,
            "\t".join(decision.aim.rows),
            rules,
            edits,
        )

    async def _rules_after(
        self, subject: Subject, reply: CustomerReply, feature_id: str, edits: Sequence[Edit]
    ) -> str:
        """Return the rules of the scope once the edits are made: which features controls are about
        follows from the rows.
        """
        if not edits:
            return ""
        before = reply_scope(reply)
        rows = edited_rows(before.rows.get(feature_id, ()), edits)
        after = before._replace(rows={**before.rows, feature_id: rows})
        return await rules_of(self.catalog, subject.env, after, before)


def _update_of(request: BalanceUpdateRequest, feature: FeatureRecord) -> _Update:
    if feature.type == "boolean":
        _refuse_amounts(request)
    field, target = next(
        ((name, target) for name, target in _TARGETS.items() if given(getattr(request, name))),
        ("included_grant", Target.NONE),
    )
    amount = 0
    if target is not Target.NONE:
        amount = parse_units(bytes(getattr(request, field)), feature.precision, field=field)
    chosen = Filter(request.balance_id, request.interval)

    def decide(holding: Holding) -> Decision:
        moves = target is not Target.NONE
        matched = chosen.select(holding.spendable if moves else holding.visible)
        narrowed = chosen != Filter()
        if not matched and (narrowed or not holding.held):
            raise _none_fits(feature)
        edits = changed_rows(request, feature, chosen.select(holding.own), holding.copies)
        aim = Aim(target, amount, [row.id for row in matched] if narrowed else ())
        return Decision(edits, aim)

    return _Update(field, decide)


def _holding(subject: Subject, reply: CustomerReply, feature_id: str, now_ms: int) -> Holding:
    seen = next((one for one in reply.descriptions if one.feature == feature_id), None)
    entity_feature = held_entity(reply.entity).feature_id if subject.entity_id else ""
    if seen is None:
        return Holding((), entity_feature=entity_feature)
    shared = _live(decode_rows(seen.rows), now_ms)
    if not subject.entity_id:
        return Holding(
            _plain(shared),
            held=held_of(seen.held).rows > 0,
            rollovers=_rollovers(shared),
            copies=_copies(seen),
        )
    own = _live(decode_rows(seen.own_rows), now_ms)
    inherited = [row for row in _plain(shared) if row.entity_feature in ("", entity_feature)]
    if is_alone(seen.rules):
        inherited = [row for row in inherited if row.kind is Kind.PER_ENTITY]
    return Holding(_plain(own), inherited, entity_feature=entity_feature, rollovers=_rollovers(own))


def _copies(seen: Description) -> dict[str, int]:
    counts = zip(decode_rows(seen.rows), seen.counts.split(), strict=True)
    return {row.id: int(count) for row, count in counts if row.kind is Kind.PER_ENTITY}


def _live(rows: Sequence[Row], now_ms: int) -> list[Row]:
    return [row for row in rows if not row.has_expired(now_ms)]


def _plain(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row.rollover]


def _rollovers(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.rollover]


def _none_fits(feature: FeatureRecord) -> BalanceNotFoundError:
    return BalanceNotFoundError(f"no balance of feature {feature.id} fits the request")


def _refuse_amounts(request: BalanceUpdateRequest) -> None:
    for field in (*_TARGETS, "included_grant"):
        if given(getattr(request, field)):
            raise InvalidInputsError(f"{field}: a boolean feature has none")


def _refuse_range(status: Status, field: str, feature: FeatureRecord) -> None:
    if status is Status.OUT_OF_RANGE:
        raise InvalidInputsError(
            f"{field}: a balance of {feature.id} would leave "
            f"the range of precision {feature.precision}"
        )
