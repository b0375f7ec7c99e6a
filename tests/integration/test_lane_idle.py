"""How long a connection is kept that nobody uses, on both tiers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from gateway.api.gathering import Gathering
from gateway.api.lane import make_lane
from gateway.api.operations import OPERATIONS
from gateway.app import Runtime, build_app, make_answers, make_plain
from tests.fixtures.app import KEY
from tests.waiting import until

BODY = b'{"customer_id":"ada","feature_id":"calls"}'
HOT = (
    b"POST /v1/balances.check HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
    + KEY.encode()
    + b"\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
COLD = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(params=["lane", "asgi"])
async def server(
    request: pytest.FixtureRequest, live_runtime: Runtime
) -> AsyncIterator[uvicorn.Server]:
    longer = make_answers(live_runtime)
    plain = make_plain(live_runtime, longer)
    lane: Any = make_lane(longer, OPERATIONS, body_bytes_max=1024, plain=plain)
    app: Any = build_app(live_runtime, plain)
    made = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            http=lane if request.param == "lane" else Gathering,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=1,
        )
    )
    made.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    serving = asyncio.create_task(made.serve())
    await until(lambda: made.started)
    yield made
    made.should_exit = True
    await serving


async def connect(server: uvicorn.Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return await asyncio.open_connection(host, port)


async def answered(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
    await reader.readexactly(length)


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


async def test_a_request_that_has_begun_is_waited_for(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)
    writer.write(HOT + HOT[:-1])
    await answered(reader)
    connection: Any
    (connection,) = server.server_state.connections
    await until(lambda: connection.timeout_keep_alive_task is None)  # it has passed
    writer.write(HOT[-1:])
    await answered(reader)
    assert connection.timeout_keep_alive_task is not None
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
