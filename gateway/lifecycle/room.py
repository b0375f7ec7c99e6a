"""How many subscriptions, and balances of one feature, a scope may hold side by side. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gateway.documents import SCHEDULED, Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.scope import Change, Scope
from gateway.messages.plans import PlanDocument
from gateway.rows import Row

SUBSCRIPTIONS_MAX = 500
"""Subscriptions and purchases of one scope up to which more may come: every change of them, and
every answer that shows its customer, goes through all of them.
"""

ROWS_MAX = 200
"""Rows of one feature in one scope up to which more may come: every check and track of the feature
reads all of them.
"""


def check_room(scope: Scope, change: Change, offers: Sequence[Offer] = ()) -> None:
    """Refuse a change that would leave more subscriptions, or rows of a feature, than may be side
    by side; ``offers`` are those of its new subscriptions. Of add-ons that have not begun the rows
    count: nothing refuses them then. What rolled over does not.

    Raises ``InvalidRequestError``.
    """
    held = len(change.subscriptions)
    if held > SUBSCRIPTIONS_MAX and held > len(scope.subscriptions):
        raise InvalidRequestError(
            f"plan_id: at most {SUBSCRIPTIONS_MAX} plans can be held side by side"
        )
    plans = {offer.record.id: offer.document for offer in offers}
    new = {one.id: plans[one.plan_id] for one in change.subscriptions if one.plan_id in plans}
    documents = {**new, **scope.documents}
    before = _counted(scope.rows, scope.subscriptions, documents)
    after = _counted({**scope.rows, **change.rows}, change.subscriptions, documents)
    for feature, count in after.items():
        if count > ROWS_MAX and count > before[feature]:
            raise InvalidRequestError(
                f"feature {feature}: at most {ROWS_MAX} balances of it can be held side by side"
            )


def _counted(
    rows: Mapping[str, Sequence[Row]],
    subscriptions: Sequence[Subscription],
    documents: Mapping[str, PlanDocument],
) -> Counter[str]:
    counts = Counter({name: sum(not row.rollover for row in held) for name, held in rows.items()})
    for one in subscriptions:
        if one.status == SCHEDULED and one.add_on and one.id in documents:
            counts.update(item.feature_id for item in documents[one.id].items)
    return counts
