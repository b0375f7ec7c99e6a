"""What attaching several plans to one scope changes, all of it or nothing. Pure: each of them is
decided as if it was attached alone, on what the ones before it leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.errors import InvalidRequestError, PlanAttachedError
from gateway.lifecycle.attach import attach
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.prices import billing_cycle, is_one_off
from gateway.lifecycle.scope import Change, Making, Scope, after, join
from gateway.lifecycle.terms import Terms


def attach_together(scope: Scope, wanted: Sequence[tuple[Offer, Terms]], making: Making) -> Change:
    """Decide what attaching plans in this order changes. Where cycles are counted from is said for
    those that have one.

    Raises ``InvalidRequestError`` when one of them is the current one, when two of them would take
    the same place, and for what ``attach`` refuses.
    """
    _check_places(offer for offer, _ in wanted)
    change = Change(list(scope.subscriptions), [])
    for offer, terms in wanted:
        try:
            step = attach(scope, offer, _fitting(offer, terms), making)
        except PlanAttachedError as error:
            raise InvalidRequestError(f"plans: {error.message}") from error
        change, scope = join(change, step), after(scope, step)
    return change


def _fitting(offer: Offer, terms: Terms) -> Terms:
    """Return the terms as they fit one plan."""
    return terms if billing_cycle(offer.document)[0] else terms._replace(anchor_ms=None)


def _check_places(offers: Iterable[Offer]) -> None:
    groups: set[str] = set()
    for offer in offers:
        document = offer.document
        if document.add_on or is_one_off(document):
            continue
        if document.group in groups:
            raise InvalidRequestError(
                f"plans: {offer.record.id} is the second main plan of its group; one is held at "
                "a time"
            )
        groups.add(document.group)
