"""Rate limits over HTTP, on both tiers, before every real part."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
import redis

from gateway import metrics
from gateway.app import Runtime, started
from gateway.config import Settings
from gateway.keys import calls_key, customer_keys
from tests.fixtures.app import KEY, NOW_MS, ManualClock
from tests.fixtures.fronts import serving
from tests.waiting import PATIENT

PUBLIC = "am_pk_test_" + "p" * 40
OTHER = "am_sk_test_" + "o" * 40
USE: dict[str, Any] = {"customer_id": "ada", "feature_id": "calls"}
SEAT: dict[str, Any] = {"entity_id": "desk"}
LONGER: dict[str, Any] = {"properties": {"ü": 1}}
"""Makes a track go the longer way."""


class Place(NamedTuple):
    """A gateway with limits, at a time that stands still, just after a minute has begun. The server
    forgets a window of a second by its own clock, and may do so between two calls; not a minute.
    """

    runtime: Runtime
    client: httpx.AsyncClient
    clock: ManualClock

    async def ask(
        self,
        operation: str,
        /,
        key: str = KEY,
        headers: dict[str, str] | None = None,
        **body: Any,  # noqa: ANN401 - JSON
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {key}", **(headers or {})}
        return await self.client.post(f"/{operation}", json=body, headers=sent)

    async def statuses(self, count: int, operation: str, /, **body: Any) -> list[int]:  # noqa: ANN401 - as above
        return [(await self.ask(operation, **body)).status_code for _ in range(count)]

    async def dump(self) -> dict[bytes, Any]:
        """Return every key with its content."""
        client: Any = self.runtime.redis
        return {key: await client.dump(key) for key in sorted(await client.keys("*"))}

    @property
    def limits(self) -> tuple[Any, ...]:
        return tuple(self.runtime.limits)


Open = Callable[..., contextlib.AbstractAsyncContextManager[Place]]


@pytest.fixture(params=["lane", "asgi"])
def open_place(request: pytest.FixtureRequest, valkey: str, migrated_sqlite: str) -> Open:
    """Opens a gateway with limits; what it begins with was done before they were set."""

    @contextlib.asynccontextmanager
    async def place(*, is_first: bool = True, **limits: str) -> AsyncIterator[Place]:
        clock = ManualClock(NOW_MS - NOW_MS % 60_000)
        settings = Settings(
            redis_url=valkey,
            database_url=migrated_sqlite,
            partitions=4,
            writer=False,
            lag_seconds_max=0,
            **PATIENT | {"restore_wait_ms": 100},  # nobody carries what would be waited for
        )
        if is_first:
            with redis.Redis.from_url(valkey) as empty:
                empty.flushall()
                empty.config_set("maxmemory-policy", "noeviction")
            async with opened(settings, clock, request.param) as free:
                await define(free)
        settings = msgspec.structs.replace(settings, **limits)
        async with opened(settings, clock, request.param) as made:
            yield made

    return place


@contextlib.asynccontextmanager
async def opened(settings: Settings, clock: ManualClock, tier: str) -> AsyncIterator[Place]:
    async with (
        started(Runtime(settings, clock=clock)) as runtime,
        serving(runtime, tier) as url,
        httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as client,
    ):
        for sweeper in runtime.sweepers:
            await sweeper.stop()
        await runtime.engine.denials.stop()
        await runtime.guard.stop()
        yield Place(runtime, client, clock)


async def define(place: Place) -> None:
    for key in (KEY, OTHER, PUBLIC):
        await place.runtime.store.create_key("sandbox", "test", key)
    await place.runtime.catalog.refresh()
    metered: dict[str, Any] = {"type": "metered", "consumable": True}
    for name in ("calls", "fresh"):
        answer = await place.ask("features.create", feature_id=name, name=name, **metered)
        assert answer.is_success, answer.text
    await place.ask(
        "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
    )
    for customer in ("ada", "bob"):
        await place.ask("customers.get_or_create", customer_id=customer)
        grant: dict[str, Any] = {
            "customer_id": customer,
            "feature_id": "calls",
            "included_grant": 1000,
        }
        assert (await place.ask("balances.create", **grant)).is_success
        await place.ask("entities.create", customer_id=customer, feature_id="seats", **SEAT)
        assert (await place.ask("balances.track", **USE)).is_success


def told(answer: httpx.Response) -> tuple[str | None, ...]:
    names = ("limit", "remaining", "reset")
    return tuple(answer.headers.get(f"ratelimit-{name}") for name in names)


async def used(place: Place, customer: str = "ada") -> int:
    """Return what a customer used, whatever its limits."""
    answer = await place.ask("customers.get", customer_id=customer)
    usage: int = answer.json()["balances"]["calls"]["usage"]
    return usage


async def test_without_a_limit_nothing_is_told_and_nothing_kept(open_place: Open) -> None:
    async with open_place() as place:
        assert place.limits == (None, None, None)
        for name in ("balances.check", "balances.track", "customers.get"):
            answer = await place.ask(
                name, **(USE if name != "customers.get" else {"customer_id": "ada"})
            )
            assert answer.status_code == 200
            assert told(answer) == (None, None, None)
        assert not await place.runtime.redis.keys("*calls:*")


async def test_a_customer_is_limited_whoever_asks_and_on_every_way(open_place: Open) -> None:
    async with open_place(rate_limit_customer="5/minute") as place:
        ways: list[tuple[str, str, dict[str, Any]]] = [
            ("balances.check", KEY, {}),
            ("balances.check", OTHER, {"with_preview": True}),
            ("balances.check", PUBLIC, SEAT),
            ("balances.track", KEY, SEAT),
            ("balances.track", OTHER, LONGER),
        ]
        for left, (name, key, more) in zip((4, 3, 2, 1, 0), ways, strict=True):
            answer = await place.ask(name, key, **USE | more)
            assert answer.status_code == 200, answer.text
            assert told(answer) == ("5", str(left), "60")
            assert "retry-after" not in answer.headers
        before = await place.dump()
        for name, key, more in ways:
            answer = await place.ask(name, key, **USE | more)
            assert answer.status_code == 429
            assert answer.json() == {
                "message": "Too many calls: this customer may be checked and tracked 5 times a "
                "minute; nothing was changed",
                "code": "rate_limit_exceeded",
                "env": "sandbox",
            }
            assert told(answer) == ("5", "0", "60")
            assert answer.headers["retry-after"] == "60"
            assert answer.headers["x-request-id"]
        assert await place.dump() == before
        assert (await place.ask("balances.check", **USE | {"customer_id": "bob"})).is_success
        assert await place.statuses(9, "customers.get", customer_id="ada") == [200] * 9


async def test_the_next_window_begins_on_time(open_place: Open) -> None:
    async with open_place(rate_limit_customer="2/minute") as place:
        place.clock.ms += 400
        assert await place.statuses(3, "balances.check", **USE) == [200, 200, 429]
        place.clock.ms += 59_599
        refused = await place.ask("balances.track", **USE)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        place.clock.ms += 1
        assert await place.statuses(3, "balances.track", **USE) == [200, 200, 429]


async def test_the_clock_of_the_sandbox_moves_windows_too(open_place: Open) -> None:
    async with open_place(rate_limit_customer="1/minute") as place:
        assert await place.statuses(2, "balances.check", **USE) == [200, 429]
        await place.ask("clock.advance", by="61s")
        assert await place.statuses(2, "balances.check", **USE) == [200, 429]


async def test_a_key_is_limited_over_all_it_asks(open_place: Open) -> None:
    async with open_place(rate_limit_key="4/minute") as place:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("balances.check", USE),
            ("balances.track", USE | {"customer_id": "bob"}),
            ("customers.get", {"customer_id": "ada"}),
            ("plans.list", {}),
        ]
        for left, (name, body) in zip((3, 2, 1, 0), calls, strict=True):
            assert told(await place.ask(name, **body)) == ("4", str(left), "60")
        before = await place.dump()
        created: tuple[str, dict[str, Any]] = ("customers.get_or_create", {"customer_id": "new"})
        for name, body in (*calls, created):
            refused = await place.ask(name, **body)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit_exceeded")
            assert "this API key may make 4 calls a minute" in refused.json()["message"]
        assert await place.dump() == before
        assert (await place.ask("balances.check", OTHER, **USE)).status_code == 200
        assert (await place.ask("balances.check", PUBLIC, **USE)).status_code == 200


async def test_the_tokens_of_a_customer_count_together_and_not_with_the_key(
    open_place: Open,
) -> None:
    async with open_place(rate_limit_key="3/minute") as place:
        minted = [(await place.ask("keys.mint", customer_id="ada")).json() for _ in range(2)]
        one, two = (each["access_token"] for each in minted)
        assert await place.statuses(2, "balances.check", key=one, **USE) == [200, 200]
        assert await place.statuses(2, "balances.check", key=two, **USE) == [200, 429]
        assert await place.statuses(2, "balances.check", **USE) == [200, 429]


async def test_a_publishable_key_has_a_limit_a_page_may_read(open_place: Open) -> None:
    async with open_place(rate_limit_publishable_key="2/minute") as place:
        assert told(await place.ask("balances.check", PUBLIC, **USE)) == ("2", "1", "60")
        assert (await place.ask("customers.get", PUBLIC, customer_id="ada")).status_code == 200
        refused = await place.ask("plans.list", PUBLIC)
        assert refused.status_code == 429
        assert refused.headers["access-control-allow-origin"] == "*"
        assert "ratelimit-remaining" in refused.headers["access-control-expose-headers"]
        secret = await place.ask("balances.check", **USE)
        assert (secret.status_code, told(secret)) == (200, (None, None, None))


async def test_of_two_limits_the_closer_one_is_told(open_place: Open) -> None:
    async with open_place(rate_limit_key="3/minute", rate_limit_customer="2/second") as place:
        ada = customer_keys("sandbox", "ada", place.runtime.settings.partitions)
        # A second that has begun, which the server never forgets.
        await place.runtime.redis.set(calls_key(ada.customer), f"{place.clock.ms + 1_000} 0")
        assert told(await place.ask("balances.check", **USE)) == ("2", "1", "1")
        assert told(await place.ask("balances.check", **USE)) == ("2", "0", "1")
        assert (await place.ask("balances.check", **USE)).status_code == 429
        other = await place.ask("balances.check", **USE | {"customer_id": "bob"})
        assert (other.status_code, told(other)) == (200, ("3", "0", "60"))
        refused = await place.ask("balances.check", **USE)
        assert told(refused) == ("3", "0", "60")


async def test_a_refused_call_keeps_its_idempotency_key(open_place: Open) -> None:
    async with open_place(rate_limit_key="1/minute") as place:
        for name, body in (
            ("balances.track", USE | {"value": 7}),
            ("customers.get_or_create", {"customer_id": "new"}),
            ("balances.create", USE | {"included_grant": 5}),
        ):
            place.clock.ms += 60_000
            key: Any = {"idempotency-key": f"once {name}"}
            assert (await place.ask("plans.list")).status_code == 200
            assert (await place.ask(name, headers=key, **body)).status_code == 429
            place.clock.ms += 60_000
            first = await place.ask(name, headers=key, **body)
            assert first.status_code == 200, first.text
            assert "idempotency-replayed" not in first.headers
            assert (await place.ask(name, headers=key, **body)).status_code == 429
            place.clock.ms += 60_000
            again = await place.ask(name, headers=key, **body)
            assert again.headers["idempotency-replayed"] == "true"
            assert again.content == first.content


async def test_a_refused_first_use_does_not_use_a_feature(open_place: Open) -> None:
    async with open_place(rate_limit_customer="1/minute") as place:
        assert (await place.ask("balances.check", **USE)).status_code == 200
        fresh = USE | {"feature_id": "fresh"}
        for name, more in (("balances.track", {}), ("balances.check", {"send_event": True})):
            assert (await place.ask(name, **fresh | more)).status_code == 429
        await place.runtime.catalog.refresh()
        assert not (await place.runtime.catalog.feature("sandbox", "fresh")).in_use
        place.clock.ms += 60_000
        answer = await place.ask("balances.track", **fresh)
        assert (answer.status_code, told(answer)) == (200, ("1", "0", "60"))


async def test_a_customer_that_is_brought_first_is_counted_once(open_place: Open) -> None:
    async with open_place(rate_limit_key="1/minute", rate_limit_customer="1/minute") as place:
        created: dict[str, Any] = {"customer_id": "zoe", "customer_data": {"name": "Zoe"}}
        for name in ("balances.check", "balances.track"):
            for more in ({}, {"customer_data": {"name": "Zoe"}}):
                place.clock.ms += 60_000
                answer = await place.ask(name, **USE | {"customer_id": "zoe"} | more)
                assert answer.status_code == (200 if more or name == "balances.track" else 404)
                assert told(answer)[1] == "0"
                assert (await place.ask(name, **USE | created)).status_code == 429


async def test_each_track_of_a_batch_counts_for_its_customer(open_place: Open) -> None:
    async with open_place(rate_limit_customer="2/minute", rate_limit_key="2/minute") as place:
        before = await used(place)
        tracks = [USE, USE, USE | {"customer_id": "bob"}, USE]
        answer = await place.client.post(
            "/balances.batch_track", json=tracks, headers={"authorization": f"Bearer {KEY}"}
        )
        assert answer.status_code == 202
        assert told(answer) == ("2", "0", "60")
        (failed,) = answer.json()["failed"]
        assert (failed["index"], failed["code"]) == (3, "rate_limit_exceeded")
        place.clock.ms += 60_000
        assert await used(place) == before + 2


async def test_what_is_refused_before_redis_is_asked_is_not_counted(open_place: Open) -> None:
    async with open_place(rate_limit_key="1/minute", rate_limit_customer="1/minute") as place:
        for key, body, status in (
            (KEY, USE | {"value": "much"}, 400),
            (KEY, USE | {"feature_id": "none"}, 404),
            ("am_sk_test_nobody", USE, 401),
            (PUBLIC, USE, 401),
        ):
            answer = await place.ask("balances.track", key, **body)
            assert (answer.status_code, told(answer)[0]) == (status, None)
        assert (await place.ask("balances.track", **USE)).status_code == 200


async def test_calls_at_once_in_two_processes_share_a_limit(open_place: Open) -> None:
    limits: dict[str, Any] = {"rate_limit_key": "30/minute", "rate_limit_customer": "20/minute"}
    async with open_place(**limits) as one, open_place(is_first=False, **limits) as two:
        before = metrics.refused.labels("customer_rate")._value.get()  # noqa: SLF001 - as tests of metrics do
        asked = [
            place.ask(name, **USE | more)
            for place in (one, two)
            for name, more in (
                ("balances.check", {}),
                ("balances.track", {}),
                ("balances.track", LONGER),
            )
            for _ in range(10)
        ]
        answers = await asyncio.gather(*asked)
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (20, 40)
        left = sorted(int(told(answer)[1] or 0) for answer in answers if answer.is_success)
        assert left == list(range(20))
        assert metrics.refused.labels("customer_rate")._value.get() == before + 40  # noqa: SLF001 - as above
        assert await two.statuses(11, "plans.list") == [200] * 10 + [429]
