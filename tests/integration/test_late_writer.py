"""What is decided on what SQL knows is refused while SQL may not know of all there was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.redis_processes import MakeRedis
from tests.fixtures.shop import CUSTOMER, done
from tests.integration.test_durability import gateway

ITEMS = [{"feature_id": "messages", "included": 10, "reset": {"interval": "month"}}]
MORE = [ITEMS[0] | {"included": 99}]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("plans.delete", {"plan_id": "held"}),
        ("plans.update", {"plan_id": "held", "items": MORE}),
        (
            "billing.attach",
            {"customer_id": CUSTOMER, "plan_id": "extra", "subscription_id": "mine"},
        ),
        ("entities.delete", {"entity_id": "seat"}),
        ("entities.get", {"entity_id": "seat"}),
    ],
)
async def test_nothing_is_decided_on_less_than_was_acknowledged(
    make_redis: MakeRedis, migrated_sqlite: str, operation: str, body: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"writer": False, "restore_wait_ms": 100}
    async with gateway(make_redis().url, migrated_sqlite, **options) as place:
        await done(place.api, "plans.create", plan_id="held", name="Held", items=ITEMS)
        await done(place.api, "plans.create", plan_id="extra", name="X", items=ITEMS, add_on=True)
        await done(place.api, "billing.attach", customer_id=CUSTOMER, plan_id="held")
        seats = {"feature_id": "seats", "type": "metered", "consumable": False}
        await done(place.api, "features.create", name="Seats", **seats)
        answer = await place.api.call(operation, **body)
        assert answer.error == (503, "service_unavailable")
        assert "the writer is late" in answer.body["message"]
        assert answer.headers["retry-after"] == "1"
        assert (await done(place.api, "plans.get", plan_id="held"))["items"][0]["included"] == 10
