"""Counting calls: ``admit``, and the functions that count before they do anything."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.errors import RateLimitError
from gateway.keys import Key, calls_key, key_calls_key
from gateway.scripts import Status
from gateway.scripts.rates import TICKET, Limit, Limits, Ticket
from tests.lua.world import KEYS, World, row

KEY_ID = "key_1"
SECOND, MINUTE = 1_000, 60_000
CUSTOMER = Limits(customer=Limit("customer", 2, SECOND))
KEY = Limits(key=Limit("key", 2, MINUTE))
one_server = pytest.mark.redis_kinds("fake", "embedded", "debian")
"""What a cluster cannot do: count a key and a customer in one step."""


@pytest.fixture
def counts(world: World) -> Counts:
    return Counts(world)


class Counts:
    """Calls under limits, at the time of the world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def ticket(self, limits: Limits) -> Ticket:
        ticket = Ticket(limits, KEY_ID, self.world.now_ms, public=False)
        TICKET.set(ticket)
        return ticket

    async def track(self, limits: Limits) -> tuple[int, int, bool]:
        """Track one unit; return what is left, when it is more, and whether it was refused."""
        ticket = self.ticket(limits)
        with suppress(RateLimitError):
            assert (await self.world.track("calls", 1)).status is Status.DONE
        return standing(ticket)

    async def check(self, limits: Limits) -> tuple[int, int, bool]:
        ticket = self.ticket(limits)
        with suppress(RateLimitError):
            assert (await self.world.check("calls", 1)).allowed
        return standing(ticket)

    async def admit(self, limits: Limits, customer: Key | None = None) -> tuple[int, int, bool]:
        ticket = self.ticket(limits)
        with suppress(RateLimitError):
            await self.world.scripts.admit(customer)
        return standing(ticket)


def standing(ticket: Ticket) -> tuple[int, int, bool]:
    assert ticket.standing is not None
    return ticket.standing[1:]


async def test_calls_beyond_the_limit_are_refused_until_the_window_ends(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    counts.world.now_ms += 300 - counts.world.now_ms % SECOND
    assert await counts.track(CUSTOMER) == (1, 700, False)
    assert await counts.check(CUSTOMER) == (0, 700, False)
    counts.world.now_ms += 699
    assert await counts.track(CUSTOMER) == (0, 1, True)
    counts.world.now_ms += 1
    assert await counts.track(CUSTOMER) == (1, 1_000, False)


async def test_a_refused_call_changes_nothing(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    for _ in range(2):
        await counts.track(CUSTOMER)
    await counts.world.entries()
    before = await counts.world.dump()
    for _ in range(3):
        assert (await counts.track(CUSTOMER))[2]
        assert (await counts.check(CUSTOMER))[2]
    assert await counts.world.dump() == before
    assert await counts.world.entries() == []


async def test_a_counter_is_one_short_text_that_expires(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    stop = counts.world.now_ms + SECOND
    for _ in range(2):
        await counts.track(CUSTOMER)
    key = calls_key(KEYS.customer)
    assert (await counts.world.dump())[key.encode()] == f"{stop} 2".encode()
    assert SECOND < await counts.world.client.pttl(key) <= 2 * SECOND


async def test_a_clock_that_is_behind_counts_in_the_window_that_has_begun(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    await counts.track(CUSTOMER)
    counts.world.now_ms -= 5
    assert await counts.track(CUSTOMER) == (0, SECOND, False)
    assert await counts.track(CUSTOMER) == (0, SECOND, True)


async def test_what_the_script_says_is_what_it_says_uncounted(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    uncounted = await counts.world.check("calls", 1)
    ticket = counts.ticket(CUSTOMER)
    assert await counts.world.check("calls", 1) == uncounted
    assert standing(ticket)[0] == 1


async def test_one_request_is_counted_once(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    ticket = counts.ticket(CUSTOMER)
    for _ in range(5):
        await counts.world.check("calls", 1)
    assert standing(ticket)[0] == 1


async def test_a_call_that_meets_an_obstacle_is_counted(counts: Counts) -> None:
    ticket = counts.ticket(CUSTOMER)
    assert (await counts.world.check("calls", 1)).status is Status.CUSTOMER_MISSING
    assert standing(ticket)[0] == 1


async def test_a_call_without_a_script_of_its_own_is_counted_by_one(counts: Counts) -> None:
    left = [await counts.admit(KEY) for _ in range(3)]
    assert [(one[0], one[2]) for one in left] == [(1, False), (0, False), (0, True)]
    assert set(await counts.world.dump()) == {key_calls_key(KEY_ID).encode()}
    await counts.admit(CUSTOMER, KEYS.customer)
    assert calls_key(KEYS.customer).encode() in await counts.world.dump()
    TICKET.set(None)
    await counts.world.scripts.admit()


@one_server
async def test_a_call_over_one_of_two_limits_counts_for_neither(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    both = Limits(key=Limit("key", 3, SECOND), customer=Limit("customer", 2, MINUTE))
    ends = [await counts.track(both) for _ in range(4)]
    assert [(left, refused) for left, _, refused in ends] == [
        (1, False),
        (0, False),
        (0, True),
        (0, True),
    ]
    assert await counts.admit(Limits(key=both.key)) == (0, SECOND, False)
    assert (await counts.admit(both, KEYS.customer))[2]


@one_server
async def test_a_read_counts_for_its_key_alone(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    both = Limits(key=KEY.key, customer=CUSTOMER.customer)
    uncounted = await counts.world.read()
    ticket = counts.ticket(both)
    assert await counts.world.read() == uncounted
    assert ticket.standing is not None
    assert ticket.standing.limit is KEY.key
    assert calls_key(KEYS.customer).encode() not in await counts.world.dump()


@pytest.mark.redis_kinds("embedded", "debian")
async def test_a_full_server_still_answers_a_check_and_counts_it(counts: Counts) -> None:
    await counts.world.create(calls=[row("a", 100)])
    client = counts.world.client
    await client.config_set("maxmemory", "1")
    try:
        assert [(await counts.check(CUSTOMER))[2] for _ in range(3)] == [False, False, True]
    finally:
        await client.config_set("maxmemory", "0")
