"""What a replica can serve: ``check`` only reads, so it may be asked there."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.errors import RedisUnavailableError
from gateway.scripts import Scripts, Status
from tests.fixtures.redis_processes import MakeRedis, replica_of
from tests.lua.world import HOUR_MS, KEYS, World, hourly, per_entity
from tests.ports import free_port


async def test_a_replica_answers_checks_and_refuses_what_changes(make_redis: MakeRedis) -> None:
    port = free_port()
    primary = make_redis(port=port)
    replica = replica_of(primary, make_redis, port)
    async with Redis.from_url(primary.url) as there, Redis.from_url(replica.url) as here:
        first, second = World(there, Scripts(there)), World(here, Scripts(here))
        await first.create(calls=[hourly("a", 10)], summaries=[per_entity("b", 10)])
        await first.seats("zoe")
        assert (await first.track("calls", 4)).status is Status.DONE
        assert (await first.track("summaries", 4, "zoe")).status is Status.DONE
        assert await there.wait(1, 60_000) == 1
        before = await here.hgetall(KEYS.customer)
        for feature, scope in (("calls", ""), ("summaries", "zoe"), ("summaries", "")):
            assert (await second.check(feature, 6, scope)).allowed
            assert not (await second.check(feature, 7, scope)).allowed
        second.now_ms += HOUR_MS  # a reset that is due is computed there
        assert (await second.check("calls", 10)).allowed
        with pytest.raises(RedisUnavailableError, match="read only replica"):
            await second.track("calls", 1)
        assert await here.hgetall(KEYS.customer) == before
