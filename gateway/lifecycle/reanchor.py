"""The cycles of a plan that is held, counted from now or from a given time on (cold-path sections
3.9 and 3.10). Pure.

From now means that a new cycle begins. Where nothing else is asked for it begins for the balances
that reset as well: what was used is forgotten and what is left rolls over, as at the end of any
cycle. Beside another change what was used stays used, as it does with a given time, which only
moves the end of the cycle. Either way ``carry_over_usages`` may say otherwise.

Nothing else of the customer goes along: plans beside it and what plans of entities pool keep their
cycles, and what was to end or to begin at a time does so then.

PyPI ``autumn-sdk`` 1.0.2 asks for cycles from now on with every update. So that is no more than a
wish beside another change: it is left out where cycles cannot begin, and with a cancel action.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.cycles import next_boundary
from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.carrying import Carrying
from gateway.lifecycle.quantities import counts_from
from gateway.lifecycle.scope import Change, Scope, swap
from gateway.lifecycle.trials import is_trialing
from gateway.messages.plans import PlanDocument


class Anchor(NamedTuple):
    """Where cycles are to be counted from."""

    at_ms: int | None = None
    """None is now."""

    @property
    def is_now(self) -> bool:
        """Whether a cycle is to begin."""
        return self.at_ms is None


class Wish(NamedTuple):
    """How cycles are to be counted from another time."""

    anchor: Anchor
    usages: Carrying | None = None
    """Features of which what was used is kept, if that was said."""
    is_alone: bool = False
    """Whether nothing else is asked for."""

    @property
    def kept(self) -> Carrying:
        """Features of which what was used is kept."""
        resets = self.is_alone and self.anchor.is_now
        return self.usages or Carrying(() if resets else None)


def begins_anew(one: Subscription, anchor: Anchor | None, now_ms: int) -> bool:
    """Whether a new cycle of a subscription begins now."""
    return anchor is not None and anchor.is_now and _has_cycles(one, now_ms)


def reanchor(
    scope: Scope,
    change: Change,
    target: Subscription,
    document: PlanDocument,
    wish: Wish,
    *,
    now_ms: int,
) -> Change:
    """Return a change with the cycles of a subscription counted from another time; after it, the
    subscription is of ``document``.

    Raises ``InvalidRequestError`` for a plan without cycles that could be counted so.
    """
    held = next(one for one in change.subscriptions if one.id == target.id)
    if not _has_cycles(held, now_ms):
        if wish.anchor.is_now and not wish.is_alone:
            return change
        why = "is in its trial, from whose end they are counted" if held.cycle_unit else "has none"
        raise InvalidRequestError(
            f"billing_cycle_anchor: the cycles of plan {held.plan_id} cannot move, it {why}"
        )
    anchor_ms = now_ms if wish.anchor.at_ms is None else wish.anchor.at_ms
    rows, dues, moves = dict(change.rows), dict(change.dues), dict(change.moves)
    for feature, before in {**scope.rows, **change.rows}.items():
        ours = [row for row in before if row.unit and row.document.subscription_id == held.id]
        for row in ours:
            next_ms = next_boundary(anchor_ms, row.unit, row.every, now_ms)
            if row.id in dues:
                dues[row.id] = next_ms
            else:  # a reset that is due now is carried out as any other
                moves[row.id] = next_ms if wish.kept.covers(feature) else now_ms
        if ours:
            rows[feature] = [
                msgspec.structs.replace(row, anchor_ms=anchor_ms) if row in ours else row
                for row in before
            ]
    moved = msgspec.structs.replace(held, anchor_ms=anchor_ms)
    moved.pending_at = counts_from(moved, document, now_ms)
    return swap(change._replace(rows=rows, dues=dues, moves=moves), moved)


def _has_cycles(one: Subscription, now_ms: int) -> bool:
    """Whether a subscription is in a cycle that can end before its time."""
    return one.cycle_unit != "" and not is_trialing(one, now_ms)
