"""Who is asked for the master, in which order, and what a URL says of them."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.sentinels import Address, Sentinels, read_url

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


@pytest.mark.parametrize(
    ("url", "plain", "sentinels"),
    [
        ("redis+sentinel://a/tally", "redis://", "tally of the Sentinels a:26379"),
        (
            "redis+sentinel://u:p%40@b:1,a:2/my.master-1/3?sentinel_password=x&protocol=3",
            "redis://u:p%40@/3?sentinel_password=x&protocol=3",
            "my.master-1 of the Sentinels a:2, b:1",
        ),
        (
            "rediss+sentinel://:p,@[::1]:7,10.0.0.1,a,a/tally/",
            "rediss://:p,@/",
            "tally of the Sentinels 10.0.0.1:26379, ::1:7, a:26379",
        ),
    ],
)
def test_a_url_says_whom_to_ask_for_what(url: str, plain: str, sentinels: str) -> None:
    read, named = read_url(url)
    assert (read, str(named)) == (plain, sentinels)
    assert read_url(url)[1] is named


@pytest.mark.parametrize("url", ["redis://a:1/2", "rediss://a+sentinel://b", "unix:///s?db=1"])
def test_a_url_of_one_server_is_left_as_it_is(url: str) -> None:
    assert read_url(url) == (url, None)


@pytest.mark.parametrize(
    "rest",
    [
        "a:26379",
        "a/",
        "a/?db=1",
        "/tally",
        "a,,b/tally",
        "a:0/tally",
        "a:65536/tally",
        "a:x/tally",
        "a:1:2/tally",
        "[::1/tally",
        "a/tally/x",
        "a/tally/1/2",
        "a/ta lly",
        "u:p/w@a:1/tally",
        "u:1/w@a:1",
    ],
)
def test_a_url_that_says_it_otherwise_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match="of"):
        read_url(f"redis+sentinel://{rest}")
