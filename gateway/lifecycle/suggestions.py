"""Which plans a preview suggests to somebody who was denied a feature (hot-path section 1.1): those
that would give more of it, or of the credits that pay for it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from gateway.cycles import DAY_MS, span
from gateway.lifecycle.catalog import StoredPlan
from gateway.lifecycle.eligibility import eligibility
from gateway.lifecycle.scope import Scope
from gateway.messages.plans import PlanDocument, PlanItem
from gateway.ports import FeatureRecord

SUGGESTIONS_MAX = 10
"""Plans that one preview suggests."""

_SCENARIOS = {"activate": "new", "purchase": "new", "upgrade": "upgrade"}
"""What 1.2 calls attaching a plan. A step down is not suggested: it waits for the end of a cycle,
and what is held gives nothing more.
"""


class Suggestion(NamedTuple):
    """A plan, and what attaching it would be."""

    plan: StoredPlan
    scenario: str


def suggestions(
    scope: Scope, plans: Iterable[StoredPlan], features: Sequence[FeatureRecord], now_ms: int
) -> list[Suggestion]:
    """Return the plans that give more of a feature, or of a credit system that pays for it, than
    what they would take the place of: steps up first, add-ons last, else in the order of
    ``plans``. Nothing that the customer of an entity holds is suggested to the entity.
    """
    inherited = {one.plan_id for one in scope.base}
    found = []
    for plan in plans:
        if plan.record.archived or plan.record.id in inherited:
            continue
        if not any(_amount(plan.document, feature) for feature in features):
            continue
        scenario = _SCENARIOS.get(eligibility(scope, plan, now_ms).attach_action)
        before = _replaced(scope, plan) if scenario == "upgrade" else None
        if scenario and _gives_more(plan.document, before, features):
            found.append(Suggestion(plan, scenario))
    found.sort(key=lambda one: (one.plan.record.add_on, one.scenario != "upgrade"))
    return found[:SUGGESTIONS_MAX]


def _replaced(scope: Scope, plan: StoredPlan) -> PlanDocument | None:
    current = scope.current(plan.record.group)
    return None if current is None else scope.documents.get(current.id)


def _gives_more(
    new: PlanDocument, old: PlanDocument | None, features: Sequence[FeatureRecord]
) -> bool:
    return old is None or any(_amount(new, one) > _amount(old, one) for one in features)


def _amount(document: PlanDocument, feature: FeatureRecord) -> tuple[int, Fraction] | tuple[()]:
    """Return what can be compared of what a plan gives of a feature; nothing where it gives none.
    Unlimited is more than what can be bought, and that more than what is included.
    """
    items = [item for item in document.items if item.feature_id == feature.id]
    if feature.type == "boolean":
        return (0, Fraction(0)) if items else ()
    kind = max((2 if item.unlimited else int(item.price is not None) for item in items), default=0)
    included = sum(map(_monthly, items), Fraction(0))
    return (kind, included) if kind or included else ()


def _monthly(item: PlanItem) -> Fraction:
    """Return what is included in a month; what comes once counts once."""
    included = Fraction(item.included)
    unit, every = span(item.reset_interval, item.reset_interval_count)
    if not unit:
        return included
    return included / every if unit == "m" else included * 30 * DAY_MS / every
