"""Which items of a plan one customer does without."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import InvalidRequestError
from gateway.lifecycle.customize import customized
from gateway.messages.billing import Customize
from gateway.messages.plans import ItemPrice, PlanDocument, PlanItem
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature, view

CATALOG = view(feature(), SEATS, SSO)

ITEMS = {
    "free": PlanItem(feature_id="messages", included="100", reset_interval="month"),
    "packs": PlanItem(
        feature_id="messages",
        reset_interval="month",
        price=ItemPrice(interval="month", billing_method="prepaid", amount="5"),
    ),
    "half": PlanItem(
        feature_id="messages", included="100", reset_interval="month", reset_interval_count=6
    ),
    "unlimited": PlanItem(feature_id="messages", unlimited=True, reset_interval="day"),
    "seats": PlanItem(
        feature_id="seats",
        included="1",
        price=ItemPrice(interval="year", billing_method="usage_based", amount="9"),
    ),
    "sso": PlanItem(feature_id="sso"),
}


def left(selector: dict[str, object]) -> set[str]:
    """Return the items that are left without those of a selector."""
    body = msgspec.json.encode({"remove_items": [selector]})
    document = PlanDocument(name="Pro", items=list(ITEMS.values()))
    kept = customized(document, msgspec.json.decode(body, type=Customize), CATALOG).items
    return {name for name, item in ITEMS.items() if item in kept}


@pytest.mark.parametrize(
    ("selector", "removed"),
    [
        ({"feature_id": "messages"}, {"free", "packs", "half", "unlimited"}),
        ({"feature_id": "messages", "billing_method": "prepaid"}, {"packs"}),
        ({"billing_method": "usage_based"}, {"seats"}),
        ({"interval": "month"}, {"free", "packs", "half"}),
        ({"interval": "month", "interval_count": 6}, {"half"}),
        ({"interval": "month", "interval_count": 1, "included": 100.0}, {"free"}),
        ({"feature_id": "seats", "interval": "year"}, {"seats"}),
        ({"feature_id": "messages", "included": 0}, {"packs"}),
        ({"feature_id": "sso"}, {"sso"}),
    ],
)
def test_an_item_is_removed_when_all_fits(selector: dict[str, object], removed: set[str]) -> None:
    assert left(selector) == ITEMS.keys() - removed


@pytest.mark.parametrize(
    "selector",
    [
        {"feature_id": "seats", "billing_method": "prepaid"},
        {"feature_id": "messages", "included": 99},
        {"feature_id": "messages", "interval": "day", "interval_count": 6},
        {"feature_id": "sso", "interval": "month"},
    ],
)
def test_an_item_that_is_not_there_is_refused(selector: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError, match=r"^customize\.remove_items\.0: "):
        left(selector)
