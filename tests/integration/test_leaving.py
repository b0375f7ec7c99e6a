"""Connections that are left, on both tiers: each gets the answers it waits for, and is told."""

from __future__ import annotations

import asyncio

from gateway.api.protocol.leaving import leave
from tests.fixtures.fronts import Front
from tests.waiting import until
from tests.wire import Line, Reply, request


def leave_all(front: Front) -> None:
    for connection in front.server.server_state.connections:
        leave(connection)  # type: ignore[arg-type]  # of the one kind this server makes


async def replies(line: Line, count: int) -> list[Reply]:
    return [await line.reply() for _ in range(count)]


def told(found: list[Reply]) -> list[tuple[str, bool]]:
    """Return whose answer each is, and whether it says that it is the last one."""
    return [
        (one.headers["x-request-id"], one.headers.get("connection") == "close") for one in found
    ]


async def test_an_idle_connection_is_kept_for_one_more_answer(front: Front) -> None:
    line, never = await front.line(), await front.line()
    assert told([await line.ask(request(x_request_id="a"))]) == [("a", False)]
    await until(lambda: len(front.server.server_state.connections) == 2)
    leave_all(front)
    leave_all(front)
    assert told([await line.ask(request(x_request_id="b"))]) == [("b", True)]
    assert await line.is_closed()
    # One that never asked anything is no different.
    assert told([await never.ask(request(x_request_id="c"))]) == [("c", True)]
    assert await never.is_closed()


async def test_a_request_under_way_is_answered_as_the_last_one(front: Front) -> None:
    front.gates["a"] = asyncio.Event()
    line = await front.line()
    await line.send(request(x_request_id="a"))
    await until(lambda: front.begun == ["a"])
    leave_all(front)
    front.gates["a"].set()
    assert told([await line.reply()]) == [("a", True)]
    assert await line.is_closed()


async def test_a_request_for_another_protocol_is_answered_as_the_last_one(front: Front) -> None:
    line = await front.line()
    await line.ask(request())
    leave_all(front)
    asking = request(x_request_id="a", connection="upgrade", upgrade="h2c")
    assert told([await line.ask(asking)]) == [("a", True)]
    assert await line.is_closed()


async def test_half_a_request_is_answered_when_it_is_whole(front: Front) -> None:
    line = await front.line()
    sent = request(x_request_id="a")
    await line.send(sent[:-5])
    await until(lambda: bool(front.server.server_state.connections))
    leave_all(front)
    assert told([await line.ask(sent[-5:])]) == [("a", True)]
    assert await line.is_closed()


async def test_pipelined_requests_are_all_answered_and_the_last_one_closes(front: Front) -> None:
    front.gates["a"] = asyncio.Event()
    line = await front.line()
    await line.send(request(x_request_id="a"))
    await until(lambda: front.begun == ["a"])
    leave_all(front)
    await line.send(
        request(x_request_id="b") + request(b"{}", name="features.list", x_request_id="c")
    )
    await until(lambda: pipelined(front) == 2)
    front.gates["a"].set()
    assert told(await replies(line, 3)) == [("a", False), ("b", False), ("c", True)]
    assert await line.is_closed()


def pipelined(front: Front) -> int:
    (connection,) = front.server.server_state.connections
    return len(connection.pipeline)  # type: ignore[union-attr]  # the protocol on httptools


async def test_who_asked_to_close_is_not_kept_for_more(front: Front) -> None:
    front.gates["a"] = asyncio.Event()
    line = await front.line()
    await line.send(request(x_request_id="a", connection="close") + request(x_request_id="b"))
    await until(lambda: front.begun == ["a"])
    leave_all(front)
    front.gates["a"].set()
    assert told([await line.reply()]) == [("a", True)]
    assert await line.is_closed()
    assert front.begun == ["a"]
