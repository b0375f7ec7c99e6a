"""The sandbox's clock over HTTP: who may move it, how far, and what moves with it."""

from __future__ import annotations

import json

import msgspec
import pytest

from gateway.app import Runtime, build_app, started
from gateway.cycles import DAY_MS
from tests.fixtures.app import LIVE_KEY, NOW_MS, Answer, Api, FakeApi
from tests.waiting import until

MONTHLY = {
    "plan_id": "monthly",
    "name": "Monthly",
    "auto_enable": True,
    "items": [{"feature_id": "messages", "included": 100, "reset": {"interval": "month"}}],
}
SPENT = {"customer_id": "cus_1", "feature_id": "messages"}


async def test_the_clock_shows_the_time_and_how_far_it_is_ahead(api: Api) -> None:
    assert (await api.call("clock.get")).body == {"now": NOW_MS, "offset": 0}

    moved = await api.call("clock.advance", by="30d")

    expected = {"now": NOW_MS + 30 * DAY_MS, "offset": 30 * DAY_MS}
    assert moved.body == expected
    assert (await api.call("clock.get")).body == expected


async def test_the_clock_is_moved_to_a_time(fake_api: FakeApi) -> None:
    await fake_api.api.call("clock.advance", by="1d")
    fake_api.clock.ms += 1000

    moved = await fake_api.api.call("clock.advance", to=float(NOW_MS + 2 * DAY_MS))

    assert moved.body == {"now": NOW_MS + 2 * DAY_MS, "offset": 2 * DAY_MS - 1000}


@pytest.mark.parametrize("operation", ["clock.get", "clock.advance"])
async def test_a_live_key_is_refused(api: Api, operation: str) -> None:
    answer = await api.send(operation, b'{"by": "30d"}', key=f"Bearer {LIVE_KEY}")

    assert answer.error == (403, "insufficient_scopes")
    assert answer.body["env"] == "live"
    assert "use a sandbox key" in answer.body["message"]
    assert (await api.call("clock.get")).body["offset"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "input: Either by or to must be provided"),
        ({"by": "1d", "to": NOW_MS * 2}, "input: Either by or to must be provided"),
        ({"by": "a month"}, "by: must be a whole number with its unit"),
        ({"by": 30}, "by: must be a string (received number)"),
        ({"by": "0s"}, "by: must be forward"),
        ({"by": "3651d"}, "by: the clock can be at most 3650 days ahead"),
        ({"to": NOW_MS}, "to: must be forward"),
        ({"to": -1}, "to: must be 0 to"),
        ({"to": 1e300}, "to: must be an integer"),
        ({"to": 1.5}, "to: must be an integer"),
        ({"to": "tomorrow"}, "to: must be a number (received string)"),
    ],
)
async def test_another_step_is_refused(api: Api, body: dict[str, object], message: str) -> None:
    answer = await api.send("clock.advance", json.dumps(body).encode())

    assert answer.error == (400, "invalid_inputs")
    assert answer.body["message"].startswith(message)
    assert (await api.call("clock.get")).body["offset"] == 0


async def test_an_event_may_lie_before_the_sandbox_s_now_only(api: Api) -> None:
    await api.call("features.create", feature_id="f", name="F", type="metered", consumable=True)
    use = {"customer_id": "cus_1", "feature_id": "f"}
    tomorrow = NOW_MS + DAY_MS
    early = await api.call("balances.track", **use, timestamp=tomorrow)
    await api.call("clock.advance", by="1d")

    assert early.body["message"] == "timestamp: must not be in the future"
    assert (await api.call("balances.track", **use, timestamp=tomorrow)).status == 200
    late = await api.call("balances.track", **use, timestamp=tomorrow + DAY_MS)
    assert late.error == (400, "invalid_inputs")


async def test_live_time_stays_and_so_does_the_time_of_keys(fake_api: FakeApi) -> None:
    await fake_api.api.call("clock.advance", by="1d")

    made = await fake_api.store.create_key("sandbox", "later", "am_sk_test_" + "l" * 40)

    assert fake_api.catalog.clock.now_ms("live") == NOW_MS
    assert made.created_at == NOW_MS


async def test_plans_and_features_are_dated_by_the_clock(api: Api) -> None:
    await _define(api)
    await api.call("clock.advance", by="1d")

    late = await _done(api, "plans.create", plan_id="late", name="Late", items=MONTHLY["items"])

    assert late.body["created_at"] == NOW_MS + DAY_MS


async def test_a_month_later_the_monthly_balance_is_whole_again(live_api: Api) -> None:
    await _define(live_api)
    before = (await live_api.call("clock.get")).body
    first = await live_api.call("customers.get_or_create", customer_id="cus_1")
    await live_api.call("balances.track", **SPENT, value=30)
    spent = await _remaining(live_api)

    await live_api.call("clock.advance", by="31d")
    renewed = await _remaining(live_api)
    second = await live_api.call("customers.get_or_create", customer_id="cus_2")

    assert (spent, renewed) == (70, 100)
    assert before["now"] <= first.body["created_at"] < before["now"] + DAY_MS
    assert second.body["created_at"] - first.body["created_at"] >= 31 * DAY_MS


async def test_another_process_follows_by_itself(live_runtime: Runtime, live_api: Api) -> None:
    settings = msgspec.structs.replace(live_runtime.settings, writer=False)
    async with started(Runtime(settings)) as other:
        other_api = Api(build_app(other))
        await _define(live_api)
        await other.catalog.refresh()
        await other_api.call("customers.get_or_create", customer_id="cus_1")
        await other_api.call("balances.track", **SPENT, value=30)

        await live_api.call("clock.advance", by="31d")
        await until(lambda: other.catalog.clock.view("sandbox").offset == 31 * DAY_MS)

        assert await _remaining(other_api) == 100
        assert (await other_api.call("clock.get")).body["offset"] == 31 * DAY_MS
        await other_api.client.aclose()


async def test_the_clock_survives_a_restart(live_runtime: Runtime, live_api: Api) -> None:
    await live_api.call("clock.advance", by="12h")

    settings = msgspec.structs.replace(live_runtime.settings, writer=False)
    async with started(Runtime(settings)) as again:
        assert again.clock.now_ms("sandbox") - again.clock.now_ms("live") >= DAY_MS // 2


async def _define(api: Api) -> None:
    feature = {"feature_id": "messages", "name": "M", "type": "metered", "consumable": True}
    await _done(api, "features.create", **feature)
    await _done(api, "plans.create", **MONTHLY)


async def _remaining(api: Api) -> float:
    balance = (await _done(api, "balances.check", **SPENT)).body["balance"]
    remaining: float = balance["remaining"]
    return remaining


async def _done(api: Api, operation: str, **body: object) -> Answer:
    answer = await api.call(operation, **body)
    assert answer.status == 200, answer.body
    return answer
