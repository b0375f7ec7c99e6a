"""How long a connection is kept that nobody uses, on both tiers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from gateway.api.protocol import flow
from gateway.api.protocol.intake import Intake
from gateway.app import Runtime
from tests.fixtures.app import KEY
from tests.fixtures.fronts import running_tier
from tests.waiting import until

BODY = b'{"customer_id":"ada","feature_id":"calls"}'
HOT = (
    b"POST /v1/balances.check HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
    + KEY.encode()
    + b"\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
CHUNKED = HOT.replace(
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY),
    b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
)
LISTED = HOT.replace(b"balances.check", b"customers.list").replace(BODY, b" " * len(BODY))
COLD = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(params=["lane", "asgi"])
async def server(
    request: pytest.FixtureRequest, live_runtime: Runtime
) -> AsyncIterator[uvicorn.Server]:
    async with running_tier(live_runtime, request.param, timeout_keep_alive=1) as made:
        yield made


async def connect(server: uvicorn.Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return await asyncio.open_connection(host, port)


async def answered(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        return head + await reader.readexactly(length)


@pytest.mark.parametrize("last", [HOT, COLD])
async def test_an_idle_connection_is_closed_whatever_was_asked_last(
    server: uvicorn.Server, last: bytes
) -> None:
    reader, writer = await connect(server)
    for request in (HOT, COLD, HOT, last):
        writer.write(request)
        await answered(reader)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_on_which_nothing_is_asked_is_closed(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("request_", [HOT, CHUNKED, LISTED, COLD])
async def test_a_request_that_has_begun_is_waited_for(
    server: uvicorn.Server, request_: bytes
) -> None:
    reader, writer = await connect(server)
    writer.write(request_ + request_[:-1])
    first = await answered(reader)
    assert b"request_timeout" not in first
    connection: Any
    (connection,) = server.server_state.connections
    timer = connection.timeout_keep_alive_task
    await until(lambda: connection.timeout_keep_alive_task is not timer)  # it has passed
    writer.write(request_[-1:])
    assert (await answered(reader)).splitlines()[0] == first.splitlines()[0]
    assert connection.ends_at < asyncio.get_running_loop().time() + 2
    writer.close()


@pytest.mark.parametrize(
    ("behind", "part"),
    [
        (b"", HOT[:1]),
        (b"", CHUNKED[:-1]),
        (b"", LISTED[:-1]),
        (HOT, COLD[:-1]),
        (HOT, HOT[:-1]),
        (COLD, LISTED[:-1]),
    ],
)
async def test_a_request_that_does_not_go_on_is_refused(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch, behind: bytes, part: bytes
) -> None:
    monkeypatch.setattr(Intake, "request_seconds", 0.5)
    reader, writer = await connect(server)
    writer.write(behind + part)
    if behind:
        assert b"request_timeout" not in await answered(reader)
    answer = await answered(reader)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(
        b'\r\n\r\n{"message":"The rest of the request did not come in time.",'
        b'"code":"request_timeout","env":"sandbox"}'
    )
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("name", [b"balances.check", b"customers.list", b"nobody.knows"])
async def test_a_refused_request_whose_body_does_not_come_is_answered_once(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    monkeypatch.setattr(Intake, "request_seconds", 0.5)
    reader, writer = await connect(server)
    writer.write(HOT.replace(b"balances.check", name).replace(KEY.encode(), b"am_sk_none")[:-1])
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer[9:12] in {b"401", b"404", b"408"}
    writer.close()


async def test_a_request_that_trickles_in_is_refused(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "request_seconds", 0.5)
    reader, writer = await connect(server)
    answer = asyncio.create_task(answered(reader))
    writer.write(b"GET / HTTP/1.1\r\nhost: ")

    def trickle() -> bool:
        writer.write(b"x")
        return answer.done()

    await until(trickle)
    assert b" 408 " in await answer
    writer.close()


async def test_a_connection_that_was_lost_leaves_no_timer(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)
    writer.write(HOT)
    await answered(reader)
    connection: Any
    (connection,) = server.server_state.connections
    timer = connection.timeout_keep_alive_task
    assert timer is not None
    writer.transport.abort()
    await until(timer.cancelled)
    assert not server.server_state.connections


PAGE = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    "asked", [PAGE + b"\r\n", (PAGE + b"\r\n") * 3, PAGE + b"connection: close\r\n\r\n"]
)
async def test_a_client_that_takes_nothing_of_its_answers_is_left(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch, asked: bytes
) -> None:
    monkeypatch.setattr(flow, "TAKE_SECONDS", 0.05)
    listener = server.servers[0].sockets[0]
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so has what it accepts
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(listener.getsockname())
        client.sendall(asked)
        await until(lambda: bool(server.server_state.connections))
        await until(lambda: not server.server_state.connections)
        await until(lambda: not server.server_state.tasks)
