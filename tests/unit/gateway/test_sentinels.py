"""Who is asked for the master, and in which order."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.redis_urls import Address
from gateway.sentinels import Sentinels, sentinels_of

A, B, C = (Address(name, 1) for name in "abc")
MASTER = Address("m", 6379)
Says = Address | Exception | None


class Told(Sentinels):
    """Sentinels that say what they are told to; an event is waited for."""

    def __init__(self, **says: Says | asyncio.Event) -> None:
        super().__init__("tally", [A, B, C][: len(says)])
        self.says = says
        self.asked: list[str] = []

    async def _ask(self, sentinel: Address, seconds: float) -> Address | None:
        self.asked.append(sentinel.host)
        said = self.says[sentinel.host]
        if isinstance(said, asyncio.Event):
            await said.wait()
            return None
        if isinstance(said, Exception):
            raise said
        return said

    async def order(self, seconds: float = 1) -> str:
        """Return who was asked until the master was known."""
        self.asked.clear()
        assert await self.master(seconds) == MASTER
        return "".join(self.asked)


async def test_the_first_that_knows_the_master_is_asked_first_from_then_on() -> None:
    told = Told(a=RedisConnectionError("gone"), b=None, c=MASTER)
    assert [await told.order(), await told.order()] == ["abc", "c"]
    told.says |= {"a": MASTER, "c": AuthenticationError("WRONGPASS")}
    assert [await told.order(), await told.order()] == ["ca", "a"]


async def test_one_that_is_silent_takes_its_share_of_the_time() -> None:
    told = Told(a=asyncio.Event(), b=MASTER)
    assert [await told.order(0.03), await told.order()] == ["ab", "b"]


async def test_one_that_was_silent_until_the_caller_gave_up_is_asked_last() -> None:
    told = Told(a=asyncio.Event(), b=MASTER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await told.master(60)
    assert await told.order() == "b"


async def test_who_doubts_an_answer_has_another_one_asked() -> None:
    told = Told(a=MASTER, b=MASTER, c=RedisConnectionError("gone"))
    asked = []
    for _ in range(3):
        asked.append(await told.order())
        told.ask_another()
    assert asked == ["a", "b", "a"]
    alone = Told(a=MASTER)
    alone.ask_another()
    assert await alone.order() == "a"


async def test_two_questions_at_the_same_time_lose_nobody() -> None:
    told = Told(a=RedisConnectionError("gone"), b=MASTER, c=RedisConnectionError("gone"))
    await asyncio.gather(*(told.master(1) for _ in range(5)))
    assert str(told) == "tally of the Sentinels a:1, b:1, c:1"


async def test_when_nobody_names_a_master_each_is_told_of() -> None:
    told = Told(a=RedisConnectionError("gone"), b=None, c=asyncio.Event())
    with pytest.raises(RedisConnectionError) as raised:
        await told.master(0.04)
    assert str(raised.value) == (
        "Error connecting to Redis: no Sentinel names a master "
        "(a:1: gone; b:1: knows no tally; c:1: no answer in time)"
    )


def test_all_clients_of_a_process_ask_the_same_sentinels() -> None:
    one, other = (sentinels_of("tally", (A, B)) for _ in range(2))
    assert one is other
    assert str(one) == "tally of the Sentinels a:1, b:1"
