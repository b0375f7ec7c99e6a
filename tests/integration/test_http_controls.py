"""Billing controls over HTTP: what is refused, what Redis is told, what a reading shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from gateway.app import Runtime
from gateway.cycles import DAY_MS
from gateway.keys import customer_keys
from tests.fixtures.app import Api
from tests.fixtures.shop import lose_redis

KEYS = customer_keys("sandbox", "ada", 4)
DAILY = {"feature_id": "messages", "limit": 5, "interval": "day", "anchor": "utc"}
SPEND = {"feature_id": "messages", "enabled": True, "overage_limit": 2.5}
Json = dict[str, Any]


class Desk:
    """A customer ``ada`` with 100 messages a month, and what Redis holds of her."""

    def __init__(self, api: Api, client: redis.Redis) -> None:
        self.api = api
        self.client = client

    async def call(self, operation: str, **request: object) -> Json:
        answer = await self.api.call(operation, **request)
        assert answer.status == 200, answer.body
        found: Json = answer.body
        return found

    async def controls(self, **scope: str) -> Json:
        operation = "entities.get" if scope else "customers.get"
        found: Json = (await self.call(operation, customer_id="ada", **scope))["billing_controls"]
        return found

    async def plan(self, plan_id: str, controls: Json, **fields: object) -> None:
        item = {"feature_id": "messages", "included": 100, "reset": {"interval": "month"}}
        await self.call(
            "plans.create",
            plan_id=plan_id,
            name=plan_id,
            items=[item],
            billing_controls=controls,
            **fields,
        )

    def rules(self, field: str = "messages") -> str:
        key = KEYS.entities if "\t" in field else KEYS.customer
        found: Any = self.client.hget(key, f"l:{field}")
        return "" if found is None else found.decode()

    def count(self, field: str, text: str) -> None:
        key = KEYS.entities if "\t" in field else KEYS.customer
        self.client.hset(key, f"x:{field}", text)


@pytest.fixture
async def desk(live_api: Api, valkey: str) -> AsyncIterator[Desk]:
    with redis.Redis.from_url(valkey) as client:
        made = Desk(live_api, client)
        await made.call(
            "features.create",
            feature_id="messages",
            name="Messages",
            type="metered",
            consumable=True,
            precision=2,
        )
        await made.call(
            "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
        )
        await made.call("features.create", feature_id="sso", name="SSO", type="boolean")
        await made.plan("free", {}, auto_enable=True)
        await made.call("customers.get_or_create", customer_id="ada")
        yield made


def window(limit: int) -> str:
    return f"w\t\t{limit}\tf\t{DAY_MS}\t0\t{{}}"


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"feature_id": "messages", "limit": 5}, "usage_limits.1:"),
        ({"feature_id": "messages", "interval": "day"}, "usage_limits.1:"),
        ({**DAILY, "interval": "one_off"}, "usage_limits.1.interval:"),
        ({**DAILY, "feature_id": "seats"}, "usage_limits.1:"),
        ({**DAILY, "limit": 0.001}, "usage_limits.1.limit:"),
        ({**DAILY, "feature_id": "sso"}, "usage_limits.1.feature_id:"),
        ({**DAILY, "filter": {"properties": {}}}, "usage_limits.1.filter.properties:"),
    ],
)
async def test_a_limit_that_cannot_hold_is_refused(desk: Desk, entry: Json, place: str) -> None:
    controls = {"usage_limits": [{**DAILY, "feature_id": "seats"}, entry]}
    for operation, named in (
        ("customers.update", {"customer_id": "ada"}),
        ("customers.get_or_create", {"customer_id": "bob"}),
        ("entities.create", {"customer_id": "ada", "entity_id": "zoe", "feature_id": "seats"}),
    ):
        answer = await desk.api.call(operation, **named, billing_controls=controls)
        assert answer.error == (400, "invalid_inputs")
        assert answer.body["message"].startswith(f"billing_controls.{place}")
    assert await desk.controls() == {}


async def test_a_limit_of_an_unknown_feature_is_refused(desk: Desk) -> None:
    controls = {"usage_limits": [{**DAILY, "feature_id": "gone"}]}
    answer = await desk.api.call("customers.update", customer_id="ada", billing_controls=controls)
    assert answer.error == (404, "feature_not_found")
    assert answer.body["message"].startswith("billing_controls.usage_limits.0.feature_id:")


async def test_arrays_are_replaced_one_by_one_and_their_rules_with_them(desk: Desk) -> None:
    first = {"usage_limits": [DAILY], "spend_limits": [SPEND]}
    await desk.call("customers.update", customer_id="ada", billing_controls=first)
    assert desk.rules() == f"s\t250\t0\n{window(500)}"
    await desk.call("customers.update", customer_id="ada", billing_controls={"usage_limits": []})
    assert desk.rules() == "s\t250\t0"
    assert await desk.controls() == {
        "usage_limits": [],
        "spend_limits": [{**SPEND, "source": "customer"}],
    }
    await desk.call("customers.update", customer_id="ada", billing_controls={"spend_limits": []})
    assert desk.client.hexists(KEYS.customer, "l:messages") is False


async def test_controls_come_with_a_new_customer(desk: Desk) -> None:
    await desk.call("customers.delete", customer_id="ada")
    controls = {"overage_allowed": [{"feature_id": "messages", "enabled": True}]}
    view = await desk.call("customers.get_or_create", customer_id="ada", billing_controls=controls)
    assert desk.rules() == "o\t1"
    assert view["balances"]["messages"]["overage_allowed"] is True


async def test_plans_bring_their_controls_and_take_them_along(desk: Desk) -> None:
    await desk.plan(
        "pro", {"usage_limits": [DAILY], "overage_allowed": [{"feature_id": "messages"}]}
    )
    await desk.call("billing.attach", customer_id="ada", plan_id="pro")
    assert desk.rules() == f"o\t0\n{window(500)}"
    shown = await desk.controls()
    assert shown == {
        "overage_allowed": [{"feature_id": "messages", "source": "plan"}],
        "usage_limits": [{**DAILY, "source": "plan", "usage": 0}],
    }
    plan = await desk.call("plans.get", plan_id="pro")
    assert plan["billing_controls"]["usage_limits"] == [DAILY]
    await desk.plan("basic", {})
    await desk.call("billing.attach", customer_id="ada", plan_id="basic")
    assert desk.client.hexists(KEYS.customer, "l:messages") is False
    assert await desk.controls() == {}


async def test_an_own_limit_hides_that_of_the_plan(desk: Desk) -> None:
    await desk.plan("pro", {"usage_limits": [DAILY], "spend_limits": [SPEND]})
    await desk.call("billing.attach", customer_id="ada", plan_id="pro")
    own = {**DAILY, "limit": 100}
    await desk.call("customers.update", customer_id="ada", billing_controls={"usage_limits": [own]})
    assert desk.rules() == f"s\t250\t0\n{window(10000)}"
    assert await desk.controls() == {
        "usage_limits": [{**own, "source": "customer", "usage": 0}],
        "spend_limits": [{**SPEND, "source": "plan"}],
    }


async def test_usage_is_that_of_the_current_window(desk: Desk, live_runtime: Runtime) -> None:
    await desk.call(
        "customers.update", customer_id="ada", billing_controls={"usage_limits": [DAILY]}
    )
    end = (live_runtime.catalog.clock.now_ms("sandbox") // DAY_MS + 1) * DAY_MS
    for ends, used in ((end, 1.25), (end - DAY_MS, 0)):
        desk.count("messages", f"w\t\t{ends}\t125")
        (limit,) = (await desk.controls())["usage_limits"]
        assert limit == {**DAILY, "source": "customer", "usage": used}


async def test_an_entity_shows_its_own_and_what_it_inherits(
    desk: Desk, live_runtime: Runtime
) -> None:
    seats = {**DAILY, "feature_id": "seats", "limit": 9}
    await desk.call(
        "customers.update",
        customer_id="ada",
        billing_controls={"usage_limits": [DAILY, seats], "spend_limits": [SPEND]},
    )
    named = {"customer_id": "ada", "entity_id": "zoe"}
    own = {**DAILY, "limit": 3}
    await desk.call(
        "entities.create", **named, feature_id="seats", billing_controls={"usage_limits": [own]}
    )
    assert desk.rules("messages\tzoe") == window(300)
    end = (live_runtime.catalog.clock.now_ms("sandbox") // DAY_MS + 1) * DAY_MS
    desk.count("messages", f"w\t\t{end}\t400")
    desk.count("messages\tzoe", f"w\t\t{end}\t200")
    assert await desk.controls(entity_id="zoe") == {
        "usage_limits": [
            {**own, "source": "entity", "usage": 2},
            {**seats, "source": "customer", "usage": 0},
        ],
        "spend_limits": [{**SPEND, "source": "customer"}],
    }
    await desk.call("entities.update", **named, billing_controls={"usage_limits": []})
    assert desk.client.hexists(KEYS.entities, "l:messages\tzoe") is False
    limits = (await desk.controls(entity_id="zoe"))["usage_limits"]
    assert [(one["source"], one["usage"]) for one in limits] == [("customer", 4), ("customer", 0)]
    await desk.call("entities.delete", **named)
    left: Any = desk.client.hgetall(KEYS.entities)
    assert left == {}


async def test_the_plan_of_an_entity_brings_its_controls_to_the_entity(desk: Desk) -> None:
    named = {"customer_id": "ada", "entity_id": "zoe"}
    await desk.call("entities.create", **named, feature_id="seats")
    await desk.plan("pro", {"overage_allowed": [{"feature_id": "messages", "enabled": True}]})
    await desk.call("billing.attach", **named, plan_id="pro")
    assert (desk.rules(), desk.rules("messages\tzoe")) == ("", "o\t1")
    view = await desk.call("entities.get", **named)
    assert view["balances"]["messages"]["overage_allowed"] is True
    assert view["billing_controls"]["overage_allowed"][0]["source"] == "plan"
    assert (await desk.controls()) == {}


async def test_what_is_no_control_comes_back_as_it_was_sent(desk: Desk) -> None:
    topup = {"feature_id": "messages", "threshold": 1, "quantity": 10}
    sent = {"auto_topups": [topup], "usage_alerts": None, "colours": 5}
    await desk.call("customers.update", customer_id="ada", billing_controls=sent)
    assert await desk.controls() == {
        "auto_topups": [{**topup, "source": "customer"}],
        "usage_alerts": [],
        "colours": 5,
    }


async def test_a_granted_balance_obeys_what_holds_for_every_feature(desk: Desk) -> None:
    await desk.call("customers.update", customer_id="ada", config={"disable_pooled_balance": True})
    await desk.call(
        "features.create", feature_id="words", name="w", type="metered", consumable=True
    )
    await desk.call("balances.create", customer_id="ada", feature_id="words", included_grant=7)
    assert desk.rules("words") == "d\t1"
    await desk.call("entities.create", customer_id="ada", entity_id="zoe", feature_id="seats")
    seen = await desk.call("balances.check", customer_id="ada", entity_id="zoe", feature_id="words")
    assert (seen["allowed"], seen["balance"]) == (False, None)


async def test_a_balance_of_an_entity_obeys_what_holds_for_every_feature_of_it(desk: Desk) -> None:
    named = {"customer_id": "ada", "entity_id": "zoe"}
    alert = {"threshold": 80, "threshold_type": "usage_percentage"}
    await desk.call(
        "entities.create", **named, feature_id="seats", billing_controls={"usage_alerts": [alert]}
    )
    assert desk.rules("messages\tzoe") == ""
    await desk.call("balances.create", **named, feature_id="messages", included_grant=7)
    assert (desk.rules(), desk.rules("messages\tzoe")) == ("", "a\tusage_percentage\t8000\t")
    await desk.call("balances.delete", **named, feature_id="messages")
    assert desk.client.hexists(KEYS.entities, "l:messages\tzoe") is False


async def test_a_percentage_is_one_of_what_plans_include(desk: Desk) -> None:
    limit = {**SPEND, "limit_type": "usage_percentage", "overage_limit": 10}
    allowed = {"feature_id": "messages", "enabled": True}
    controls = {"spend_limits": [limit], "overage_allowed": [allowed]}
    await desk.call("customers.update", customer_id="ada", billing_controls=controls)
    named = {"customer_id": "ada", "feature_id": "messages"}
    changes: list[tuple[str, float]] = [("update", 50), ("create", 900), ("update", 0)]
    for operation, included in changes:
        await desk.call(f"balances.{operation}", **named, included_grant=included)
        assert desk.rules() == "o\t1\ns\t100000\t1"
        left = (await desk.call("balances.check", **named))["balance"]["remaining"]
        checks = [
            await desk.call("balances.check", **named, required_balance=left + beyond)
            for beyond in (10, 10.01)
        ]
        assert [one["allowed"] for one in checks] == [True, False]


async def test_rules_changed_by_hand_are_those_a_lost_customer_comes_back_with(
    desk: Desk, live_runtime: Runtime
) -> None:
    named = {"customer_id": "ada", "entity_id": "zoe"}
    alert = {"threshold": 80, "threshold_type": "usage_percentage"}
    await desk.call(
        "entities.create", **named, feature_id="seats", billing_controls={"usage_alerts": [alert]}
    )
    await desk.call("balances.create", **named, feature_id="messages", included_grant=7)
    before: Any = desk.client.hgetall(KEYS.entities)
    await lose_redis(live_runtime)
    await desk.call("entities.get", **named)
    after: Any = desk.client.hgetall(KEYS.entities)
    ruled = (b"l:messages\tzoe", b"l:\tzoe")
    assert [after[field] for field in ruled] == [before[field] for field in ruled]


async def test_an_entity_made_on_the_way_brings_its_controls(desk: Desk) -> None:
    controls = {"spend_limits": [SPEND]}
    data = {"feature_id": "seats", "billing_controls": controls}
    used = {"customer_id": "ada", "feature_id": "messages"}
    await desk.call("balances.track", **used, entity_id="e8", entity_data=data)
    plans = [{"plan_id": "by_seat"}]
    await desk.plan("by_seat", {}, group="seats")
    named = {"customer_id": "ada", "entity_id": "e9"}
    await desk.call("billing.multi_attach", **named, plans=plans, entity_data=data)
    for entity_id in ("e8", "e9"):
        shown = await desk.controls(entity_id=entity_id)
        assert shown == {"spend_limits": [{**SPEND, "source": "entity"}]}
        assert desk.rules(f"messages\t{entity_id}")


async def test_a_filter_is_shown_as_clients_read_it_and_means_what_was_sent(desk: Desk) -> None:
    limited = {**DAILY, "filter": {"properties": {"tier": 1.0, "beta": True}}}
    await desk.plan("limited", {"usage_limits": [limited]})
    plan = await desk.call("plans.get", plan_id="limited")
    await desk.call(
        "customers.update", customer_id="ada", billing_controls={"usage_limits": [limited]}
    )
    texts = {"properties": {"tier": "1", "beta": "true"}}
    for controls in (plan["billing_controls"], await desk.controls()):
        assert controls["usage_limits"][0]["filter"] == texts
    used = {"customer_id": "ada", "feature_id": "messages", "value": 9}
    for properties, taken in (({"tier": 1, "beta": True}, 5), ({"tier": 2, "beta": True}, 9)):
        answer = await desk.call("balances.track", **used, properties=properties)
        assert sum(one["value"] for one in answer["deductions"]) == taken
