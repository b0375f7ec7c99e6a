"""The load: what it asks, what it counts, and from when it counts time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec
import pytest

from bench import load
from bench.load import NO_ANSWER, NUMBER, QUANTILES, Plan, Tally, put_on, run

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"usage":3}'
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}{}\r\n0\r\n\r\n"
ASKED = b"GET / HTTP/1.1\r\n\r\n"


class Server(asyncio.Protocol):
    """Answers each piece it reads; None hangs up, a number is how long ``GOOD`` takes."""

    def __init__(self, seen: list[bytes], answer: Callable[[int], bytes | float | None]) -> None:
        self._seen = seen
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen.append(data)
        answer = self._answer(len(self._seen))
        if answer is None:
            self._transport.close()
        elif isinstance(answer, float):
            asyncio.get_running_loop().call_later(answer, self._transport.write, GOOD)
        else:
            self._transport.write(answer)


@contextlib.asynccontextmanager
async def serving(
    seen: list[bytes], answer: Callable[[int], bytes | float | None]
) -> AsyncIterator[Plan]:
    server = await asyncio.get_running_loop().create_server(
        partial(Server, seen, answer), "127.0.0.1", 0
    )
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield Plan(
            address=(host, port),
            sequences=[[ASKED]],
            connections=2,
            seconds=0.2,
            warm_up_seconds=0,
        )


async def loaded(
    answer: Callable[[int], bytes | float | None], seen: list[bytes] | None = None, **fields: object
) -> Tally:
    async with serving([] if seen is None else seen, answer) as plan:
        return await run(msgspec.structs.replace(plan, **fields))


async def loaded_until(
    count: int,
    answer: Callable[[int], bytes | float | None],
    seen: list[bytes] | None = None,
    **fields: object,
) -> Tally:
    """Load until so many were asked: of a time, a machine may stand still for all."""

    def last(number: int) -> bytes | float | None:
        if number == count:
            signal.raise_signal(signal.SIGTERM)
        return answer(number)

    return await loaded(last, seen, seconds=600.0, **fields)


async def test_closed_loop_asks_again_as_soon_as_it_is_answered() -> None:
    seen: list[bytes] = []
    tally = await loaded_until(20, lambda _: GOOD, seen)
    assert tally.statuses == {200: len(seen)}
    assert 0 < tally.answers <= len(seen)
    assert tally.failures == 0
    assert tally.usage_sum == 3 * len(seen)


async def test_open_loop_asks_at_its_rate() -> None:
    seen: list[bytes] = []
    tally = await loaded(lambda _: GOOD, seen, rate=200.0, seconds=0.5)
    assert len(seen) == tally.answers == 100
    assert tally.rate == 200.0


async def test_open_loop_times_a_request_from_when_it_was_due() -> None:
    """One pause of 0.2 s at 100 a second holds up twenty requests, not one."""
    tally = await loaded(
        lambda count: 0.2 if count == 5 else GOOD, connections=1, rate=100.0, seconds=0.5
    )
    assert tally.answers == 50
    late = [latency for latency in tally.latency_us if latency > 50_000]
    assert len(late) > len(QUANTILES) * 0.2
    assert tally.quantile_us(1.0) >= 200_000


async def test_what_it_could_not_keep_up_with_took_longer_and_was_not_reached() -> None:
    """60 requests were due in 0.3 s, of a server that answers 50 a second."""
    tally = await loaded(lambda _: 0.02, connections=1, rate=200.0, seconds=0.3)
    assert tally.statuses == {200: 60}
    assert tally.rate == pytest.approx(200)
    assert tally.lasted > 1.1
    assert tally.reached < 55


async def test_any_rate_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is counted, not kept: a hundred million of them would fill the memory."""
    monkeypatch.setattr(load, "GRACE_SECONDS", 3.0)  # longer than the machine may stand still
    tally = await loaded(lambda _: 0.1, connections=1, rate=1e9, seconds=0.1)
    assert sum(tally.statuses.values()) == 10**8
    assert 0 < tally.statuses[200] < 50


