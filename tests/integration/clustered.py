"""A client of a whole Redis Cluster, and something in each partition."""

from __future__ import annotations

from gateway.clients import make_redis as make_client
from gateway.cluster.client import Cluster
from gateway.config import Settings
from gateway.keys import seal_key
from tests.fixtures.sharded import ClusterProcesses

PARTITIONS = 64
EVERY = range(PARTITIONS)


def connect(cluster: ClusterProcesses, timeout_seconds: float = 10) -> Cluster:
    settings = Settings(redis_url=cluster.url, partitions=PARTITIONS)
    client = make_client(settings, timeout_seconds=timeout_seconds)
    assert isinstance(client, Cluster)
    return client


async def fill(client: Cluster) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for at in EVERY:
            pipe.execute_command("SET", seal_key(at), at)
        assert await pipe.execute() == [True] * PARTITIONS
