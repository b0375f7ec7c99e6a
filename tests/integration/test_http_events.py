"""``events.aggregate`` and the filters of ``events.list`` over HTTP, on every real part.

The history of the customer is put into the outbox, as scripts would have written it; the writer
carries it, and the customer comes back into Redis from SQL.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.app import Runtime
from gateway.cycles import DAY_MS, HOUR_MS, last_boundary
from gateway.documents import CustomerDocument, EntityDocument, Subscription
from gateway.engine.aggregates import BINS_MAX
from gateway.keys import outbox_key, partition_of
from gateway.outbox import FIELD, join
from gateway.rows import RowDocument
from tests.fixtures.app import Api
from tests.unit.persistence.entries import History, deduct, event, row

UNIT = 10**6
AGGREGATE = "events.aggregate"


def document(struct: msgspec.Struct) -> str:
    return msgspec.json.encode(struct).decode()


class World:
    """Customer acme with a yearly plan for 400 days and a monthly one of its seat for 40: their
    current cycles began some 35 and 10 days ago.
    """

    def __init__(self, api: Api, now_ms: int) -> None:
        self.api = api
        self.now_ms = now_ms
        self.created_ms = now_ms - 400 * DAY_MS
        self.seat_ms = now_ms - 40 * DAY_MS

    @property
    def cycle_ms(self) -> int:
        """When the current billing cycle of the customer began."""
        return last_boundary(self.created_ms, "m", 12, self.now_ms)

    def history(self) -> History:
        history = History(partition_of("sandbox", "acme", 4))
        plan = Subscription(
            id="s", plan_id="pro", version=1, anchor_ms=self.created_ms, cycle_unit="m",
            cycle_every=12, started_at=self.created_ms,
        )  # fmt: skip
        own = Subscription(
            id="o", plan_id="seat", version=1, anchor_ms=self.seat_ms, cycle_unit="m",
            cycle_every=1, started_at=self.seat_ms,
        )  # fmt: skip
        seat = EntityDocument(created_at=self.seat_ms, subscriptions=[own])
        history.add(
            join("C", document(CustomerDocument(created_at=self.created_ms))),
            join("S", "", document(plan)),
            join("N", "seat_1", 1, "seats", document(seat)),
            row("bal_1", document=RowDocument(plan_id="pro")),
            row("bal_2", feature="credits", document=RowDocument(plan_id="pro")),
        )
        return history

    async def total(self, **fields: object) -> Any:  # noqa: ANN401 - a number of the answer
        answer = await self.api.call(AGGREGATE, feature_id="messages", **fields)
        assert answer.status == 200, answer.body
        return answer.body["total"]["messages"]["sum"]


@pytest.fixture
async def world(live_api: Api, live_runtime: Runtime, valkey: str) -> World:
    for feature in ("messages", "images"):
        await live_api.call(
            "features.create", feature_id=feature, name=feature, type="metered", consumable=True
        )
    await live_api.call(
        "features.create",
        feature_id="credits",
        name="Credits",
        type="credit_system",
        credit_schema=[{"metered_feature_id": "messages", "credit_cost": 0.5}],
    )
    await live_api.call(
        "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
    )
    created = World(live_api, live_runtime.clock.now_ms("sandbox"))
    now = created.now_ms
    history = created.history()
    history.add(
        event("messages", 3 * UNIT, timestamp_ms=now, properties='{"region":"eu","paid":true}'),
        deduct("bal_1", 2 * UNIT, 2 * UNIT),
        deduct("bal_2", UNIT * 500, UNIT * 500, feature="credits"),  # nine places
    )
    history.add(
        event("messages", UNIT // 4, timestamp_ms=now - 2 * HOUR_MS, properties='{"region":"us"}')
    )
    history.add(event("messages", 10 * UNIT, entity="seat_1", timestamp_ms=now - 20 * DAY_MS))
    history.add(event("messages", 100 * UNIT, timestamp_ms=created.cycle_ms))
    history.add(event("messages", 1_000 * UNIT, timestamp_ms=created.cycle_ms - 1))
    async with Redis.from_url(valkey) as client:
        for entry, payload in zip(history.entries, history.payloads, strict=True):
            await client.xadd(outbox_key(history.partition), {FIELD: payload}, id=entry.stream_id)
    await live_runtime.engine.subjects.caught_up([history.partition])
    return created


async def test_a_range_is_summed(world: World) -> None:
    assert await world.total(customer_id="acme", range="24h") == 3.25
    assert await world.total(customer_id="acme", range="30d") == 13.25
    assert await world.total(range="7d") == 3.25
    assert await world.total() == 13.25


async def test_billing_ranges_follow_the_paid_plan(world: World) -> None:
    assert await world.total(customer_id="acme") == 113.25
    assert await world.total(customer_id="acme", range="1bc") == 113.25
    assert await world.total(customer_id="acme", range="last_cycle") == 1_000
    assert await world.total(customer_id="acme", range="3bc", bin_size="month") == 1_113.25


async def test_an_entity_has_the_cycle_of_its_own_plan(world: World) -> None:
    seat = {"customer_id": "acme", "entity_id": "seat_1"}

    assert await world.total(**seat) == 0
    assert await world.total(**seat, range="last_cycle") == 10


async def test_an_entity_that_is_gone_goes_by_the_customer(world: World) -> None:
    assert await world.total(customer_id="acme", entity_id="gone") == 0


async def test_bins_groups_and_deductions_stand_side_by_side(world: World) -> None:
    hour = world.now_ms - world.now_ms % HOUR_MS
    answer = await world.api.call(
        AGGREGATE,
        feature_id=["messages", "images"],
        customer_id="acme",
        custom_range={"start": hour - 24 * HOUR_MS, "end": hour + HOUR_MS},
        bin_size="hour",
        group_by="properties.region",
        aggregate_on="deducted",
    )

    body = answer.body
    assert len(body["list"]) == len(body["deductions"]) == 25
    assert body["list"][-1] == {
        "period": hour,
        "values": {"messages": 3, "images": 0},
        "grouped_values": {"messages": {"eu": 3}, "images": {}},
    }
    assert body["list"][-3]["grouped_values"]["messages"] == {"us": 0.25}
    assert body["list"][-2]["values"] == {"messages": 0, "images": 0}
    assert body["total"] == {
        "messages": {"count": 2, "sum": 3.25},
        "images": {"count": 0, "sum": 0},
    }
    last = body["deductions"][-1]
    assert last["period"] == hour
    assert last["values"]["messages"]["deducted"] == 2
    assert last["values"]["credits"]["balances"][0] == {
        "balance_id": "bal_2",
        "entity_id": None,
        "plan_id": "pro",
        "reset": None,
        "credit_cost": 0.5,
        "deducted": 0.5,
        "events": 1,
    }
    assert last["grouped_values"]["bal_1"] == {"eu": {"deducted": 2, "credit_cost": None}}
    assert body["deductions"][-2] == {
        "period": hour - HOUR_MS,
        "values": {},
        "grouped_values": {},
    }


async def test_filters_choose_events_by_their_properties(world: World) -> None:
    assert await world.total(range="24h", filter_by={"region": "us"}) == 0.25
    assert await world.total(range="24h", filter_by={"region": "eu", "paid": "true"}) == 3
    assert await world.total(range="24h", filter_by={"region": "us", "paid": "true"}) == 0

    listed = await world.api.call("events.list", filter_by={"region": "us"}, range="7d")
    assert [one["value"] for one in listed.body["list"]] == [0.25]
    cycle = await world.api.call("events.list", customer_id="acme", range="last_cycle")
    assert cycle.body["list"][-1]["value"] == 1_000


async def test_before_cursors_filtered_lists_are_paged_by_offset(world: World) -> None:
    listed = await world.api.send(
        "events.list",
        b'{"limit": 1, "offset": 1, "range": "24h"}',
        x_api_version="2.2",
    )

    assert listed.body["list"][0]["value"] == 0.25
    shape = {key: value for key, value in listed.body.items() if key != "list"}
    assert shape == {"has_more": False, "offset": 1, "limit": 1, "total": 2}


async def test_events_can_be_counted_instead(world: World) -> None:
    answer = await world.api.call(
        AGGREGATE, feature_id="messages", range="30d", bin_size="month", measure="count"
    )

    assert sum(one["values"]["messages"] for one in answer.body["list"]) == 3
    assert answer.body["total"]["messages"] == {"count": 3, "sum": 13.25}


async def test_what_does_not_exist_is_a_404(world: World) -> None:
    unknown = await world.api.call(AGGREGATE, feature_id="messages", customer_id="nobody")
    feature = await world.api.call(AGGREGATE, feature_id=["messages", "nothing"])
    listed = await world.api.call("events.list", customer_id="nobody", range="1bc")

    assert unknown.error == (404, "customer_not_found")
    assert feature.error == (404, "feature_not_found")
    assert listed.error == (404, "customer_not_found")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"feature_id": None}, "feature_id: must be a string or an array"),
        ({"filter_by": {"a": 5}}, "filter_by"),
        ({"filter_by": ["a"]}, "filter_by: must be an object"),
        ({"group_by": "$region"}, "group_by: must be properties.<name>"),
        ({"custom_range": {"start": 0, "end": 10**13}}, f"more than {BINS_MAX} bins"),
    ],
)
async def test_a_malformed_request_is_a_400_that_says_where(
    live_api: Api, fields: dict[str, object], message: str
) -> None:
    await live_api.call(
        "features.create", feature_id="messages", name="M", type="metered", consumable=True
    )
    answer = await live_api.call(AGGREGATE, **{"feature_id": "messages", **fields})

    assert answer.error == (400, "invalid_inputs")
    assert message in answer.body["message"]
