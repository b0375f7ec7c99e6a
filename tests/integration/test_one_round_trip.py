"""A check and a track are one command to Redis each, whatever they have to do, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.client import Monitor

from gateway.app import Runtime, started
from gateway.config import Settings
from tests.fixtures.app import KEY
from tests.fixtures.fronts import serving
from tests.waiting import PATIENT

USE = {"customer_id": "ada", "feature_id": "calls"}
SEAT = USE | {"entity_id": "desk"}
EVENT = {"customer_id": "ada", "event_name": "used"}
LIMITS = [{"feature_id": "calls", "limit": 1000, "interval": "day"}]
RATES = {"rate_limit_key": "9999999/minute", "rate_limit_customer": "9999999/minute"}


async def call(client: httpx.AsyncClient, operation: str, /, **body: Any) -> None:  # noqa: ANN401 - JSON
    answer = await client.post(f"/{operation}", json=body)
    assert answer.is_success, answer.text


class Till(NamedTuple):
    """HTTP on every real part, with nothing beside it that asks Redis."""

    client: httpx.AsyncClient
    watcher: Redis
    monitor: Monitor
    reading: str
    """The command a check is."""

    async def commands_of(
        self, name: str, *bodies: dict[str, Any], **headers: str
    ) -> tuple[list[httpx.Response], list[str]]:
        """Send calls at once; return the answers, and what came to Redis meanwhile."""
        before, _ = await self._look()
        asked = (self.client.post(f"/{name}", json=body, headers=headers) for body in bodies)
        answers = await asyncio.gather(*asked)
        after, commands = await self._look()
        # Both ways to count agree: what the server says it ran, and what came over connections.
        assert after - before == sum(command.startswith("FCALL") for command in commands)
        return answers, commands

    async def _look(self) -> tuple[int, list[str]]:
        """Return how many functions ran so far, and the commands that came since the last look."""
        stats = await self.watcher.info("commandstats")
        ran = (stats.get(f"cmdstat_{name}", {"calls": 0}) for name in ("fcall", "fcall_ro"))
        commands: list[str] = []
        while True:
            seen = await self.monitor.next_command()
            if seen["command"] == "INFO commandstats":
                return sum(int(one["calls"]) for one in ran), commands
            if seen["client_type"] != "lua":
                commands.append(seen["command"].split(" ")[0])


@pytest.fixture(params=[("lane", {}), ("asgi", {}), ("lane", RATES)], ids=["lane", "asgi", "rates"])
async def till(
    request: pytest.FixtureRequest, valkey: str, migrated_sqlite: str
) -> AsyncIterator[Till]:
    with redis.Redis.from_url(valkey) as empty:
        empty.flushall()
        empty.config_set("maxmemory-policy", "noeviction")
    tier, rates = request.param
    settings = Settings(
        redis_url=valkey,
        database_url=migrated_sqlite,
        partitions=4,
        writer=False,
        **PATIENT | rates | {"restore_wait_ms": 100},  # nobody carries what would be waited for
    )
    async with started(Runtime(settings)) as runtime, Redis.from_url(valkey) as watcher:
        await runtime.store.create_key("sandbox", "test", KEY)
        await runtime.catalog.refresh()
        headers = {"authorization": f"Bearer {KEY}"}
        async with (
            serving(runtime, tier) as url,
            httpx.AsyncClient(base_url=f"{url}/v1", headers=headers, timeout=60) as client,
        ):
            await define(client)
            # That a feature is in use is learned once, and within half a second in any case.
            await runtime.catalog.refresh()
            for sweeper in runtime.sweepers:
                await sweeper.stop()
            await runtime.engine.denials.stop()
            await runtime.guard.stop()
            async with watcher.monitor() as monitor:
                yield Till(client, watcher, monitor, "FCALL" if rates else "FCALL_RO")


async def define(client: httpx.AsyncClient) -> None:
    metered = {"type": "metered", "consumable": True}
    await call(client, "features.create", feature_id="calls", name="Calls", **metered)
    for name in ("mails", "texts"):
        await call(
            client, "features.create", feature_id=name, name=name, event_names=["used"], **metered
        )
    seats = {"feature_id": "seats", "name": "Seats", "type": "metered", "consumable": False}
    await call(client, "features.create", **seats)
    daily = {"feature_id": "calls", "included": 100_000, "reset": {"interval": "day"}}
    await call(client, "plans.create", plan_id="daily", name="Daily", items=[daily])
    await call(client, "customers.get_or_create", customer_id="ada")
    await call(client, "billing.attach", customer_id="ada", plan_id="daily")
    await call(client, "entities.create", customer_id="ada", entity_id="desk", feature_id="seats")
    for name in ("mails", "texts"):
        grant = {"customer_id": "ada", "feature_id": name, "included_grant": 1000}
        await call(client, "balances.create", **grant)
    # The first use of a feature is also when its precision is settled.
    await call(client, "balances.track", **USE)
    await call(client, "balances.track", **EVENT)


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "check": ("balances.check", USE),
    "check of an entity": ("balances.check", SEAT),
    "check that explains": ("balances.check", USE | {"explain": True}),
    "check that is denied": ("balances.check", USE | {"required_balance": 10**6}),
    "check that uses": ("balances.check", USE | {"send_event": True}),
    "check that holds": ("balances.check", USE | {"lock": {"lock_id": "l1", "enabled": True}}),
    "track": ("balances.track", USE | {"value": 3}),
    "track of an entity": ("balances.track", SEAT | {"properties": {"a": 1}}),
    "track of an event": ("balances.track", EVENT),
    "track back": ("balances.track", USE | {"value": -1}),
    "track that is refused": (
        "balances.track",
        USE | {"value": 10**6, "overage_behavior": "reject"},
    ),
    "track that holds": ("balances.track", USE | {"lock": {"lock_id": "l2"}}),
    "track that is dry": ("balances.track", USE | {"dry_run": True}),
}


async def test_a_call_is_one_command(till: Till) -> None:
    for what, (name, body) in CALLS.items():
        (answer,), commands = await till.commands_of(name, body)
        assert answer.status_code in {200, 400, 402, 409}, (what, answer.text)
        assert len(commands) == 1, (what, commands)


async def test_an_idempotency_key_costs_no_command(till: Till) -> None:
    more: tuple[tuple[str, dict[str, Any]], ...] = (
        ("balances.track", {}),
        ("balances.check", {"send_event": True}),
        ("balances.track", {"lock": {"lock_id": "keyed"}}),
    )
    for number, (name, body) in enumerate(more):
        for is_again in (False, True):
            key = {"idempotency-key": f"key{number}"}
            (answer,), commands = await till.commands_of(name, USE | body, **key)
            assert answer.status_code == 200, answer.text
            assert ("idempotency-replayed" in answer.headers) is is_again
            assert commands == ["FCALL"]


async def test_a_window_and_a_due_reset_cost_no_command(till: Till) -> None:
    limited = {"customer_id": "ada", "billing_controls": {"usage_limits": LIMITS}}
    await call(till.client, "customers.update", **limited)
    for days in range(3):
        if days:
            await call(till.client, "clock.advance", by="25h")
        (checked,), reading = await till.commands_of("balances.check", USE)
        (tracked,), writing = await till.commands_of("balances.track", USE)
        assert (reading, writing) == ([till.reading], ["FCALL"]), days
        used = [answer.json()["balance"]["usage"] for answer in (checked, tracked)]
        assert used == ([0, 1] if days else [1, 2])


async def test_calls_of_one_moment_are_one_command_each(till: Till) -> None:
    answers, commands = await till.commands_of("balances.track", *[USE] * 40)
    assert {answer.status_code for answer in answers} == {200}
    assert commands == ["FCALL"] * 40
