"""A start waits for a Redis that reads its file, and is refused in one line by whatever fails."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway import start_checks
from gateway.config import Settings
from gateway.errors import StartError
from gateway.start_checks import SKEW_MS_MAX, check_redis, tell_of_redis, warnings_of

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
