"""The shared connection: order, cancellation, faults, and a thousand cuts under load."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.scripts.pipe import (
    NEAR_MAX,
    NEAR_TOGETHER,
    Later,
    Pipe,
    PipeLateError,
    PipeLostError,
    PipeUnsentError,
    Receiver,
)
from tests.waiting import one_turn, until

TIMEOUT_SECONDS = 5.0
PING = b"*1\r\n$4\r\nPING\r\n"


def pool_of(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(url, protocol=2, decode_responses=False)


@pytest.fixture
async def pipe(valkey: str) -> AsyncIterator[Pipe]:
    made = Pipe(pool_of(valkey), timeout_seconds=TIMEOUT_SECONDS)
    yield made
    await made.close()


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def scripted(folder: Path, answer: Answer, **limits: Any) -> AsyncIterator[Pipe]:  # noqa: ANN401 - arguments of Pipe
    """Serve by ``answer`` once a client has greeted, and give a pipe to that server."""
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        open_now.discard(writer)

    server = await asyncio.start_unix_server(serve, folder / "s")
    pool = ConnectionPool.from_url(
        f"unix://{folder / 's'}", protocol=2, driver_info=None, health_check_interval=0
    )
    made = Pipe(pool, **{"timeout_seconds": TIMEOUT_SECONDS} | limits)
    try:
        yield made
    finally:
        await made.close()
        await until(lambda: not open_now)
        server.close()
        await server.wait_closed()


async def read_ping(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"PING\r\n")


async def test_calls_of_one_turn_share_one_connection_and_one_order(pipe: Pipe) -> None:
    answers = await asyncio.gather(*(pipe.call("ECHO", str(number)) for number in range(500)))
    assert answers == [str(number).encode() for number in range(500)]
    clients = (await pipe.call("CLIENT", "LIST")).decode().splitlines()
    assert len([line for line in clients if "cmd=client|list" in line]) == 1


async def test_an_error_reply_is_the_callers_own(pipe: Pipe) -> None:
    calls = (pipe.call("ECHO", "a"), pipe.call("GET"), pipe.call("ECHO", "b"))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert (answers[0], answers[2]) == (b"a", b"b")
    assert isinstance(answers[1], ResponseError)


async def test_commands_that_are_asked_together_are_answered_in_their_order(pipe: Pipe) -> None:
    await pipe.call("PING")
    between = asyncio.create_task(pipe.call("ECHO", "other"))
    echoes = [("ECHO", str(number)) for number in range(100)]
    assert await pipe.call_all(echoes) == [b"%d" % number for number in range(100)]
    assert await between == b"other"
    assert await pipe.call_all([]) == []
    with pytest.raises(ResponseError):
        await pipe.call_all([("ECHO", "a"), ("GET",), ("ECHO", "b")])
    assert await pipe.call("ECHO", "next") == b"next"


async def test_a_cancelled_call_shifts_no_reply(pipe: Pipe) -> None:
    await pipe.call("PING")
    tasks = [asyncio.create_task(pipe.call("ECHO", str(number))) for number in range(100)]
    await one_turn()
    for task in tasks[::3]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for number, answer in enumerate(answers):
        if number % 3 == 0:
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert answer == str(number).encode()
    assert await pipe.call("ECHO", "next") == b"next"


async def test_a_receiver_that_fails_harms_nobody_else(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ValueError("the client hung up")

    await pipe.call("PING")
    pipe.send(PING, fail)
    assert await pipe.call("ECHO", "next") == b"next"
    assert "the receiver of a reply failed" in caplog.text


async def test_a_lost_connection_fails_what_was_in_flight_and_the_next_call_opens_another(
    tmp_path: Path,
) -> None:
    seen = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_ping(reader)
        seen.append(True)
        if len(seen) > 1:
            writer.write(b"+PONG\r\n")
            await writer.drain()
            await reader.read()

    async with scripted(tmp_path, answer) as pipe:
        calls = (pipe.call("PING"), pipe.call("PING"))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [PipeLostError] * 2
        # To whoever counts faults it is one.
        assert len({answer.event for answer in answers if isinstance(answer, PipeLostError)}) == 1
        assert await pipe.call("PING") == b"PONG"
        assert pipe.in_flight == 0


async def test_a_server_that_is_not_there_leaves_calls_unsent(tmp_path: Path) -> None:
    pipe = Pipe(pool_of(f"unix://{tmp_path / 'none'}"), timeout_seconds=TIMEOUT_SECONDS)
    with pytest.raises(PipeUnsentError, match="connecting to"):
        await pipe.call("PING")
    assert pipe.in_flight == 0
    await pipe.close()
    with pytest.raises(PipeUnsentError, match="closed"):
        await pipe.call("PING")


async def test_a_server_that_answers_nobody_is_given_up(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        await reader.read()
        gone.set()

    async with scripted(tmp_path, answer, timeout_seconds=0.2) as pipe:
        with pytest.raises(RedisTimeoutError):
            await pipe.call("PING")
        await until(lambda: pipe.in_flight == 0)
        await until(gone.is_set)


@pytest.mark.parametrize("count", [8, NEAR_MAX + 8])
async def test_a_call_behind_many_others_is_not_late(tmp_path: Path, count: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(min(count, NEAR_MAX)):
            await read_ping(reader)
        began = asyncio.get_running_loop().time()

        def is_turn(number: int) -> bool:
            return asyncio.get_running_loop().time() > began + 0.8 * number / count

        for number in range(count):
            await until(partial(is_turn, number))
            writer.write(b"+PONG\r\n")
        await reader.read()

    async with scripted(tmp_path, answer, timeout_seconds=0.4) as pipe:
        assert await asyncio.gather(*(pipe.call("PING") for _ in range(count))) == [b"PONG"] * count


class Slow:
    """A server that notes what it is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self._writer: asyncio.StreamWriter | None = None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked, self._writer = 0, writer
        while data := await reader.read(1_000_000):
            self.asked += data.count(b"PING")

    def answer(self, count: int) -> None:
        assert self._writer is not None
        self._writer.write(b"+PONG\r\n" * count)

    def leave(self) -> None:
        assert self._writer is not None
        self._writer.close()

    def unread(self) -> int:
        """Return how many calls lie in the socket."""
        assert self._writer is not None
        number = self._writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as copy:
            try:
                return copy.recv(1_000_000, socket.MSG_PEEK | socket.MSG_DONTWAIT).count(b"PING")
            except BlockingIOError:
                return 0


