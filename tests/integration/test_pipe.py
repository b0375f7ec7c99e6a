"""The shared connection: order, cancellation, faults, and a thousand cuts under load."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.scripts.faults import PipeLostError, PipeUnsentError
from gateway.scripts.pipe import NEAR_MAX, Pipe
from tests.integration.piping import PING, TIMEOUT_SECONDS, hurried, read_ping, scripted
from tests.waiting import one_turn, until


def pool_of(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(url, protocol=2, decode_responses=False)


@pytest.fixture
async def pipe(valkey: str) -> AsyncIterator[Pipe]:
    made = Pipe(pool_of(valkey), timeout_seconds=TIMEOUT_SECONDS)
    yield made
    await made.close()


async def test_calls_of_one_turn_share_one_connection_and_one_order(pipe: Pipe) -> None:
    answers = await asyncio.gather(*(pipe.call("ECHO", str(number)) for number in range(500)))
    assert answers == [str(number).encode() for number in range(500)]
    clients = (await pipe.call("CLIENT", "LIST")).decode().splitlines()
    assert len([line for line in clients if "cmd=client|list" in line]) == 1


async def test_the_connection_stays_where_a_writers_end_closes_its_transport(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the one of asyncio does since Python 3.11.5."""
    monkeypatch.setattr(asyncio.StreamWriter, "__del__", asyncio.StreamWriter.close, raising=False)
    first = await pipe.call("CLIENT", "ID")
    gc.collect()
    await one_turn()
    assert await pipe.call("CLIENT", "ID") == first


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

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_ping(reader)
        writer.write(b"+PONG\r\n")
        await reader.read()
        gone.set()

    async with scripted(tmp_path, answer) as pipe:
        with await hurried(pipe, 0.2), pytest.raises(RedisTimeoutError):
            await pipe.call("PING")
        await until(lambda: pipe.in_flight == 0)
        await until(gone.is_set)


@pytest.mark.parametrize("count", [8, NEAR_MAX + 8])
async def test_a_call_behind_many_others_is_not_late(tmp_path: Path, count: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_ping(reader)
        writer.write(b"+PONG\r\n")
        for _ in range(min(count, NEAR_MAX)):
            await read_ping(reader)
        began = asyncio.get_running_loop().time()

        def is_turn(number: int) -> bool:
            return asyncio.get_running_loop().time() > began + 0.8 * number / count

        for number in range(count):
            await until(partial(is_turn, number))
            writer.write(b"+PONG\r\n")
        await reader.read()

    async with scripted(tmp_path, answer) as pipe:
        with await hurried(pipe, 0.4):
            calls = (pipe.call("PING") for _ in range(count))
            assert await asyncio.gather(*calls) == [b"PONG"] * count


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
