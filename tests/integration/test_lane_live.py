"""The fast lane before the real engine: calls that need more than one question to Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from gateway.api.protocol.lane import FastLane
from gateway.app import Runtime
from tests.fixtures.app import KEY
from tests.fixtures.fronts import serving
from tests.waiting import until
from tests.wire import Line, request


@pytest.fixture
async def lane(live_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        serving(live_runtime, "lane") as url,
        httpx.AsyncClient(base_url=f"{url}/v1", headers=headers, timeout=60) as client,
    ):
        yield client


async def call(client: httpx.AsyncClient, name: str, /, **body: Any) -> Any:  # noqa: ANN401 - JSON
    response = await client.post(f"/{name}", content=json.dumps(body))
    assert response.status_code == 200, response.text
    return response.json()


async def define(client: httpx.AsyncClient) -> None:
    made = {"feature_id": "calls", "name": "Calls", "type": "metered", "consumable": True}
    await call(client, "features.create", **made)
    seats = {"feature_id": "seats", "name": "Seats", "type": "metered", "consumable": False}
    await call(client, "features.create", **seats)
    await call(client, "customers.get_or_create", customer_id="ada")
    await call(client, "balances.create", customer_id="ada", feature_id="calls", included_grant=100)


async def test_calls_that_take_more_than_one_question(
    lane: httpx.AsyncClient, live_runtime: Runtime
) -> None:
    await define(lane)
    use = {"customer_id": "ada", "feature_id": "calls", "value": 5}

    assert (await call(lane, "balances.track", **use))["balance"]["remaining"] == 95

    # Made on the way: the customer and its seat.
    both = use | {
        "customer_id": "eve",
        "entity_id": "desk",
        "customer_data": {},
        "entity_data": {"feature_id": "seats"},
    }
    assert (await call(lane, "balances.track", **both))["balance"] is None

    # Confirmed beyond memory.
    response = await lane.post(
        "/balances.track", content=json.dumps(use), headers={"x-durability": "sql"}
    )
    assert (response.status_code, response.json()["balance"]["remaining"]) == (200, 90)

    # Replayed.
    keyed = {"idempotency-key": "k1"}
    answers = [
        await lane.post("/balances.track", content=json.dumps(use), headers=keyed) for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotency-replayed"] == "true"

    # Loaded from SQL, by several calls at once.
    async with Redis.from_url(live_runtime.settings.redis_url) as client:
        await client.delete(*await client.keys("*:ada"))
    answers = await asyncio.gather(
        *(lane.post("/balances.check", content=json.dumps(use)) for _ in range(5))
    )
    assert {answer.json()["balance"]["remaining"] for answer in answers} == {85}

    # Held, then given back.
    held = use | {"lock": {"lock_id": "l1"}}
    assert (await call(lane, "balances.track", **held))["balance"]["remaining"] == 80
    await call(lane, "balances.finalize", lock_id="l1", action="release")
    assert (await call(lane, "balances.check", **use))["balance"]["remaining"] == 85

    # Who waits for SQL in a durable call leaves nothing of it to others. What is swept asks too.
    await until(lambda: live_runtime.pipe.in_flight == 0)


async def test_an_answer_that_cannot_be_given_costs_nobody_the_connection_to_redis(
    lane: httpx.AsyncClient, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await define(lane)
    use = {"customer_id": "ada", "feature_id": "calls", "value": 1}
    connection = await live_runtime.pipe.call("CLIENT", "ID")
    port = lane.base_url.port
    assert port is not None

    # Clients that hang up while Redis is silent, and one whose answer raises where it is written.
    async with Redis.from_url(live_runtime.settings.redis_url) as other:
        await other.client_pause(60_000, all=False)
    lines = [Line(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(10)]
    for line in lines:
        await line.send(request(json.dumps(use).encode(), name="balances.track") * 2)
    await until(lambda: live_runtime.pipe.in_flight >= len(lines))
    waiting = asyncio.create_task(call(lane, "balances.track", **use))
    await until(lambda: live_runtime.pipe.in_flight > len(lines))
    for line in lines[1:]:
        line.writer.transport.abort()
    complete = FastLane.on_response_complete
    failed: list[FastLane] = []

    def fail(self: FastLane) -> None:
        if not failed:
            failed.append(self)
            raise RuntimeError("the answer cannot be written")
        complete(self)

    monkeypatch.setattr(FastLane, "on_response_complete", fail)
    async with Redis.from_url(live_runtime.settings.redis_url) as other:
        await other.client_unpause()
    # It may be that very answer which is the one.
    with contextlib.suppress(httpx.TransportError):
        await waiting
    await until(lambda: bool(failed))
    await until(lambda: failed[0] not in failed[0].connections)

    await until(lambda: live_runtime.pipe.in_flight == 0)
    assert await live_runtime.pipe.call("CLIENT", "ID") == connection
    # The first of each two was sent to Redis; the second was still behind it.
    remaining = (await call(lane, "balances.check", **use))["balance"]["remaining"]
    assert 100 - 2 * len(lines) - 1 <= remaining <= 100 - len(lines) - 1
    await lines[0].close()