async def test_a_server_near_by_is_given_calls_while_the_turn_goes_on(tmp_path: Path) -> None:
    server, replies = Slow(), list[object]()
    ping = b"*1\r\n$4\r\nPING\r\n"
    async with scripted(tmp_path, server) as pipe:
        pipe.send(ping, replies.append)
        await until(lambda: server.asked == 1)
        server.answer(1)
        await until(lambda: len(replies) == 1)
        arrived = []
        for _ in range(2 * NEAR_TOGETHER + 1):
            pipe.send(ping, replies.append)
            arrived.append(server.unread())
        assert arrived == [0] * 3 + [NEAR_TOGETHER] * 4 + [2 * NEAR_TOGETHER] * 2
        await until(lambda: server.asked == 2 * NEAR_TOGETHER + 2)
        server.answer(2 * NEAR_TOGETHER + 1)
        await until(lambda: len(replies) == 2 * NEAR_TOGETHER + 2)
    assert replies == [b"PONG"] * len(replies)


async def test_what_receivers_leave_for_later_waits_for_all_replies_that_came_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, seen = Slow(), list[str]()
    ping = b"*1\r\n$4\r\nPING\r\n"

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
            pipe.send(ping, taking(name))
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
    async with scripted(tmp_path, Slow(), timeout_seconds=0.2) as pipe:
        asked = [asyncio.create_task(pipe.call("PING")) for _ in range(NEAR_MAX + 3)]
        replies = await asyncio.gather(*asked, return_exceptions=True)
    kinds = [type(reply) for reply in replies]
    assert kinds == [PipeLateError] * NEAR_MAX + [PipeUnsentError] * 3


async def test_replies_before_garbage_are_given_out(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_ping(reader)
        await read_ping(reader)
        writer.write(b"+PONG\r\nHTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with scripted(tmp_path, answer) as pipe:
        calls = (pipe.call("PING"), pipe.call("PING"))
        replies = await asyncio.gather(*calls, return_exceptions=True)
    assert replies[0] == b"PONG"
    assert isinstance(replies[1], PipeLostError)


async def test_garbage_fails_the_call_and_the_connection(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_ping(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with scripted(tmp_path, answer) as pipe:
        with pytest.raises(RedisConnectionError):
            await pipe.call("PING")


async def test_no_more_calls_wait_than_may(tmp_path: Path) -> None:
    free = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await read_ping(reader)
        await free.wait()
        writer.write(b"+PONG\r\n" * 3)
        await reader.read()

    async with scripted(tmp_path, answer, in_flight_max=3) as pipe:
        waiting = [asyncio.create_task(pipe.call("PING")) for _ in range(3)]
        await until(lambda: pipe.in_flight == 3)
        with pytest.raises(PipeUnsentError, match="Too many"):
            await pipe.call("PING")
        with pytest.raises(PipeUnsentError, match="Too many"):
            await pipe.call_all([("PING",)])
        assert pipe.in_flight == 3
        free.set()
        assert await asyncio.gather(*waiting) == [b"PONG"] * 3


async def test_a_reply_in_pieces_is_one_reply(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_ping(reader)
        for byte in b"*2\r\n$3\r\none\r\n:2\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await one_turn()
        await reader.read()

    async with scripted(tmp_path, answer) as pipe:
        assert await pipe.call("PING") == [b"one", 2]


@pytest.mark.parametrize("cuts", [1000])
async def test_no_reply_reaches_another_call_however_often_the_connection_is_cut(
    valkey: str, cuts: int
) -> None:
    pipe = Pipe(pool_of(valkey), timeout_seconds=TIMEOUT_SECONDS)
    random_ = random.Random(7)
    answered, over = asyncio.Event(), asyncio.Event()
    counts = {"answered": 0, "lost": 0, "cut": 0}

    async def ask(caller: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            nonce = f"{caller}:{number}:{'x' * random_.randrange(2000)}".encode()
            try:
                async with asyncio.timeout(random_.choice([0.001, 30, 30, 30])):
                    assert await pipe.call("ECHO", nonce) == nonce
                counts["answered"] += 1
                answered.set()
            except (RedisError, TimeoutError):
                counts["lost"] += 1

    async def cut() -> None:
        async with Redis.from_url(valkey) as other:
            while counts["cut"] < cuts:
                answered.clear()
                await answered.wait()
                if counts["cut"] % 2:
                    pipe.drop()
                else:
                    await other.client_kill_filter(_type="normal", skipme=True)
                counts["cut"] += 1
        over.set()

    async with asyncio.timeout(60):
        await asyncio.gather(cut(), *(ask(caller) for caller in range(32)))
    assert counts["answered"] >= cuts
    assert counts["lost"] >= cuts // 2
    assert await pipe.call("ECHO", "last") == b"last"
    assert pipe.in_flight == 0
    await pipe.close()
    gc.collect()
