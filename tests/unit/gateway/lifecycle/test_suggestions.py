"""Which plans are suggested to somebody who was denied."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.documents import Subscription
from gateway.lifecycle.catalog import StoredPlan
from gateway.lifecycle.prices import is_one_off
from gateway.lifecycle.scope import Scope
from gateway.lifecycle.suggestions import SUGGESTIONS_MAX, suggestions
from gateway.messages.plans import BasePrice, ItemPrice, PlanDocument, PlanItem
from gateway.ports import FeatureRecord
from tests.unit.gateway.lifecycle.records import SSO, feature, plan

MESSAGES = feature()
CREDITS = feature("credits", type="credit_system")


def priced(plan_id: str, amount: int, *items: PlanItem, **more: object) -> StoredPlan:
    """A plan of the main group that costs so much a month."""
    price = BasePrice(amount=str(amount), interval="month") if amount else None
    fields = {"group": "main", **more}
    return plan(plan_id, PlanDocument(name=plan_id, price=price, items=list(items), **fields))  # type: ignore[arg-type]  # of a test


def units(included: int = 0, interval: str = "month", **more: object) -> PlanItem:
    item = {"feature_id": "messages", "included": str(included), "reset_interval": interval}
    return PlanItem(**(item | more))  # type: ignore[arg-type]  # of a test


def holding(held: StoredPlan) -> Scope:
    """A customer with one plan."""
    record = held.record
    one = Subscription(
        id="sub",
        plan_id=record.id,
        version=1,
        group=record.group,
        add_on=record.add_on,
        one_off=is_one_off(held.document),
    )
    return Scope("", [one], {}, documents={"sub": held.document})


NOBODY = Scope("", [], {})
FREE = priced("free", 0, units(100))
PRO = priced("pro", 20, units(500))
MAX = priced("max", 50, units(unlimited=True))
PACK = priced("pack", 5, units(50), add_on=True)


def suggested(scope: Scope, *plans: StoredPlan, of: FeatureRecord = MESSAGES) -> list[str]:
    return [one.plan.record.id for one in suggestions(scope, plans, [of, CREDITS], 1)]


def test_steps_up_come_first_and_add_ons_last() -> None:
    other = priced("other", 0, units(1), group="other")
    found = suggestions(holding(FREE), [PACK, other, FREE, MAX, PRO], [MESSAGES], 1)

    shown = [(one.plan.record.id, one.scenario) for one in found]
    assert shown == [("max", "upgrade"), ("pro", "upgrade"), ("other", "new"), ("pack", "new")]


def test_what_is_held_archived_or_a_step_down_is_not_suggested() -> None:
    gone = PRO._replace(record=replace(PRO.record, archived=True))

    assert suggested(holding(PRO), FREE, PRO) == []
    assert suggested(NOBODY, gone, FREE) == ["free"]
    assert suggested(holding(PACK), PACK, FREE) == ["free"]


def test_nothing_the_customer_of_an_entity_holds_is_suggested_to_it() -> None:
    of_entity = Scope("e1", [], {}, base=holding(FREE).subscriptions)

    assert suggested(of_entity, FREE, PRO) == ["pro"]


def test_what_is_bought_once_can_be_bought_again() -> None:
    price = BasePrice(amount="5", interval="one_off")
    once = plan("once", PlanDocument(name="once", price=price, items=[units(10)], add_on=True))

    assert suggested(holding(once), once) == ["once"]


@pytest.mark.parametrize(
    ("item", "is_more"),
    [
        (units(101), True),
        (units(100), False),
        (units(99), False),
        (units(4, "day"), True),
        (units(3, "day"), False),
        (units(1200, "year"), False),
        (units(1201, "year"), True),
        (units(101, "never"), True),
        (units(price=ItemPrice(amount="1", interval="month", billing_method="prepaid")), True),
        (units(unlimited=True), True),
        (units(1, feature_id="credits"), True),
        (units(1000, feature_id="words"), False),
    ],
)
def test_a_step_up_gives_more_of_the_feature_or_of_what_pays_for_it(
    item: PlanItem, is_more: bool
) -> None:
    assert suggested(holding(FREE), priced("next", 20, item)) == ["next"] * is_more


def test_an_item_that_gives_nothing_suggests_nothing() -> None:
    assert suggested(NOBODY, priced("none", 20, units()), priced("bare", 20)) == []


def test_a_flag_is_given_by_its_item() -> None:
    flagged = priced("flagged", 20, PlanItem(feature_id="sso"))

    assert suggested(holding(FREE), FREE, PRO, flagged, of=SSO) == ["flagged"]


def test_suggestions_are_bounded() -> None:
    many = [priced(f"p{n}", 20, units(1)) for n in range(SUGGESTIONS_MAX + 1)]

    found = suggested(NOBODY, *many)

    assert SUGGESTIONS_MAX == 10  # as the schema of the answer says
    assert found == [f"p{n}" for n in range(SUGGESTIONS_MAX)]
