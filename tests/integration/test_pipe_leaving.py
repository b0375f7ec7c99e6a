"""How calls leave on the shared connection, and when their answers do: what a server near by is
given, and what one elsewhere is.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from redis.asyncio import ConnectionPool

from gateway.scripts.faults import PipeLateError, PipeLostError, PipeUnsentError
from gateway.scripts.pipe import NEAR_MAX, NEAR_TOGETHER, Later, Pipe, Receiver
from tests.integration.piping import PING, TIMEOUT_SECONDS, Slow, hurried, scripted
from tests.waiting import until


async def test_a_server_near_by_is_given_calls_while_the_turn_goes_on(tmp_path: Path) -> None:
    server, replies = Slow(), list[object]()
    async with scripted(tmp_path, server) as pipe:
        pipe.send(PING, replies.append)
        await until(lambda: server.asked == 1)
        server.answer(1)
        await until(lambda: len(replies) == 1)
        arrived = []
        for _ in range(2 * NEAR_TOGETHER + 1):
            pipe.send(PING, replies.append)
            arrived.append(server.unread())
        # The first at once, since it had none.
        assert arrived == [1] * 4 + [1 + NEAR_TOGETHER] * 4 + [1 + 2 * NEAR_TOGETHER]
        await until(lambda: server.asked == 2 * NEAR_TOGETHER + 2)
        server.answer(2 * NEAR_TOGETHER + 1)
        await until(lambda: len(replies) == 2 * NEAR_TOGETHER + 2)
    assert replies == [b"PONG"] * len(replies)


async def test_what_receivers_leave_for_later_waits_for_all_replies_that_came_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, seen = Slow(), list[str]()

    def taking(name: str) -> Receiver:
        def fail(_: object) -> None:
            seen.append(f"later {name}")
            raise ValueError(name)

        def take(reply: object) -> Later:
            kind = "lost" if isinstance(reply, PipeLostError) else "took"
            seen.append(f"{kind} {name}")
            return fail, reply

        return take

    async with scripted(tmp_path, server) as pipe:
        for name in "abcd":
            pipe.send(PING, taking(name))
        await until(lambda: server.asked == 4)
        server.answer(2)
        await until(lambda: len(seen) == 4)
        server.leave()
        await until(lambda: len(seen) == 8)
    assert seen[:4] == ["took a", "took b", "later a", "later b"]
    assert seen[4:] == ["lost c", "later c", "lost d", "later d"]
    assert caplog.text.count("the receiver of a reply failed") == 4


async def test_a_server_near_by_is_given_more_as_it_answers(tmp_path: Path) -> None:
    server = Slow()

    async def is_asked(count: int) -> None:
        await until(lambda: server.asked >= count)
        assert server.asked == count

    async with scripted(tmp_path, server) as pipe:
        order: list[int] = []

        async def ask(number: int) -> None:
            await pipe.call("PING")
            order.append(number)

        calls = asyncio.gather(*map(ask, range(100)))
        await is_asked(NEAR_MAX)
        server.answer(1)
        await is_asked(NEAR_MAX + 1)
        server.answer(20)
        await is_asked(NEAR_MAX + 21)
        server.answer(NEAR_MAX)
        await is_asked(2 * NEAR_MAX + 21)
        server.answer(NEAR_MAX)
        await is_asked(100)
        server.answer(100 - (2 * NEAR_MAX + 21))
        await calls
    assert order == list(range(100))


async def test_a_server_elsewhere_is_given_all_at_once() -> None:
    slow = Slow()
    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = ConnectionPool.from_url(f"redis://127.0.0.1:{port}", protocol=2, driver_info=None)
    pipe = Pipe(pool, timeout_seconds=TIMEOUT_SECONDS)
    asked = [asyncio.create_task(pipe.call("PING")) for _ in range(100)]
    await until(lambda: slow.asked == 100)
    slow.answer(100)
    assert await asyncio.gather(*asked) == [b"PONG"] * 100
    await pipe.close()
    slow.leave()
    server.close()
    await server.wait_closed()


async def test_calls_that_had_not_left_go_to_the_next_connection(tmp_path: Path) -> None:
    server = Slow()
    async with scripted(tmp_path, server) as pipe:
        asked = [asyncio.create_task(pipe.call("PING")) for _ in range(NEAR_MAX + 3)]
        await until(lambda: server.asked == NEAR_MAX)
        server.leave()
        await until(lambda: server.asked == 3)
        server.answer(3)
        replies = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(reply) for reply in replies[:NEAR_MAX]] == [PipeLostError] * NEAR_MAX
    assert replies[NEAR_MAX:] == [b"PONG"] * 3


async def test_calls_that_never_left_a_silent_server_are_told_so(tmp_path: Path) -> None:
    server, replies = Slow(), dict[int, object]()
    loop = asyncio.get_running_loop()
    async with scripted(tmp_path, server) as pipe:
        opening = asyncio.create_task(hurried(pipe, 0.2))
        await until(lambda: server.asked == 1)
        server.answer(1)
        with await opening:
            # All at one time: were some late before the others, those would be lost.
            with patch.object(loop, "time", return_value=loop.time()):
                for number in range(NEAR_MAX + 3):
                    pipe.send(PING, partial(replies.__setitem__, number))
            await until(lambda: len(replies) == NEAR_MAX + 3)
    kinds = [type(replies[number]) for number in range(NEAR_MAX + 3)]
    assert kinds == [PipeLateError] * NEAR_MAX + [PipeUnsentError] * 3
