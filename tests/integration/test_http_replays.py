"""Calls that are sent twice under one idempotency key, over HTTP, on real parts."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.app import Answer, Api
from tests.fixtures.shop import CUSTOMER, create, done, numbers

DAY_MS = 86_400_000


async def keyed(api: Api, operation: str, **request: object) -> Answer:
    body = json.dumps({"customer_id": CUSTOMER, **request}).encode()
    return await api.send(operation, body, idempotency_key=operation)


async def define_credits(api: Api, *features: str) -> None:
    schema = [{"metered_feature_id": name, "credit_cost": 2} for name in features]
    system = {"type": "credit_system", "credit_schema": schema}
    await done(api, "features.create", feature_id="credits", name="Credits", **system)


async def test_a_replay_survives_a_credit_system_that_came_later(shop: Api) -> None:
    await create(shop, included_grant=20)
    calls = {
        "balances.track": {"feature_id": "messages", "value": 3},
        "balances.check": {"feature_id": "messages", "required_balance": 2, "send_event": True},
    }
    first = {name: await keyed(shop, name, **body) for name, body in calls.items()}
    await define_credits(shop, "messages")
    for name, body in calls.items():
        again = await keyed(shop, name, **body)
        assert (again.status, again.headers.get("idempotency-replayed")) == (200, "true")
        assert again.body == first[name].body


async def test_a_replay_survives_a_feature_that_took_up_the_event(shop: Api) -> None:
    await create(shop, "mails", included_grant=20)
    first = await keyed(shop, "balances.track", event_name="sent", value=3)
    await done(shop, "features.update", feature_id="messages", event_names=["sent"])
    again = await keyed(shop, "balances.track", event_name="sent", value=3)
    assert (again.status, again.body) == (200, first.body)


async def test_a_replay_survives_a_credit_system_that_has_gone(shop: Api) -> None:
    await define_credits(shop, "messages")
    await create(shop, included_grant=20)
    first = await keyed(shop, "balances.track", feature_id="messages", value=3)
    await done(shop, "features.delete", feature_id="credits")
    again = await keyed(shop, "balances.track", feature_id="messages", value=3)
    assert (again.status, again.body["balance"]) == (200, first.body["balance"])


async def test_a_replay_shows_a_grant_that_has_expired_since(shop: Api) -> None:
    now_ms = (await done(shop, "clock.get"))["now"]
    await create(shop, included_grant=20, expires_at=now_ms + DAY_MS)
    first = await keyed(shop, "balances.track", feature_id="messages", value=3)
    await done(shop, "clock.advance", by="2d")
    again = await keyed(shop, "balances.track", feature_id="messages", value=3)
    assert (again.status, again.body) == (200, first.body)


async def test_what_only_reads_is_answered_anew(shop: Api) -> None:
    await create(shop, included_grant=20)
    calls: dict[str, dict[str, object]] = {
        "balances.check": {"feature_id": "messages"},
        "balances.list": {},
        "customers.get": {},
        "balances.track": {"feature_id": "messages", "value": 5, "dry_run": True},
    }
    first = {name: await keyed(shop, name, **body) for name, body in calls.items()}
    await done(shop, "balances.track", customer_id=CUSTOMER, feature_id="messages", value=3)
    for name, body in calls.items():
        again = await keyed(shop, name, **body)
        assert (again.status, "idempotency-replayed" in again.headers) == (200, False)
        assert again.body != first[name].body


@pytest.mark.parametrize("more", [{}, {"lock": {"lock_id": "once", "enabled": True}}])
async def test_a_denied_check_is_decided_anew_and_an_allowed_one_replayed(
    shop: Api, more: dict[str, object]
) -> None:
    await create(shop, included_grant=20)
    body = {"feature_id": "messages", "required_balance": 30, "send_event": True, **more}
    for _ in range(2):
        denied = await keyed(shop, "balances.check", **body)
        assert (denied.status, denied.body["allowed"]) == (200, False)
        assert "idempotency-replayed" not in denied.headers
    await create(shop, included_grant=20)
    allowed = await keyed(shop, "balances.check", **body)
    assert (allowed.status, allowed.body["allowed"]) == (200, True)
    assert "idempotency-replayed" not in allowed.headers
    again = await keyed(shop, "balances.check", **body)
    assert (again.body, again.headers.get("idempotency-replayed")) == (allowed.body, "true")
    assert await numbers(shop) == (40, 10, 30)
