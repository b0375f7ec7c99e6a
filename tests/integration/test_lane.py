"""The hot routes over real sockets, on both tiers: the fast lane and plain ASGI answer alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from gateway.api.asgi import make_app
from gateway.api.decoding import DRAIN_BYTES_MAX
from gateway.api.exchange import Exchange
from gateway.api.lane import make_lane
from gateway.api.operation import Services
from gateway.api.operations import OPERATIONS
from gateway.engine.claims import Claim
from gateway.errors import CustomerNotFoundError
from gateway.messages.balances import CheckRequest, CheckResponse
from tests.fake_engine import CUSTOMER_ID, FakeReplies
from tests.fixtures.app import (
    BODY_BYTES_MAX,
    KEY,
    Api,
    FakeApi,
    FakeProbe,
)
from tests.waiting import until


class Reply(NamedTuple):
    """A response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


class Line:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(first.split(" ")[1]), headers, body)

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.reply()

    async def is_closed(self) -> bool:
        async with asyncio.timeout(20):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Front(NamedTuple):
    """A server on one tier, with the engine behind it and what holds its checks up."""

    port: int
    fake: FakeApi
    server: uvicorn.Server
    gates: dict[str, asyncio.Event]
    begun: list[str]
    lines: list[Line]

    async def line(self) -> Line:
        made = Line(*await asyncio.open_connection("127.0.0.1", self.port))
        self.lines.append(made)
        return made


@pytest.fixture(params=["lane", "asgi"])
async def front(request: pytest.FixtureRequest, fake_api: FakeApi) -> AsyncIterator[Front]:
    await define(fake_api)
    services = Services(fake_api.engine, fake_api.catalog, FakeReplies())
    exchange = Exchange(services, OPERATIONS, fake_api.catalog.clock)
    app: Any = make_app(exchange, OPERATIONS, FakeProbe(), body_bytes_max=BODY_BYTES_MAX)
    lane: Any = make_lane(exchange, OPERATIONS, body_bytes_max=BODY_BYTES_MAX)
    config = uvicorn.Config(
        app,
        port=0,
        http=lane if request.param == "lane" else "httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=20,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(serve(server))
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    made = Front(port, fake_api, server, {}, [], [])
    hold_up(made)
    yield made
    server.should_exit = True
    for line in made.lines:
        await line.close()
    await serving


async def serve(server: uvicorn.Server) -> None:
    # The signals of the process are the test runner's.
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            server, "capture_signals", contextlib.nullcontext
        )
        await server.serve()


async def define(fake: FakeApi) -> None:
    created = {"feature_id": "calls", "name": "Calls", "type": "metered", "consumable": True}
    assert (await fake.api.call("features.create", **created)).status == 200


def hold_up(front: Front) -> None:
    """Let each check whose request id has a gate wait for it."""
    check: Callable[..., Coroutine[Any, Any, CheckResponse]] = front.fake.engine.check

    async def slow(
        env: str, request: CheckRequest, request_id: str, claim: Claim | None = None
    ) -> CheckResponse:
        front.begun.append(request_id)
        if request_id in front.gates:
            await front.gates[request_id].wait()
        return await check(env, request, request_id, claim)

    front.fake.engine.check = slow  # type: ignore[method-assign]


