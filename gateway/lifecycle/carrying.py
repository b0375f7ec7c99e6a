"""What of a plan that ends moves on to the plan in its place (cold-path section 3.5). Pure.

Continuous use and rollovers move on by themselves, inside the script, to rows of the same kind.
Here it is said where continuous use goes on that none of its kind comes after, and of each other
row whether what was used of it is used of a new row, or what is left of it stays as a balance of no
plan; the numbers themselves are known to the script alone, so none is missed or counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from gateway.cycles import next_boundary
from gateway.documents import Subscription
from gateway.errors import NotSupportedError
from gateway.ids import ROW_PREFIX
from gateway.lifecycle.order import rank
from gateway.lifecycle.scope import Carry, Change, Scope
from gateway.rows import Kind, Row, RowDocument

_POSITION = 500
"""Place in the spending order of what is left of an old plan: after the items of any plan."""


class Carrying(NamedTuple):
    """A wish to carry over; ``features`` None is all of them."""

    features: Collection[str] | None = None

    def covers(self, feature: str) -> bool:
        """Whether the wish is about a feature."""
        return self.features is None or feature in self.features


def carry(
    scope: Scope,
    change: Change,
    old: Subscription,
    new: Subscription,
    *,
    usages: Carrying | None,
    balances: Carrying | None,
    at_ms: int,
    make_id: Callable[[str], str],
) -> Change:
    """Return the change with what moves from the rows of one subscription to those of another.

    Raises ``NotSupportedError`` for what each entity has left.
    """
    rows, dues = dict(change.rows), dict(change.dues)
    carries: list[Carry] = []
    ends_ms = next_boundary(old.anchor_ms, old.cycle_unit, old.cycle_every, at_ms)
    for feature, held in scope.held(old).items():
        heirs = [row for row in rows[feature] if row.document.subscription_id == new.id]
        carries += lasting(held, rows[feature])
        for row in filter(_is_counted, held):
            heir = heir_of_use(row, heirs)
            is_exact = usages is not None and usages.covers(feature) and not is_bought_once(row)
            exact = [Carry(row.id, heir.id)] if is_exact and heir is not None else []
            if is_bought_once(row):
                expires_ms = 0
            elif balances is not None and balances.covers(feature) and not row.unlimited:
                if row.kind is Kind.PER_ENTITY:
                    raise NotSupportedError(
                        f"carry_over_balances: what entities have left of {feature} stays "
                        "with the plan"
                    )
                due_ms = scope.lives[row.id].due_ms if row.id in scope.lives else 0
                expires_ms = due_ms or ends_ms
            else:
                carries += exact
                continue
            rest = rest_of_row(make_id, len(carries), expires_ms=expires_ms, now_ms=at_ms)
            rows[feature] = [*rows[feature], rest]
            dues[rest.id] = 0
            carries += [Carry(row.id, heir.id if heir else "", rest.id), *exact]
    return change._replace(rows=rows, dues=dues, carries=(*change.carries, *carries))


def pay_debts(scope: Scope, change: Change) -> Change:
    """Return the change with what is bought once in it paying first what was used beyond balances
    that stay and have no price (cold-path section 6.2).
    """
    carries = list(change.carries)
    for feature, held in change.rows.items():
        bought = [row for row in held if row.id in change.dues and is_bought_once(row)]
        carries += [
            Carry(row.id, bought[0].id)
            for row in scope.rows.get(feature, ())
            if bought and _is_counted_free(row) and row in held
        ]
    return change._replace(carries=tuple(carries))


def _is_counted_free(row: Row) -> bool:
    is_one_number = row.kind is Kind.SHARED and not row.unlimited and not row.rollover
    return is_one_number and row.document.price is None


def heir_of_use(row: Row, heirs: Sequence[Row]) -> Row | None:
    """Return the new row that what was used of one is used of. Where none is of its kind, what
    entities used is used of a row that all of them share, and the other way round.
    """
    shared = [heir for heir in heirs if heir.kind is Kind.SHARED]
    each = [heir for heir in heirs if heir.kind is Kind.PER_ENTITY and row.kind is Kind.SHARED]
    return heir_of(row, heirs) or _nearest(row, shared) or _nearest(row, each)


def lasting(ending: Sequence[Row], rows: Sequence[Row]) -> list[Carry]:
    """Return where continuous use of rows that end goes on, of those where it is a row of the other
    kind: each entity's own is used of units that all share from now on, or the other way round.
    """
    heirs = [heir for heir in rows if heir.allocated]
    pairs = [(row, heir_of_use(row, heirs)) for row in ending if row.allocated]
    return [
        Carry(row.id, heir.id) for row, heir in pairs if heir is not None and heir.kind != row.kind
    ]


def heir_of(row: Row, heirs: Sequence[Row]) -> Row | None:
    """Return the new row that takes over what was used of one: of the same kind, and with the same
    reset if there is such a row.
    """
    fitting = [
        heir
        for heir in heirs
        if heir.kind is row.kind and heir.entity_feature == row.entity_feature
    ]
    return _nearest(row, fitting)


def _nearest(row: Row, heirs: Sequence[Row]) -> Row | None:
    same = (heir for heir in heirs if (heir.unit, heir.every) == (row.unit, row.every))
    return next(same, heirs[0] if heirs else None)


def _is_counted(row: Row) -> bool:
    """Whether a row has numbers that do not move on by themselves."""
    return row.kind is not Kind.FLAG and not row.allocated and not row.rollover


def is_bought_once(row: Row) -> bool:
    """Whether the row is units that were bought for good."""
    is_shared = row.kind is Kind.SHARED and not row.unlimited
    return is_shared and row.document.price is not None and not row.unit and not row.overage


def rest_of_row(make_id: Callable[[str], str], place: int, *, expires_ms: int, now_ms: int) -> Row:
    """Return the row of what is left; the script writes how much."""
    return Row(
        id=make_id(ROW_PREFIX),
        kind=Kind.SHARED,
        grant=1,
        expires_ms=expires_ms,
        rank=rank(created_ms=now_ms, position=_POSITION + place, expires_ms=expires_ms),
        document=RowDocument(included=1, interval="one_off"),
    )
