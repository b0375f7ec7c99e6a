"""What was bought once and is used up makes room when it is bought again (cold-path section 6.6):
who tops up every day would else hold a row for each day, and every check would read them all. That
is housekeeping, so the purchases of a day are left alone: answers show for a while what was used of
them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.cycles import DAY_MS
from gateway.documents import ACTIVE, Subscription
from gateway.lifecycle.carrying import rest_of_row
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.scope import Carry, Change, Scope, in_order, leave
from gateway.rows import Kind


def make_room(
    scope: Scope, offer: Offer, ends_ms: int | None, *, make_id: Callable[[str], str], now_ms: int
) -> Change:
    """Return what ends when a one-off plan is bought again: purchases of it of which nothing is
    left. What comes back to one of them meanwhile stays as a balance of no plan.
    """
    leavers = [
        one
        for one in scope.subscriptions
        if one.started_at + DAY_MS <= now_ms and _is_used_up(scope, one, offer, ends_ms)
    ]
    change = leave(scope, leavers, now_ms)
    rows, dues, carries = dict(change.rows), dict(change.dues), list(change.carries)
    for one in leavers:
        for feature, held in scope.held(one).items():
            for row in held:
                if row.kind is Kind.FLAG:
                    continue
                expires_ms = one.expires_at or 0
                rest = rest_of_row(make_id, len(carries), expires_ms=expires_ms, now_ms=now_ms)
                rows[feature] = [*rows[feature], rest]
                dues[rest.id] = 0
                carries.append(Carry(row.id, remainder=rest.id))
    return change._replace(rows=in_order(scope, rows, dues), dues=dues, carries=tuple(carries))


def _is_used_up(scope: Scope, one: Subscription, offer: Offer, ends_ms: int | None) -> bool:
    """Whether nothing is lost with a purchase: all of its units are used, none is on hold, and the
    new one turns on what it turns on, for as long.
    """
    if not (one.one_off and one.status == ACTIVE and one.plan_id == offer.record.id):
        return False
    held = scope.held(one)
    rows = [row for rows in held.values() for row in rows]
    flags = {feature for feature, rows in held.items() if any(r.kind is Kind.FLAG for r in rows)}
    covered = flags <= {item.feature_id for item in offer.document.items}
    lasts = (
        not flags or ends_ms is None or (one.expires_at is not None and one.expires_at <= ends_ms)
    )
    counted = [row for row in rows if row.kind is not Kind.FLAG]
    return (
        bool(counted)
        and covered
        and lasts
        and not one.pooled
        and not scope.holds.intersection(held)
        and all(
            row.kind is Kind.SHARED
            and not (row.unit or row.unlimited or row.overage or row.allocated)
            and row.id in scope.lives
            and scope.lives[row.id].used == row.grant
            for row in counted
        )
    )
