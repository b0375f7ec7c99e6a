"""The customer of the script tests, checked for leftovers when a test is done."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.scripts import Scripts
from tests.lua.world import World


@pytest.fixture
async def world(redis_client: Redis) -> AsyncIterator[World]:
    """A server without any key; the sums, marks and outbox of whatever a test did must agree."""
    made = World(redis_client, Scripts(redis_client))
    yield made
    await made.check_ledger()
