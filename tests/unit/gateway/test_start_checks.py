"""A start waits for a Redis that reads its file, and is refused in one line by whatever fails."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway import start_checks
from gateway.cluster.client import Cluster
from gateway.config import Settings
from gateway.errors import StartError
from gateway.start_checks import (
    SKEW_MS_MAX,
    check_alone,
    check_redis,
    tell_of_redis,
    warnings_of,
)

FACTS = {
    "redis_version": "8.0.0",
    "run_id": "a",
    "role": "master",
    "maxmemory_policy": "noeviction",
}


class Pool(NamedTuple):
    connection_kwargs: dict[str, object]


class Starting:
    """Tells of itself at once; reads end as told, the last one for good."""

    connection_pool = Pool({"path": "redis.sock"})

    def __init__(self, *ends: RedisError | bytes) -> None:
        self.ends = list(ends)

    async def info(self, *_: str) -> dict[str, Any]:
        return FACTS

    async def hget(self, *_: str) -> bytes:
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, RedisError):
            raise end
        return end


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_checks, "LOADING_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(start_checks, "LOADING_SECONDS_MAX", 0.01)
    monkeypatch.setattr(start_checks, "ALONE_LOOK_SECONDS", 0.001)


async def check(starting: Starting) -> None:
    await check_redis(cast("Redis", starting), Settings(partitions=64))


async def test_a_redis_that_reads_its_file_is_waited_for() -> None:
    starting = Starting(BusyLoadingError(), BusyLoadingError(), b"64")
    await check(starting)
    assert starting.ends == [b"64"]


@pytest.mark.parametrize("fault", [BusyLoadingError("is loading"), RedisConnectionError("is gone")])
async def test_a_redis_that_does_not_come_is_refused_in_one_line(fault: RedisError) -> None:
    with pytest.raises(StartError, match=f"^Redis cannot be reached at redis.sock: {fault}$"):
        await check(Starting(fault))


async def test_another_number_of_partitions_is_refused() -> None:
    with pytest.raises(StartError, match="set TALLYGATE_PARTITIONS=8"):
        await check(Starting(b"8"))


NOW_MS = 1_700_000_000_000


def told(ahead_ms: int, aof_enabled: int) -> list[str]:
    seen = {"server_time_usec": (NOW_MS + ahead_ms) * 1000, "aof_enabled": aof_enabled}
    return list(warnings_of(seen, NOW_MS))


def test_a_redis_with_a_file_and_the_same_clock_is_not_worth_a_word() -> None:
    assert told(SKEW_MS_MAX, 1) == told(-SKEW_MS_MAX, 1) == list(warnings_of({}, NOW_MS)) == []


def test_a_redis_that_keeps_no_file_is_told_of() -> None:
    (warning,) = told(0, 0)
    assert warning.startswith("Redis keeps no append-only file")


@pytest.mark.parametrize(
    ("ahead_ms", "words"), [(7_200_000, "7200 seconds ahead of"), (-6_500, "6 seconds behind")]
)
def test_clocks_that_are_apart_are_told_of(ahead_ms: int, words: str) -> None:
    (warning,) = told(ahead_ms, 1)
    assert warning.startswith(f"the clock of Redis is {words} this machine's")


async def test_each_fault_that_forbids_nothing_is_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FACTS, "aof_enabled", "0")
    await tell_of_redis(cast("Redis", Starting(b"64")))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def answered(reply: object, *_: str) -> object:
    return reply


async def test_the_clock_of_each_server_of_a_cluster_is_looked_at(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = object.__new__(Cluster)
    # One server is not there, and the clock of another is wrong.
    replies = {"info": {"aof_enabled": "0"}, "serving": [None, {"server_time_usec": "1000000"}]}
    for name, reply in replies.items():
        monkeypatch.setattr(cluster, name, partial(answered, reply), raising=False)
    await tell_of_redis(cluster)
    no_file, wrong_clock = [record.message for record in caplog.records]
    assert no_file.startswith("Redis keeps no append-only file")
    assert wrong_clock.startswith("the clock of Redis is ")


class Serving:
    """Tells who is connected to it: each time the next of the lists, the last one for good."""

    connection_pool = Pool({"path": "redis.sock"})

    def __init__(self, *looks: list[dict[str, str]] | RedisError) -> None:
        self.looks = list(looks)

    async def client_list(self, **_: str) -> list[dict[str, str]]:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, RedisError):
            raise look
        return look


async def alone(*looks: list[dict[str, str]] | RedisError) -> None:
    await check_alone(cast("Redis", Serving(*looks)), "mine")


MINE = {"addr": "a:1", "name": "mine", "lib-name": "redis-py"}
GATEWAY = {"addr": "a:2", "name": "", "lib-name": "redis-py"}


async def test_who_says_that_it_is_no_gateway_may_be_connected() -> None:
    exporter = {"addr": "a:3", "name": "exporter", "lib-name": ""}
    sentinel = {"addr": "a:4", "name": "sentinel-1-cmd"}
    go = {"addr": "a:5", "name": "", "lib-name": "go-redis"}
    await alone([MINE, exporter, sentinel, go])


@pytest.mark.parametrize(
    "other",
    [
        GATEWAY,
        GATEWAY | {"name": "named in its URL"},
        {"addr": "a:2", "name": "", "lib-name": ""},
        {"addr": "a:2", "name": ""},  # of a server that knows no libraries
    ],
)
async def test_nobody_may_be_connected_who_may_be_a_gateway(other: dict[str, str]) -> None:
    with pytest.raises(StartError, match="in use from a:2: stop every gateway and writer"):
        await alone([MINE, other])


async def test_a_connection_that_is_about_to_end_is_waited_for() -> None:
    await alone([MINE, GATEWAY], [MINE, GATEWAY], [MINE])


async def test_without_the_right_to_ask_nobody_is_alone() -> None:
    with pytest.raises(StartError, match=r"ACL SETUSER default \+client\|list"):
        await alone(NoPermissionError("no"))
    with pytest.raises(StartError, match=r"cannot be reached at redis\.sock: gone"):
        await alone(RedisConnectionError("gone"))
