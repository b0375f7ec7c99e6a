"""Alerts reach real HTTP receivers signed, once while all goes well, again when it does not."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec import structs
from sqlalchemy import Engine
from standardwebhooks import Webhook

from gateway.errors import UnavailableError
from gateway.outbox import join
from gateway.ports import CatalogChange, FeatureRecord
from gateway.webhooks.deliverer import ALERTS_MAX, LEASE_MS, Deliverer
from gateway.webhooks.messages import RETRY_MS, judge, tell
from gateway.webhooks.records import ENDPOINTS_MAX, Claim, Endpoint, EventType, Outcome, Work
from gateway.webhooks.sender import ANSWER_BYTES_MAX
from persistence.catalog import SqlCatalog
from persistence.database import Database
from persistence.webhooks import SqlWebhooks
from tests.fixtures.receivers import Received, Receiver
from tests.integration.carrying import carry
from tests.integration.webhooks import World, make_sender
from tests.unit.persistence.entries import History
from tests.waiting import until


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    """Alerts, endpoints and workers on a database of each engine in turn."""
    database = Database(engine, threads=4, answer_ms=None)
    async with make_sender() as sender:
        yield World(database, sender)
    await database.close()


async def claimed(world: World, endpoint: Endpoint) -> list[Claim]:
    return await world.store.claim(endpoint.id, world.clock.ms, lease_ms=LEASE_MS, deliveries_max=9)


def signature_at(request: Received, secret: str) -> str:
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(request.id, at, request.body)


async def test_an_alert_arrives_signed_and_once(world: World, receiver: Receiver) -> None:
    endpoint = await world.endpoint(receiver.url)
    alert_id = world.alert()

    for _ in range(3):
        await world.round()

    (request,) = receiver.requests
    assert (request.path, request.id) == ("/hook", alert_id)
    verified = Webhook(endpoint.secret).verify(request.body, request.headers)
    assert verified["type"] == "balances.limit_reached"
    assert verified["data"]["limit_type"] == "included"
    assert await world.states() == {alert_id: "delivered"}


async def test_what_a_script_wrote_arrives_in_decimals(world: World, receiver: Receiver) -> None:
    await world.endpoint(receiver.url, env="live")
    catalog = SqlCatalog(world.database, world.clock)
    feature = FeatureRecord(
        env="live",
        id="messages",
        name="Messages",
        type="metered",
        consumable=True,
        precision=3,
        in_use=True,
        archived=False,
    )
    assert await catalog.apply(CatalogChange(revision=0, features=((None, feature),)))
    history = History()
    body = '{"name":"eighty","threshold":80500,"threshold_type":"usage"}'
    line = join("A", "usage_alert_triggered", "messages", "seat_1", body)
    limit = join("A", "limit_reached", "messages", "", '{"limit_type":"spend_limit"}')
    history.add(line, limit, env="live")
    carry(world.engine, history)

    await world.round()

    told = {request.json["type"]: request for request in receiver.requests}
    alert = told["balances.usage_alert_triggered"]
    assert alert.json["data"] == {
        "customer_id": "acme",
        "entity_id": "seat_1",
        "feature_id": "messages",
        "usage_alert": {"name": "eighty", "threshold": 80.5, "threshold_type": "usage"},
        "env": "live",
    }
    assert told["balances.limit_reached"].id != alert.id


async def test_a_receiver_that_fails_is_asked_again_until_it_takes_it(
    world: World, receiver: Receiver
) -> None:
    endpoint = await world.endpoint(receiver.url)
    receiver.answers = [500, 302, 404]
    alert_id = world.alert()

    for wait_ms in (*RETRY_MS[:3], 0):
        await world.round()
        await world.round()  # Nothing is due yet: no request.
        world.clock.ms += wait_ms

    assert receiver.ids == [alert_id] * 4
    assert len({request.body for request in receiver.requests}) == 1
    times = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert [after - before for before, after in pairwise(times)] == [5, 30, 120]
    for request in receiver.requests:
        assert request.headers["webhook-signature"] == signature_at(request, endpoint.secret)
    (delivery,) = await world.store.list_deliveries(None, 10)
    assert (delivery.state, delivery.attempts) == ("delivered", 4)
    assert (delivery.last_status, delivery.last_error) == (200, None)


async def test_after_the_last_attempt_a_delivery_has_failed(
    world: World, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url)
    receiver.otherwise = 503
    alert_id = world.alert()

    for wait_ms in (*RETRY_MS, RETRY_MS[-1]):
        await world.round()
        world.clock.ms += wait_ms
    await world.round()

    assert len(receiver.requests) == len(RETRY_MS) + 1
    assert await world.states() == {alert_id: "failed"}


async def test_workers_share_the_deliveries_and_none_is_sent_twice(
    world: World, receiver: Receiver, other_receiver: Receiver
) -> None:
    endpoints = [await world.endpoint(one.url) for one in (receiver, other_receiver)]
    alerts = {world.alert() for _ in range(40)}

    workers = [world.worker() for _ in range(3)]
    for _ in range(10):
        await asyncio.gather(*(worker.turn() for worker in workers))
        await asyncio.gather(*(worker.settled() for worker in workers))

    found = await world.store.list_deliveries(None, 1000)
    assert {delivery.last_error for delivery in found} == {None}
    for one in (receiver, other_receiver):
        assert Counter(one.ids) == Counter(alerts)
    assert Counter(delivery.endpoint_id for delivery in found) == {
        endpoint.id: len(alerts) for endpoint in endpoints
    }
    assert {delivery.state for delivery in found} == {"delivered"}


async def test_a_claim_nobody_settled_runs_out(world: World, receiver: Receiver) -> None:
    endpoint = await world.endpoint(receiver.url)
    alert_id = world.alert()
    assert await world.store.dispatch(tell, world.clock.ms, alerts_max=9) == 1
    (lost,) = await claimed(world, endpoint)

    await world.round()
    assert receiver.ids == []
    world.clock.ms += LEASE_MS
    await world.round()

    assert receiver.ids == [alert_id]
    (delivery,) = await world.store.list_deliveries(None, 10)
    assert (lost.attempt, delivery.attempts, delivery.state) == (1, 2, "delivered")


async def test_a_late_result_does_not_undo_a_newer_claim(world: World) -> None:
    endpoint = await world.endpoint("http://127.0.0.1:9/")
    alert_id = world.alert()
    await world.store.dispatch(tell, world.clock.ms, alerts_max=9)
    (late,) = await claimed(world, endpoint)
    assert await claimed(world, endpoint) == []
    world.clock.ms += LEASE_MS
    (current,) = await claimed(world, endpoint)

    await world.store.settle([judge(late, Outcome(500), 0)], world.clock.ms)
    assert await claimed(world, endpoint) == []
    await world.store.settle([judge(current, Outcome(200), 0)], world.clock.ms)

    assert await world.states() == {alert_id: "delivered"}


async def test_gone_disables_the_endpoint_and_ends_what_waits(
    world: World, receiver: Receiver, other_receiver: Receiver
) -> None:
    endpoint = await world.endpoint(receiver.url)
    await world.endpoint(other_receiver.url)
    receiver.answers = [500]
    first = world.alert()
    await world.round()
    receiver.otherwise = 410
    second = world.alert()
    await world.round()
    world.clock.ms += RETRY_MS[0]
    third = world.alert()
    await world.round()

    assert receiver.ids == [first, second]
    assert other_receiver.ids == [first, second, third]
    found = {one.id: one.disabled_at for one in await world.store.list_endpoints()}
    assert found.pop(endpoint.id) is not None
    assert list(found.values()) == [None]
    deliveries = await world.store.list_deliveries(None, 10)
    assert {one.alert_id: one.state for one in deliveries if one.endpoint_id == endpoint.id} == {
        first: "failed",
        second: "failed",
    }


async def test_an_endpoint_gets_what_it_asked_for(
    world: World, receiver: Receiver, other_receiver: Receiver
) -> None:
    await world.endpoint(receiver.url, EventType.USAGE_ALERT_TRIGGERED)
    await world.endpoint(other_receiver.url, env="live")
    share = '{"threshold":5000,"threshold_type":"usage_percentage"}'
    world.alert()
    told = world.alert("usage_alert_triggered", share)
    live = world.alert(env="live")

    await world.round()

    assert (receiver.ids, other_receiver.ids) == ([told], [live])


async def test_an_alert_nobody_can_be_told_of_holds_nothing_up(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await world.endpoint(receiver.url)
    unreadable = world.alert(body="{")
    told = world.alert()

    await world.round()
    await world.round()

    assert receiver.ids == [told]
    assert caplog.text.count(f"alert {unreadable} cannot be told") == 1


async def test_alerts_from_before_an_endpoint_are_not_for_it(
    world: World, receiver: Receiver
) -> None:
    world.alert()
    await world.round()
    await world.endpoint(receiver.url)
    told = world.alert()

    await world.round()

    assert receiver.ids == [told]


async def test_a_removed_endpoint_takes_its_deliveries_along(
    world: World, receiver: Receiver
) -> None:
    endpoint = await world.endpoint(receiver.url)
    receiver.otherwise = 500
    world.alert()
    await world.round()

    assert await world.store.remove_endpoint(endpoint.id)
    assert not await world.store.remove_endpoint(endpoint.id)

    world.clock.ms += RETRY_MS[0]
    await world.round()
    assert len(receiver.requests) == 1
    assert await world.store.list_deliveries(None, 10) == []


async def test_endpoints_are_bounded(world: World) -> None:
    made = [await world.endpoint("http://h/") for _ in range(ENDPOINTS_MAX)]

    assert not await world.store.add_endpoint(structs.replace(made[0], id="one_more"))
    assert len(await world.store.list_endpoints()) == ENDPOINTS_MAX


async def test_a_redirect_is_not_followed(world: World, receiver: Receiver) -> None:
    receiver.otherwise = 307
    assert await world.sender.send(receiver.url, "{}", {}) == Outcome(307)
    assert [request.path for request in receiver.requests] == ["/hook"]


async def test_a_large_answer_is_not_read_to_its_end(world: World, receiver: Receiver) -> None:
    receiver.content = b"x" * (ANSWER_BYTES_MAX * 4)
    assert await world.sender.send(receiver.url, "{}", {}) == Outcome(200)


async def test_nobody_there_is_an_outcome_without_the_url(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/?token=hidden"
        outcome = await world.sender.send(url, "{}", {})

    assert outcome.status == 0
    assert outcome.error.startswith("ConnectError: ")
    assert "hidden" not in outcome.error


async def test_a_receiver_that_never_answers_is_left_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        async with make_sender(0.1) as sender:
            outcome = await sender.send(url, "{}", {})

    assert outcome == Outcome(0, "no answer within 0.1 s")


async def test_an_endpoint_that_hangs_holds_up_no_other(world: World, receiver: Receiver) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hanging = await world.endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        await world.endpoint(receiver.url)
        alerts = [world.alert() for _ in range(20)]
        async with make_sender(600) as sender:
            worker = Deliverer(world.store, sender, world.clock)
            running = asyncio.create_task(worker.run())
            await until(lambda: len(receiver.ids) == len(alerts))
            found = await world.store.list_deliveries(None, 100)
            silent.close()  # which ends what hangs
            worker.stop()
            await running

    assert Counter(receiver.ids) == Counter(alerts)
    errors = {one.last_error for one in found if one.endpoint_id == hanging.id}
    assert errors == {None}, "the other had all of it before the first attempt was given up"


async def test_more_alerts_than_one_transaction_takes_all_arrive(
    world: World, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url)
    worker = world.worker()
    alerts = [world.alert() for _ in range(ALERTS_MAX + 1)]

    running = asyncio.create_task(worker.run())
    await until(lambda: len(receiver.ids) >= len(alerts))
    worker.stop()
    await running

    assert Counter(receiver.ids) == Counter(alerts)


@pytest.mark.parametrize("fault", [UnavailableError(), ValueError("odd")])
async def test_a_worker_outlives_a_fault(
    world: World, receiver: Receiver, fault: Exception
) -> None:
    class Flaky(SqlWebhooks):
        """SQL that fails the first time."""

        is_gone = True

        async def find_work(self, now_ms: int, *, busy: Sequence[str], endpoints_max: int) -> Work:
            if self.is_gone:
                self.is_gone = False
                raise fault
            return await super().find_work(now_ms, busy=busy, endpoints_max=endpoints_max)

    await world.endpoint(receiver.url)
    alert_id = world.alert()
    worker = Deliverer(Flaky(world.database), world.sender, world.clock)
    running = asyncio.create_task(worker.run())
    await until(lambda: bool(receiver.ids))
    worker.stop()
    await running

    assert receiver.ids == [alert_id]