async def test_a_connection_without_a_request_has_not_failed() -> None:
    seen: list[bytes] = []
    tally = await loaded(lambda _: GOOD, seen, rate=0.1, connections=5)
    assert len(seen) == 1
    assert tally.statuses == {200: 1}
    assert tally.quantile_us(1.0) < 1_000_000


async def test_what_was_due_of_a_server_that_is_not_there_failed_once() -> None:
    async with serving([], lambda _: GOOD) as plan:
        pass
    tally = await run(msgspec.structs.replace(plan, rate=100.0))
    assert tally.statuses == {NO_ANSWER: 20}


@pytest.mark.parametrize("rate", [0.0, 500.0])
async def test_a_load_that_is_ended_tells_of_the_time_until_then(rate: float) -> None:
    tally = await loaded_until(50, lambda _: GOOD, rate=rate)
    assert tally.seconds < 300
    assert tally.failures == 0
    assert 48 <= tally.answers <= tally.statuses[200]


async def test_a_load_is_ended_in_its_process_however_early() -> None:
    ended = asyncio.Event()
    ended.set()
    async with serving([], lambda _: GOOD) as plan:
        tally = await put_on(msgspec.structs.replace(plan, seconds=600.0), ended)
    assert tally.rate == 0
    ended.clear()

    def answer(count: int) -> bytes:
        if count == 20:
            ended.set()
        return GOOD

    async with serving([], answer) as plan:
        tally = await put_on(msgspec.structs.replace(plan, seconds=600.0), ended)
    assert tally.statuses[200] >= 20


async def test_what_is_due_in_the_warm_up_is_not_timed() -> None:
    # Late enough that a machine which stands still for a while is not taken for it.
    tally = await loaded(
        lambda count: 1.9 if count == 1 else GOOD,
        connections=1,
        rate=50.0,
        seconds=0.2,
        warm_up_seconds=2.0,
    )
    assert tally.statuses == {200: 110}
    assert tally.answers == 10
    assert tally.quantile_us(1.0) < 1_850_000


async def test_statuses_and_lost_connections_are_failures() -> None:
    answers = {1: REFUSED, 2: None}
    tally = await loaded_until(20, lambda count: answers.get(count, GOOD))
    assert (tally.statuses[429], tally.statuses[NO_ANSWER]) == (1, 1)
    assert tally.failures == 2


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    async with serving([], lambda _: GOOD) as plan:
        pass
    tally = await run(plan)
    assert set(tally.statuses) == {NO_ANSWER}
    assert tally.answers == 0
    assert tally.rate == 0


async def test_a_server_that_closes_after_its_answer_is_asked_again() -> None:
    tally = await loaded(lambda _: CLOSING, sequences=[[ASKED] * 3], connections=1, repeats=False)
    assert tally.statuses == {200: 3}
    assert tally.answers == 3


async def test_chunked_answers_are_read() -> None:
    tally = await loaded_until(20, lambda _: CHUNKED)
    assert tally.failures == 0
    assert tally.answers > 2


async def test_a_sequence_that_does_not_repeat_is_asked_once() -> None:
    seen: list[bytes] = []
    asked = [[b"a", b"b", b"c"], [b"d"]]
    tally = await loaded(lambda _: GOOD, seen, sequences=asked, repeats=False)
    assert sorted(seen) == [b"a", b"b", b"c", b"d"]
    assert tally.answers == 4


async def test_numbers_differ_by_run_connection_and_turn_and_not_within_a_turn() -> None:
    seen: list[bytes] = []
    sequence = [b"a" + NUMBER, b"b" + NUMBER]
    await loaded_until(20, lambda _: GOOD, seen, sequences=[sequence], tag=7)
    first = [one[1:] for one in seen if one.startswith(b"a")]
    second = {one[1:] for one in seen if one.startswith(b"b")}
    assert len(first) == len(set(first)) > 2
    assert second <= set(first)
    assert all(len(one) == len(NUMBER) and one.startswith(b"0007") for one in first)


async def test_redis_answers_are_counted_and_errors_are_failures() -> None:
    tally = await loaded_until(
        20, lambda count: b"-ERR no\r\n" if count == 1 else b"+OK\r\n", protocol="redis"
    )
    assert tally.failures == 1
    assert tally.statuses[200] > 2
