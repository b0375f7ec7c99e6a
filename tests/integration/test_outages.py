"""What is answered while Redis or the writer is not there, and that it ends by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from gateway import metrics
from gateway.engine import backlog
from gateway.errors import RedisUnavailableError
from tests.fixtures.app import KEY, Answer
from tests.fixtures.redis_processes import MakeRedis, RedisProcess
from tests.fixtures.shop import CUSTOMER, done
from tests.integration.test_durability import Place, gateway
from tests.waiting import until

HURRY_SECONDS = 0.2
POLICIES = ("closed", "open", "last_known")


@asynccontextmanager
async def shop(server: RedisProcess, database_url: str, **options: Any) -> AsyncIterator[Place]:  # noqa: ANN401 - any setting
    """A gateway with a feature of each policy, of which the customer has 10 units."""
    async with gateway(server.url, database_url, **options) as place:
        for policy in POLICIES:
            named = {"feature_id": policy, "name": policy, "type": "metered", "consumable": True}
            made = await done(place.api, "features.create", **named, on_outage=policy)
            assert made["on_outage"] == policy
            grant = {"customer_id": CUSTOMER, "feature_id": policy, "included_grant": 10}
            await done(place.api, "balances.create", **grant)
        yield place


@contextmanager
def hurried(place: Place) -> Iterator[None]:
    """Have Redis waited for briefly: before and after the block a machine may stand still."""
    pool: Any = place.runtime.redis.connection_pool
    brief: dict[str, Any] = {
        "socket_timeout": HURRY_SECONDS,
        "socket_connect_timeout": HURRY_SECONDS,
    }
    with ExitStack() as stack:
        stack.enter_context(patch.object(place.runtime.pipe, "_timeout_s", HURRY_SECONDS))
        stack.enter_context(patch.dict(pool.connection_kwargs, brief))
        for one in pool._available_connections:  # noqa: SLF001 - it has no say in those it has made
            stack.enter_context(patch.multiple(one, **brief))
        yield


async def check(place: Place, feature_id: str, **request: object) -> Answer:
    body = {"customer_id": CUSTOMER, "feature_id": feature_id, **request}
    return await place.api.call("balances.check", **body)


async def lose(place: Place, server: RedisProcess) -> None:
    """Kill Redis, and wait until the gateway has noticed: what it sends before that is sent."""
    server.kill()
    await until(lambda: not place.runtime.pipe.is_open)


def degraded(answer: Answer) -> tuple[int, bool, str | None]:
    return answer.status, answer.body["allowed"], answer.headers.get("x-tallygate-degraded")


def count(policy: str) -> float:
    return float(metrics.degraded_answers.labels(policy)._value.get())  # noqa: SLF001 - no public way


async def test_without_redis_a_check_is_answered_by_the_policy_of_its_feature(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    async with shop(server, migrated_sqlite) as place:
        live = await check(place, "last_known", required_balance=10)
        before = {policy: count(policy) for policy in POLICIES}
        server.kill()
        closed, opened, last = [
            await check(place, policy, required_balance=10) for policy in POLICIES
        ]
        assert degraded(closed) == (200, False, "redis")
        assert degraded(opened) == (202, True, "redis")
        assert degraded(last) == (200, True, "redis")
        assert last.body == live.body
        for answer in (closed, opened):
            assert answer.body == {
                "allowed": answer is opened,
                "customer_id": CUSTOMER,
                "required_balance": 10,
                "balance": None,
                "flag": None,
            }
        assert {policy: count(policy) - before[policy] for policy in POLICIES} == dict.fromkeys(
            POLICIES, 1
        )
        unknown = await check(place, "last_known", required_balance=11)
        assert degraded(unknown) == (200, False, "redis")


async def test_a_preview_is_of_its_own_call_and_no_verdict_fails_because_of_it(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise RedisUnavailableError

    server = make_redis()
    async with shop(server, migrated_sqlite) as place:
        items = [{"feature_id": "last_known", "included": 20, "reset": {"interval": "month"}}]
        await done(place.api, "plans.create", plan_id="pro", name="Pro", items=items)
        asked = {"required_balance": 11, "with_preview": True}
        live = await check(place, "last_known", **asked)
        assert live.body["preview"]["upgrade_product_id"] == "pro"
        with monkeypatch.context() as patched:
            patched.setattr(place.runtime.engine.planner, "scope", gone)
            alone = await check(place, "last_known", **asked)
        assert (alone.status, alone.body["allowed"]) == (200, False)
        assert (alone.body["preview"]["title"], alone.body["preview"]["products"]) == (
            "Limit reached",
            [],
        )
        await lose(place, server)
        for request in (asked, {"required_balance": 11}):
            last = await check(place, "last_known", **request)
            assert degraded(last) == (200, False, "redis")
            assert "preview" not in last.body


async def test_the_last_known_answer_has_nothing_that_one_caller_asked_for_beside_it(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    async with shop(server, migrated_sqlite) as place:
        asked = {"customer_id": CUSTOMER, "feature_id": "last_known"}
        live = await place.api.call("balances.check?expand=balance.feature", **asked, explain=True)
        assert live.body["balance"]["feature"]["id"] == "last_known"
        assert "explanation" in live.body
        await lose(place, server)
        last = await check(place, "last_known")
        assert degraded(last) == (200, True, "redis")
        assert "explanation" not in last.body
        assert "feature" not in last.body["balance"]


async def test_without_redis_changes_and_reads_are_503_with_retry_after(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    customer: dict[str, object] = {"customer_id": CUSTOMER}
    calls: list[tuple[str, dict[str, object]]] = [
        ("balances.track", {**customer, "feature_id": "open"}),
        ("balances.track", {**customer, "feature_id": "closed"}),
        ("balances.check", {**customer, "feature_id": "open", "send_event": True}),
        ("balances.check", {**customer, "feature_id": "last_known", "send_event": True}),
        ("balances.finalize", {"lock_id": "none", "action": "confirm"}),
        ("balances.create", {**customer, "feature_id": "open", "included_grant": 1}),
        ("customers.get_or_create", {"customer_id": "new"}),
        ("customers.get", customer),
        ("entities.list", customer),
    ]
    async with shop(server, migrated_sqlite) as place:
        await lose(place, server)
        where = server.url.partition("//")[2]
        for operation, body in calls:
            answer = await place.api.call(operation, **body)
            assert answer.error == (503, "service_unavailable"), (operation, answer.body)
            assert answer.headers["retry-after"] == "1", operation
            assert where not in answer.body["message"], operation
        assert (await place.api.call("features.list")).status == 200


async def test_without_redis_a_closed_feature_denies_what_it_would_have_used(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis(appendonly="yes", appendfsync="always")
    lock = {"lock_id": "job", "enabled": True}
    async with shop(server, migrated_sqlite) as place:
        await lose(place, server)
        for request in ({"send_event": True}, {"lock": lock}):
            assert degraded(await check(place, "closed", **request)) == (200, False, "redis")
        server.start()
        await until(lambda: answers(place))
        assert (await check(place, "closed")).body["balance"]["remaining"] == 10


async def answers(place: Place) -> bool:
    return "x-tallygate-degraded" not in (await check(place, "closed")).headers


async def test_a_redis_that_stands_still_is_given_up_within_the_time_of_a_hot_call(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    async with shop(server, migrated_sqlite) as place:
        await check(place, "closed")
        with server.frozen(), hurried(place):
            track = await place.track("memory", "k1")
            assert track.error == (503, "outcome_unknown")
            # With its key it can be sent again, whatever became of it.
            assert track.headers["retry-after"] == "1"
            await until(lambda: is_refused_at_once(place))
        await until(lambda: answers(place))
        again = await place.track("memory", "k1")
        assert again.status == 200, again.body
        assert await place.used() == 1


async def test_what_a_redis_that_stands_still_never_began_goes_through_when_it_is_sent_again(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    grant = b'{"customer_id": "ada", "feature_id": "messages", "included_grant": 5}'

    async def give() -> Answer:
        return await place.api.send("balances.create", grant, idempotency_key="k1")

    async with shop(server, migrated_sqlite) as place:
        with server.frozen(), hurried(place):
            assert (await give()).error == (503, "service_unavailable")
        await until(lambda: answers(place))
        for _ in range(2):
            again = await give()
            assert again.status == 200, again.body
        assert (await check(place, "messages")).body["balance"]["granted"] == 105


SEATS = {"feature_id": "seats", "name": "Seats", "type": "metered", "consumable": False}


async def test_an_entity_that_was_created_before_redis_went_is_not_said_to_be_unchanged(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"customer_id": CUSTOMER, "entity_id": "e1", "feature_id": "seats"}
    async with shop(make_redis(), migrated_sqlite) as place:
        await done(place.api, "features.create", **SEATS)
        create = place.runtime.scripts.create_entity
        with monkeypatch.context() as patch:

            async def went_after_it(*words: Any) -> Any:  # noqa: ANN401 - as it is
                patch.setattr(place.runtime.scripts, "read_customer", went)
                return await create(*words)

            patch.setattr(place.runtime.scripts, "create_entity", went_after_it)
            answer = await place.api.call("entities.create", **wanted)
        assert answer.error == (503, "outcome_unknown")
        found = await done(place.api, "entities.list", customer_id=CUSTOMER)
        assert [one["id"] for one in found["list"]] == ["e1"]


async def test_some_of_several_entities_created_before_redis_went_are_not_said_to_be_unchanged(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [{"id": f"e{at}", "feature_id": "seats"} for at in (1, 2)]
    async with shop(make_redis(), migrated_sqlite) as place:
        await done(place.api, "features.create", **SEATS)
        create = place.runtime.scripts.create_entity

        async def went_after_one(*words: Any) -> Any:  # noqa: ANN401 - as it is
            monkeypatch.setattr(place.runtime.scripts, "create_entity", went)
            return await create(*words)

        monkeypatch.setattr(place.runtime.scripts, "create_entity", went_after_one)
        path, old = f"/v1/customers/{CUSTOMER}/entities", {"x-api-version": "1.2"}
        headers = {**old, "authorization": f"Bearer {KEY}"}
        body = json.dumps(wanted).encode()
        answer = await place.api.fetch(path, "POST", content=body, headers=headers)
        assert answer.error == (503, "outcome_unknown")
        found = await done(place.api, "entities.list", customer_id=CUSTOMER)
        assert [one["id"] for one in found["list"]] == ["e1"]


async def went(*_: object) -> None:
    raise RedisUnavailableError


async def is_refused_at_once(place: Place) -> bool:
    await check(place, "closed")
    return place.runtime.breaker.is_open


@contextmanager
def paused(server: RedisProcess) -> Iterator[None]:
    server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        yield
    finally:
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.ask("CLIENT", "UNPAUSE")


@pytest.mark.parametrize("cut", ["frozen", "killed"])
async def test_a_track_cut_between_sending_and_answer_counts_once_when_it_is_sent_again(
    make_redis: MakeRedis, migrated_sqlite: str, cut: str
) -> None:
    server = make_redis()
    async with shop(server, migrated_sqlite) as place:
        await check(place, "closed")
        # Frozen, the server carries it out later, when nobody waits any more; paused, it never
        # does, since the connection is closed while the command waits.
        with server.frozen() if cut == "frozen" else paused(server), hurried(place):
            sent = [place.track("memory", f"k{at}") for at in range(3)]
            results = await asyncio.gather(*sent)
        assert {answer.error for answer in results} == {(503, "outcome_unknown")}
        await until(lambda: answers(place))
        for _ in range(2):
            for at in range(3):
                again = await place.track("memory", f"k{at}")
                assert again.status == 200, again.body
        assert await place.used() == 3


async def test_a_restarted_redis_is_used_again_by_itself(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis(appendonly="yes", appendfsync="always")
    async with shop(server, migrated_sqlite) as place:
        assert (await place.track("memory")).status == 200
        server.kill()
        await until(lambda: is_refused_at_once(place))
        server.start()
        await until(lambda: answers(place))
        assert not place.runtime.breaker.is_open
        assert (await place.track("memory")).status == 200
        assert await place.used() == 2


async def test_while_sql_is_too_far_behind_changes_are_refused_and_checks_go_on(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LOOK_SECONDS", 3_600)  # it is looked at when the test says so
    server = make_redis()
    async with shop(server, migrated_sqlite, writer=False, outbox_max=3) as place:
        await place.runtime.backlog.look()
        answer = await place.track("memory")
        assert answer.error == (503, "service_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert "too far behind" in answer.body["message"]
        created = await place.api.call("customers.get_or_create", customer_id="new")
        assert created.status == 503
        assert (await check(place, "closed")).body["allowed"] is True
        assert degraded(await check(place, "closed", send_event=True))[:2] == (200, False)
        assert (await check(place, "open", send_event=True)).status == 503
        feature = {"feature_id": "sso", "name": "SSO", "type": "boolean"}
        assert (await place.api.call("features.create", **feature)).status == 200
        server.ask("XTRIM", "tg:{p00}:outbox", "MAXLEN", 0)
        for at in range(1, 4):
            server.ask("XTRIM", f"tg:{{p{at:02d}}}:outbox", "MAXLEN", 0)
        await place.runtime.backlog.look()
        assert (await place.track("memory")).status == 200


async def test_a_gateway_whose_clock_is_ahead_takes_changes(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(make_redis(), migrated_sqlite, writer=False, lag_seconds_max=3_600) as place:
        ahead_ms = place.runtime.wall.now_ms() + 7_200_000
        monkeypatch.setattr(place.runtime.wall, "now_ms", lambda: ahead_ms)
        await place.runtime.backlog.look()
        assert (await place.track("memory")).status == 200


async def test_a_policy_nobody_knows_is_refused(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    async with gateway(make_redis().url, migrated_sqlite) as place:
        named = {"feature_id": "x", "name": "X", "type": "boolean", "on_outage": "shrug"}
        answer = await place.api.call("features.create", **named)
        assert answer.error == (400, "invalid_inputs")
        assert answer.body["message"].startswith("on_outage: must be one of closed, open")
        await done(place.api, "features.create", **(named | {"on_outage": "open"}))
        changed = await done(
            place.api, "features.update", feature_id="x", on_outage="last_known", name="Y"
        )
        assert changed["on_outage"] == "last_known"
        kept = await done(place.api, "features.update", feature_id="x", name="Z")
        assert kept["on_outage"] == "last_known"
