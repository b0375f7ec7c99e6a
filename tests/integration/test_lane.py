"""The hot routes over real sockets, on both tiers: the fast lane and plain ASGI answer alike."""

from __future__ import annotations

import asyncio
import contextlib

import httpx

from gateway.api.decoding import DRAIN_BYTES_MAX
from gateway.errors import CustomerNotFoundError
from tests.fixtures.app import BODY_BYTES_MAX, Api
from tests.fixtures.fronts import Front
from tests.waiting import until
from tests.wire import check_body, request

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


async def test_many_pipelined_requests_that_are_refused_at_once_are_answered_in_order(
    front: Front,
) -> None:
    front.gates["first"] = asyncio.Event()
    line = await front.line()
    refused = [request(b"{", x_request_id=f"r{number}") for number in range(600)]
    await line.send(request(x_request_id="first") + b"".join(refused))
    await until(lambda: front.begun == ["first"])
    front.gates["first"].set()
    assert (await line.reply()).status == 200
    replies = [await line.reply() for _ in refused]
    assert [reply.headers["x-request-id"] for reply in replies] == [
        f"r{number}" for number in range(600)
    ]
    assert {reply.status for reply in replies} == {400}


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


async def test_who_asks_to_close_is_answered_and_closed(front: Front) -> None:
    line = await front.line()
    reply = await line.ask(request(connection="close"))
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert await line.is_closed()


async def test_http_1_0_is_answered_and_closed(front: Front) -> None:
    line = await front.line()
    assert (await line.ask(request(version="1.0"))).status == 200
    assert await line.is_closed()


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
