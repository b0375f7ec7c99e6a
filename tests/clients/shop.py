"""What the clients' tests find on the shared gateway: features, plans, and ids of their own."""

from __future__ import annotations

import itertools

from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Json

_numbers = itertools.count(1)

MONTHLY = {"interval": "month"}

LADDER = ("sdk_basic", "sdk_plus")
"""Two plans of one group, ten and fifty messages for 10 and 30 a month."""


def define_shop(gateway: Gateway) -> None:
    """Define everything once."""
    for feature_id, consumable in (
        ("sdk_seats", False),
        ("sdk_messages", True),
        ("sdk_notes", True),
    ):
        gateway.call(
            "features.create",
            feature_id=feature_id,
            name=feature_id,
            type="metered",
            consumable=consumable,
            event_names=["sdk_sent"] if feature_id == "sdk_messages" else [],
        )
    gateway.call("features.create", feature_id="sdk_sso", name="SSO", type="boolean")
    plans: dict[str, list[Json]] = {
        "sdk_pro": [
            {"feature_id": "sdk_messages", "included": 100, "reset": MONTHLY},
            {"feature_id": "sdk_sso"},
        ],
        "sdk_team": [
            {"feature_id": "sdk_seats", "included": 5},
            {
                "feature_id": "sdk_notes",
                "included": 50,
                "reset": MONTHLY,
                "entity_feature_id": "sdk_seats",
            },
        ],
    }
    for plan_id, items in plans.items():
        gateway.call("plans.create", plan_id=plan_id, name=plan_id, group=plan_id, items=items)
    for plan_id, amount, included in zip(LADDER, (10, 30), (10, 50), strict=True):
        gateway.call(
            "plans.create",
            plan_id=plan_id,
            name=plan_id,
            group="sdk_ladder",
            price={"amount": amount, **MONTHLY},
            items=[{"feature_id": "sdk_messages", "included": included, "reset": MONTHLY}],
        )
    price = {"amount": 1, **MONTHLY, "billing_units": 100, "billing_method": "prepaid"}
    gateway.call(
        "plans.create",
        plan_id="sdk_prepaid",
        name="sdk_prepaid",
        add_on=True,
        items=[{"feature_id": "sdk_messages", "price": price}],
    )


def new_id(kind: str) -> str:
    """Return an id nobody has."""
    return f"{kind}-{next(_numbers)}"
