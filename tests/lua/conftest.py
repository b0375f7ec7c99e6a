"""The customer of the script tests, checked for leftovers when a test is done."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.scripts import Scripts
from tests.lua.world import World


@pytest.fixture
async def world(redis_client: Redis, redis_kind: str) -> AsyncIterator[World]:
    """A server without any key; the sums, marks and outbox of whatever a test did must agree."""
    scripts = Scripts(redis_client, read_only_commands=redis_kind != "fake")
    made = World(redis_client, scripts)
    yield made
    await made.check_ledger()
