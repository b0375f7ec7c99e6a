"""A plan that is held becomes another version of itself, or one customer's own: rows are replaced
in place and nothing that was used is forgotten (cold-path section 3.9). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from gateway.cycles import next_boundary
from gateway.documents import Subscription
from gateway.errors import InvalidOptionsError, InvalidRequestError
from gateway.lifecycle.carrying import Carrying, heir_of, heir_of_use, is_bought_once, lasting
from gateway.lifecycle.catalog import plain
from gateway.lifecycle.plan_rows import Offer, RowMaker, check_quantities, check_range, packs
from gateway.lifecycle.pools import is_pooled, pooled_grants
from gateway.lifecycle.prices import billing_cycle, is_one_off
from gateway.lifecycle.quantities import counts_from
from gateway.lifecycle.scope import Carry, Change, Making, Scope, in_order, swap
from gateway.lifecycle.trials import trial_over
from gateway.messages.plans import PlanDocument, PlanItem
from gateway.rows import Kind, Row


def revise(
    scope: Scope,
    target: Subscription,
    offer: Offer,
    quantities: Mapping[str, Decimal],
    making: Making,
    *,
    usages: Carrying | None = None,
) -> Change:
    """Return what changes when a subscription becomes another offer of its plan. With ``usages``
    only what was used of these features is kept.

    Raises ``InvalidRequestError`` for a plan that does not change or would turn from recurring into
    one-off, and ``InvalidOptionsError`` for a prepaid feature that is new and has no quantity.
    """
    document, before = offer.document, scope.documents.get(target.id)
    if document == before and (offer.is_custom or offer.record.version == target.version):
        raise InvalidRequestError(f"plan {target.plan_id}: nothing of it would change")
    if is_one_off(document) != target.one_off:
        raise InvalidRequestError("a recurring plan cannot become a one-off one, nor the reverse")
    if target.one_off:
        raise InvalidRequestError(f"plan {target.plan_id} was bought once and cannot change")
    check_quantities(document, quantities)
    unit, every = billing_cycle(document)
    changed = msgspec.structs.replace(
        target,
        version=offer.record.version,
        group=document.group,
        auto_enable=document.auto_enable,
        cycle_unit=unit,
        cycle_every=every,
        anchor_ms=target.anchor_ms if target.cycle_unit or not unit else making.now_ms,
        billing_controls=document.billing_controls,
        custom=msgspec.to_builtins(document) if offer.is_custom else None,
        quantities={},
        pending=_pending(document, target, quantities) if unit else {},
    )
    if offer.is_custom and document.free_trial is None and before and before.free_trial:
        if target.reverts_to:
            raise InvalidRequestError(
                f"free_trial: plan {target.plan_id} ends with its trial, and the plan before comes "
                "back; cancel_action does that now"
            )
        changed = trial_over(changed, making.now_ms)
    changed.pending_at = counts_from(changed, document, making.now_ms)
    maker = RowMaker(offer, changed, scope.entity_id, making.make_id, making.keeps_overage)
    changed.pooled = pooled_grants(maker, document)
    replacement = _Replacement(scope, target, changed, maker, making.now_ms, usages=usages)
    for position, item in enumerate(document.items):
        if not is_pooled(item, scope.entity_id):
            replacement.place(item, position, _quantity(item, target, quantities))
    change = replacement.change()
    for feature, rows in change.rows.items():
        check_range(feature, (row for row in rows if row.id in change.dues), offer.features)
    return swap(change, changed)


def _pending(
    document: PlanDocument, target: Subscription, quantities: Mapping[str, Decimal]
) -> dict[str, str]:
    """Return the smaller quantities that wait for the next cycle and still can: those of what is
    sold beforehand, as before.
    """
    sold = document.prepaid_items
    return {
        feature: text
        for feature, text in target.pending.items()
        if feature in sold and feature not in quantities
    }


def _quantity(
    item: PlanItem, target: Subscription, quantities: Mapping[str, Decimal]
) -> Decimal | None:
    if item.prepaid is None:
        return None
    said = quantities.get(item.feature_id)
    if said is not None:
        return said
    before = target.quantities.get(item.feature_id)
    if before is None:
        raise InvalidOptionsError(
            f"feature_quantities: a quantity of {item.feature_id} is required, "
            "since it was not prepaid before"
        )
    return Decimal(before)


class _Replacement:
    """The rows of a subscription as they become those of another offer."""

    def __init__(
        self,
        scope: Scope,
        target: Subscription,
        changed: Subscription,
        maker: RowMaker,
        now_ms: int,
        *,
        usages: Carrying | None,
    ) -> None:
        self._scope = scope
        self._usages = usages
        self._changed = changed
        self._now_ms = now_ms
        self._maker = maker
        self._left = scope.held(target)
        self._kept: dict[str, Row] = {}
        """Rows that stay with another text, by id."""
        self._new: list[tuple[str, Row, Row | None]] = []
        """Feature, new row, and the row in whose place it comes."""

    def place(self, item: PlanItem, position: int, quantity: Decimal | None) -> None:
        """Give an item the row that fits it, or a new one."""
        made = self._maker.row(item, position, quantity)
        if quantity is not None:
            total = Decimal(item.included) + packs(item, quantity)
            self._changed.quantities[item.feature_id] = plain(total)
        rows = self._left.get(item.feature_id, [])
        old = heir_of(made, [row for row in rows if _gives(row) == _gives(made)])
        if old is None:
            self._new.append((item.feature_id, made, None))
            return
        if self._begins_anew(item.feature_id, old):
            made = msgspec.structs.replace(made, anchor_ms=old.anchor_ms)
            self._new.append((item.feature_id, made, None))
            return
        rows.remove(old)
        if old.kind is Kind.PER_ENTITY and (old.grant, old.floor) != (made.grant, made.floor):
            made = msgspec.structs.replace(made, anchor_ms=old.anchor_ms)
            self._new.append((item.feature_id, made, old))
            return
        self._kept[old.id] = msgspec.structs.replace(made, id=old.id, anchor_ms=old.anchor_ms)

    def _keeps_usage(self, feature: str) -> bool:
        return self._usages is None or self._usages.covers(feature)

    def _begins_anew(self, feature: str, row: Row) -> bool:
        """Whether what was used of a row is to be forgotten, though its item stays."""
        lasts = row.kind is Kind.FLAG or row.allocated or is_bought_once(row)
        return not lasts and not self._keeps_usage(feature)

    def change(self) -> Change:
        """Return what all of it changes."""
        scope = self._scope
        gone = {row.id for rows in self._left.values() for row in rows}
        gone |= {old.id for _, _, old in self._new if old is not None}
        rows = {
            feature: [self._kept.get(row.id, row) for row in held if row.id not in gone]
            for feature, held in scope.rows.items()
            if any(row.id in gone or row.id in self._kept for row in held)
        }
        dues: dict[str, int] = {}
        carries: list[Carry] = []
        for feature, made, old in self._new:
            before = rows.get(feature, list(scope.rows.get(feature, ())))
            rows[feature] = [*before, made]
            anchor = (made.anchor_ms, made.unit, made.every, self._now_ms)
            dues[made.id] = next_boundary(*anchor)
            if old is not None:
                dues[made.id] = scope.lives[old.id].due_ms
                carries.append(Carry(old.id, made.id))
        for feature, left in self._left.items():
            heirs = [
                row for row in rows[feature] if row.document.subscription_id == self._changed.id
            ]
            carries += lasting(left, rows[feature])
            for row in left:
                heir = None if row.allocated or row.rollover else heir_of_use(row, heirs)
                if heir and row.kind is not Kind.FLAG and self._keeps_usage(feature):
                    carries.append(Carry(row.id, heir.id))
        kept = {row.id for row in self._kept.values()}
        changed = {
            feature: held
            for feature, held in rows.items()
            if [row.id for row in held] != [row.id for row in scope.rows.get(feature, ())]
            or any(row.id in kept and row not in scope.rows[feature] for row in held)
        }
        return Change(
            list(scope.subscriptions), [], in_order(scope, changed, dues), dues, tuple(carries)
        )


def _gives(row: Row) -> tuple[object, ...]:
    """Return what a row gives, if maybe another amount of it."""
    is_priced = row.document.price is not None
    return row.kind, row.unit, row.every, is_priced, row.overage, row.unlimited