def request(
    body: bytes | None = None,
    *,
    name: str = "balances.check",
    method: str = "POST",
    target: str = "",
    version: str = "1.1",
    key: str = KEY,
    length: bool = True,
    **headers: str,
) -> bytes:
    """Return the bytes of a request."""
    content = check_body() if body is None else body
    lines = [f"{method} {target or f'/v1/{name}'} HTTP/{version}", "Host: gateway"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def check_body(**more: object) -> bytes:
    return json.dumps({"customer_id": CUSTOMER_ID, "feature_id": "calls"} | more).encode()


REQUESTS = {
    "check": request(x_request_id="a"),
    "track": request(check_body(value=2), name="balances.track", x_request_id="a"),
    "malformed": request(b"{", x_request_id="a"),
    "unknown field type": request(check_body(required_balance="x"), x_request_id="a"),
    "no key": request(key="", x_request_id="a"),
    "wrong key": request(key="am_sk_test_" + "x" * 40, x_request_id="a"),
    "wrong method": request(method="PUT", x_request_id="a"),
    "query": request(target="/v1/balances.check?a=b", x_request_id="a"),
    "old version": request(x_api_version="1.1.1", x_request_id="a"),
    "other operation": request(name="features.list", body=b"{}", x_request_id="a"),
    "unknown operation": request(name="balances.none", x_request_id="a"),
    "empty body": request(b"", x_request_id="a"),
    "too large": request(b" " * (BODY_BYTES_MAX + 1), x_request_id="a"),
}


async def test_both_tiers_give_the_same_bytes(front: Front) -> None:
    line = await front.line()
    for what, sent in REQUESTS.items():
        expected = await in_process(front.fake.api, sent)
        reply = await line.ask(sent)
        assert (reply.status, reply.body) == (expected.status_code, expected.content), what
        assert reply.headers == dict(expected.headers), what


async def in_process(api: Api, data: bytes) -> httpx.Response:
    """Return what the application answers without a socket."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return await api.client.request(method, target, content=body, headers=headers)


async def test_a_connection_serves_many_requests(front: Front) -> None:
    line = await front.line()
    for number in range(50):
        reply = await line.ask(request(x_request_id=f"r{number}"))
        assert (reply.status, reply.headers["x-request-id"]) == (200, f"r{number}")


async def test_pipelined_requests_are_answered_in_order(front: Front) -> None:
    front.gates["r0"] = asyncio.Event()
    line = await front.line()
    sent = [request(x_request_id=f"r{number}") for number in range(3)]
    sent.insert(2, request(b"{}", name="features.list", x_request_id="cold"))
    sent.append(request(method="GET", target="/health", key="", body=b"", x_request_id="h"))
    await line.send(b"".join(sent))
    await until(lambda: front.begun == ["r0"])
    front.gates["r0"].set()
    replies = [await line.reply() for _ in sent]
    assert [reply.headers.get("x-request-id") for reply in replies] == [
        "r0", "r1", "cold", "r2", None,
    ]  # fmt: skip
    assert {reply.status for reply in replies} == {200}


async def test_a_request_behind_a_cold_one_waits_its_turn(front: Front) -> None:
    line = await front.line()
    await line.send(request(b"{}", name="features.list", x_request_id="c") + request()[:-5])
    assert (await line.reply()).headers["x-request-id"] == "c"
    assert (await line.ask(request()[-5:])).status == 200


async def test_a_request_may_come_byte_by_byte(front: Front) -> None:
    line = await front.line()
    for byte in request():
        await line.send(bytes([byte]))
    assert (await line.reply()).status == 200


async def test_a_chunked_body_is_one_body(front: Front) -> None:
    line = await front.line()
    body = check_body()
    head = request(b"", length=False, transfer_encoding="chunked")
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])]
    reply = await line.ask(head + b"".join(chunks) + b"0\r\n\r\n")
    assert (reply.status, reply.json["allowed"]) == (200, True)


async def test_who_expects_to_go_on_is_told_to(front: Front) -> None:
    line = await front.line()
    body = check_body()
    head = request(body, expect="100-continue").removesuffix(body)
    await line.send(head)
    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await line.ask(body)).status == 200


async def test_a_body_without_end_is_refused_and_the_connection_closed(front: Front) -> None:
    line = await front.line()
    await line.send(request(b"", length=False, transfer_encoding="chunked"))
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    with contextlib.suppress(ConnectionError):
        for _ in range(DRAIN_BYTES_MAX // (1 << 20) + 4):
            await line.send(chunk)
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        assert (await line.reply()).status == 413
    assert not front.begun


@pytest.mark.parametrize(
    "smuggled",
    [
        request(length=True, transfer_encoding="chunked"),
        request().replace(b"Content-Length", b"Content-Length: 3\r\nContent-Length"),
        request(transfer_encoding="chunked, identity", length=False),
        b"POST /v1/balances.check HTTP/1.1\r\nHost : gateway\r\n\r\n",
        b"POST /v1/balances.check HTTP/9.1\r\n\r\n",
    ],
)
async def test_an_ambiguous_request_is_refused(front: Front, smuggled: bytes) -> None:
    line = await front.line()
    await line.send(smuggled)
    assert (await line.reply()).status == 400
    assert await line.is_closed()
    assert not front.begun


async def test_who_asks_to_close_is_answered_and_closed(front: Front) -> None:
    line = await front.line()
    reply = await line.ask(request(connection="close"))
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert await line.is_closed()


async def test_http_1_0_is_answered_and_closed(front: Front) -> None:
    line = await front.line()
    assert (await line.ask(request(version="1.0"))).status == 200
    assert await line.is_closed()


async def test_a_client_that_hangs_up_harms_nobody(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    front.gates["gone"] = asyncio.Event()
    caplog.set_level(logging.WARNING)
    line = await front.line()
    await line.send(request(x_request_id="gone") + request(x_request_id="behind"))
    await until(lambda: "gone" in front.begun)
    line.writer.transport.abort()
    front.gates["gone"].set()
    other = await front.line()
    assert (await other.ask(request())).status == 200
    assert [record.message for record in caplog.records] == []


async def test_a_graceful_stop_answers_what_is_under_way(front: Front) -> None:
    front.gates["last"] = asyncio.Event()
    line, idle = await front.line(), await front.line()
    assert (await idle.ask(request())).status == 200
    await line.send(request(x_request_id="last"))
    await until(lambda: "last" in front.begun)
    front.server.should_exit = True
    assert await idle.is_closed()
    front.gates["last"].set()
    reply = await line.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")


async def test_an_error_of_the_engine_is_an_answer(front: Front) -> None:
    front.fake.engine.failure = CustomerNotFoundError()
    line = await front.line()
    reply = await line.ask(request())
    assert (reply.status, reply.json["code"]) == (404, "customer_not_found")
    front.fake.engine.failure = ValueError("a fault of ours")
    reply = await line.ask(request())
    assert reply.status == 500
    front.fake.engine.failure = None
    assert (await line.ask(request())).status == 200
