"""The connection to Redis is cut at random moments under load: each answer is the caller's own,
each call is answered, nothing is left behind.

``PIPE_CUTS=1000`` is the long run; without it, a few for the pipeline.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import redis

from gateway.app import Runtime, started
from gateway.config import Settings
from tests.fixtures.fronts import serving
from tests.fixtures.gateways import KEY, NO_TLS, Gateway, Json
from tests.integration.cutting import Caller, Cutter
from tests.waiting import until

CUTS = int(os.environ.get("PIPE_CUTS", "40"))
CALLERS = 24
HOT_TIMEOUT_MS = 2000
REDIS_TIMEOUT_MS = 5000
SECONDS_MAX = 60 + CUTS


@pytest.fixture
async def cutter(valkey: str) -> AsyncIterator[Cutter]:
    """What leads to an empty server."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "noeviction")
    made = Cutter(urlsplit(valkey).path, random.Random(7))
    await made.start()
    yield made
    await made.stop()


class Shop(NamedTuple):
    """Callers whose customers are there, and what ends their calls."""

    callers: list[Caller]
    cutter: Cutter

    async def run(self) -> Counter[str]:
        """Call while it is cut; return what came of the calls."""
        self.cutter.cut(CUTS)
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.gather(*(caller.run() for caller in self.callers))
        return sum((caller.seen for caller in self.callers), Counter())


async def open_shop(url: str, cutter: Cutter) -> Shop:
    port = int(url.rpartition(":")[2])
    callers = [Caller(f"c{at}", KEY, port, random.Random(at), cutter.over) for at in range(CALLERS)]
    async with client_of(url) as client:
        named = {"feature_id": "calls", "name": "Calls", "type": "metered", "consumable": True}
        await answered(client, "features.create", "named", **named)
        for caller in callers:
            whose = {"customer_id": caller.customer}
            grant = whose | {"feature_id": "calls", "included_grant": caller.grant}
            await answered(client, "customers.get_or_create", f"made {caller.customer}", **whose)
            await answered(client, "balances.create", f"given {caller.customer}", **grant)
    return Shop(callers, cutter)


async def answered(client: httpx.AsyncClient, name: str, key: str = "", /, **body: object) -> Json:
    """Send a call until Redis answers it, which may stand still for longer than a call waits."""
    answers: list[httpx.Response] = []
    headers = {"idempotency-key": key} if key else {}

    async def is_answered() -> bool:
        answers.append(await client.post(f"/{name}", json=body, headers=headers))
        is_there = answers[-1].status_code != 503
        return is_there and "x-tallygate-degraded" not in answers[-1].headers

    await until(is_answered)
    assert answers[-1].is_success, answers[-1].text
    return answers[-1].json()


def client_of(url: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=f"{url}/v1", headers=headers, timeout=30, verify=NO_TLS)


async def used_now(client: httpx.AsyncClient, caller: Caller) -> int:
    body = {"customer_id": caller.customer, "feature_id": "calls"}
    return int((await answered(client, "balances.check", **body))["balance"]["usage"])


async def agrees(url: str, shop: Shop) -> None:
    """Compare what was acknowledged with what Redis has, to the unit."""
    assert [fault for caller in shop.callers for fault in caller.faults] == []
    assert shop.cutter.made == CUTS
    async with client_of(url) as client:
        used_by = [await used_now(client, caller) for caller in shop.callers]
    for caller, used in zip(shop.callers, used_by, strict=True):
        assert caller.explains(used), f"{used} used, {caller.used} and some of {caller.afloat} sent"


def show(seen: Counter[str], shop: Shop) -> None:
    """Let the profile's figures be seen with ``-s`` or in the report of a failure."""
    slowest = max(caller.slowest for caller in shop.callers)
    line = f"{CUTS} cuts, slowest answer {slowest:.2f} s, {dict(seen)}\n"
    os.write(1, line.encode())


@pytest.mark.parametrize("tier", ["lane", "asgi"])
async def test_no_answer_is_lost_or_anothers_and_no_task_is_left(
    tier: str, cutter: Cutter, migrated_sqlite: str
) -> None:
    settings = Settings(
        redis_url=f"redis://127.0.0.1:{cutter.port}",
        database_url=migrated_sqlite,
        partitions=4,
        writer=False,
        hot_timeout_ms=HOT_TIMEOUT_MS,
        redis_timeout_ms=REDIS_TIMEOUT_MS,
    )
    async with started(Runtime(settings)) as runtime:
        await runtime.store.create_key("sandbox", "test", KEY)
        await runtime.catalog.refresh()
        async with serving(runtime, tier) as url:
            shop = await open_shop(url, cutter)
            tasks, sockets = len(asyncio.all_tasks()), len(cutter.open)
            seen = await shop.run()
            show(seen, shop)
            await until(lambda: runtime.pipe.in_flight == 0)
            await until(lambda: not runtime.breaker.is_open)
            await agrees(url, shop)
            assert seen["tracked"] > CUTS
            assert seen["outcome_unknown"] > 0
            assert seen["replayed"] > 0
            gc.collect()
            # Beside the shared connection the pool keeps those that were needed at a time.
            at_most = sockets + 2 * settings.redis_connections_max
            await until(lambda: len(cutter.open) <= at_most)

            def is_as_before() -> bool:
                more = len(cutter.open) - sockets  # each connection is two, carried by three tasks
                return len(asyncio.all_tasks()) <= tasks + 3 * more // 2

            await until(is_as_before)


async def test_a_gateway_process_keeps_no_socket_of_what_was_cut(
    cutter: Cutter, migrated_sqlite: str, tmp_path: Path
) -> None:
    gateway = Gateway(
        tmp_path / "data",
        "--redis-url",
        f"redis://127.0.0.1:{cutter.port}",
        "--database-url",
        migrated_sqlite,
        "--no-writer",
        environment={
            "TALLYGATE_HOT_TIMEOUT_MS": str(HOT_TIMEOUT_MS),
            "TALLYGATE_REDIS_TIMEOUT_MS": str(REDIS_TIMEOUT_MS),
        },
    )
    await asyncio.to_thread(gateway.start)
    try:
        shop = await open_shop(gateway.url, cutter)
        process = psutil.Process(gateway.pid)
        idle = process.num_fds()
        show(await shop.run(), shop)
        await until(lambda: process.num_fds() <= idle + CALLERS)
        await agrees(gateway.url, shop)
        # One for each cut would be left, if one were left at all.
        await until(lambda: process.num_fds() <= idle + 8)
        log = (gateway.folder / "stdout.log").read_text()
        assert "Traceback" not in log, log
    finally:
        await asyncio.to_thread(gateway.stop)
