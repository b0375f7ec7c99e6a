"""Requests that are wrong, ambiguous or abandoned, on both tiers: refused or dropped, never half
carried out, and never at the cost of anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any

import pytest

from gateway.api.protocol.intake import HEAD_BYTES_MAX, Intake
from tests.fixtures.app import BODY_BYTES_MAX
from tests.fixtures.fronts import Front
from tests.waiting import until
from tests.wire import Reply, check_body, request

CHUNKED = request(b"", length=False, transfer_encoding="chunked")
BODY = check_body()
BARE = b"POST /v1/balances.check HTTP/1.1\r\nHost: gateway\r\n"

AMBIGUOUS = {
    "length and chunks": request(transfer_encoding="chunked"),
    "chunks and length": CHUNKED[:-2] + b"Content-Length: 0\r\n\r\n0\r\n\r\n",
    "two lengths": request().replace(b"Content-Length", b"Content-Length: 3\r\nContent-Length"),
    "the same length twice": BARE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": BARE + b"Content-Length: 2, 2\r\n\r\n{}",
    "a negative length": BARE + b"Content-Length: -2\r\n\r\n{}",
    "a signed length": BARE + b"Content-Length: +2\r\n\r\n{}",
    "a length in hex": BARE + b"Content-Length: 0x2\r\n\r\n{}",
    "a length beyond counting": BARE + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "chunked, but not last": request(transfer_encoding="chunked, identity", length=False),
    "chunked in other words": request(transfer_encoding="xchunked", length=False),
    "a size that is none": CHUNKED + b"zz\r\n" + BODY,
    "a size that is negative": CHUNKED + b"-1\r\n" + BODY,
    "a size beyond counting": CHUNKED + b"fffffffffffffffff\r\n" + BODY,
    "a size too small for its chunk": CHUNKED + b"2\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a space before the colon": BARE[:-2].replace(b"Host:", b"Host :") + b"\r\n\r\n",
    "a header that goes on": BARE + b"X-A: 1\r\n Content-Length: 2\r\n\r\n{}",
    "a null in a header": BARE + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": BARE + b"X-A: a\rContent-Length: 2\r\n\r\n{}",
    "no colon": BARE + b"Content-Length 2\r\n\r\n{}",
    "another version": b"POST /v1/balances.check HTTP/9.1\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("what", AMBIGUOUS)
async def test_an_ambiguous_request_is_refused(front: Front, what: str) -> None:
    line = await front.line()
    await line.send(AMBIGUOUS[what])
    reply = await line.reply()
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == {
        "message": "The request is not valid HTTP/1.1", "code": "invalid_inputs", "env": "sandbox",
    }  # fmt: skip
    assert await line.is_closed()
    assert not front.begun


@pytest.mark.parametrize("what", AMBIGUOUS)
async def test_what_was_asked_before_an_ambiguous_request_is_answered_first(
    front: Front, what: str
) -> None:
    front.gates["a"] = asyncio.Event()
    line = await front.line()
    await line.send(
        request(x_request_id="a") + request(b"{", x_request_id="b") + AMBIGUOUS[what] + request()
    )
    await until(lambda: front.begun == ["a"])
    front.gates["a"].set()
    assert [(await line.reply()).headers["x-request-id"] for _ in range(2)] == ["a", "b"]
    assert (await line.reply()).json["message"] == "The request is not valid HTTP/1.1"
    assert await line.is_closed()
    assert front.begun == ["a"]


def padded(size: int, target: str = "") -> bytes:
    """Return a request whose request line and headers count as so many bytes."""
    bare = request(target=target, x_padding="")
    lines = bare.partition(b"\r\n\r\n")[0].split(b"\r\n")
    counted = len(lines[0].split(b" ")[1]) + sum(len(line) + len(b"\r\n") for line in lines[1:])
    return request(target=target, x_padding="x" * (size - counted))


@pytest.mark.parametrize("step", [1_000, 1_000_000])
@pytest.mark.parametrize("target", ["", "/v1/customers.list", "/v1/nobody.knows"])
async def test_a_head_has_an_end(front: Front, target: str, step: int) -> None:
    line = await front.line()

    async def ask(size: int) -> Reply:
        data = padded(size, target)
        for at in range(0, len(data), step):
            await line.send(data[at : at + step])
        return await line.reply()

    assert (await ask(HEAD_BYTES_MAX)).status in {200, 404}
    reply = await ask(HEAD_BYTES_MAX + 1)
    assert reply.status == 431
    assert reply.json == {
        "message": "The request line and the headers are larger than 65536 bytes",
        "code": "head_too_large",
        "env": "sandbox",
    }
    assert await line.is_closed()


ENDLESS = {
    "a target": (b"POST /", b"x" * 5_000),
    "a header": (BARE + b"X-A: ", b"x" * 5_000),
    "headers": (BARE, b"X-A: 1\r\n" * 500),
    "the size of a chunk": (CHUNKED + b"5;", b"x" * 5_000),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: 1\r\n" * 500),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_does_not_end_is_ended(front: Front, what: str) -> None:
    begin, again = ENDLESS[what]
    line = await front.line()
    await line.send(request(x_request_id="before") + begin)
    assert (await line.reply()).headers["x-request-id"] == "before"
    sent = 0
    with contextlib.suppress(ConnectionError):  # A refused sender may hear of it so.
        while not line.reader.at_eof() and sent < 50_000_000:
            await line.send(again)
            sent += len(again)
    # What a connection keeps on its way, at both ends, and the limit.
    assert sent < 25_000_000
    assert front.begun == ["before"]


async def test_what_comes_in_one_packet_with_a_beginning_does_not_count(front: Front) -> None:
    line = await front.line()
    large = request(b" " * BODY_BYTES_MAX, x_request_id="large")
    for part in (30, len(request()) - 1):
        await line.send((large + request(b"{")) * 2 + request()[:part])
        assert [(await line.reply()).status for _ in range(4)] == [400] * 4
        assert (await line.ask(request()[part:])).status == 200


async def test_time_does_not_run_for_a_request_that_waits_for_its_turn(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "request_seconds", 0.5)
    front.gates["a"] = asyncio.Event()
    line = await front.line()
    await line.send(request(x_request_id="a") + request(x_request_id="b")[:-1])
    await until(lambda: front.begun == ["a"])
    began = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > began + 0.6)
    monkeypatch.setattr(Intake, "request_seconds", 20)  # what is left of it is not to pass here
    front.gates["a"].set()
    assert (await line.reply()).headers["x-request-id"] == "a"
    connection: Any
    (connection,) = front.server.server_state.connections
    assert connection.ends_at > began + 0.6 + 20
    reply = await line.ask(request()[-1:])
    assert (reply.status, reply.headers["x-request-id"]) == (200, "b")


async def test_what_follows_a_body_is_a_request_of_its_own(front: Front) -> None:
    line = await front.line()
    hidden = request(x_request_id="hidden")
    await line.send(request(hidden, x_request_id="outer"))
    # The body was read as a body, whatever it looks like.
    assert (await line.reply()).status == 400
    assert not front.begun
    # A length that is too short leaves garbage, which ends the connection, answered or not.
    short = request(x_request_id="short").replace(
        b"Content-Length: %d" % len(BODY), b"Content-Length: 2"
    )
    await line.send(short)
    replies = [await line.reply()]
    if "x-request-id" in replies[0].headers:
        replies.append(await line.reply())
    assert [reply.status for reply in replies] == [400] * len(replies)
    assert await line.is_closed()
    assert not front.begun


async def test_nothing_behind_a_last_request_is_carried_out(front: Front) -> None:
    for last in (
        request(x_request_id="last", connection="close"),
        request(b"{", x_request_id="last", connection="close"),
        request(x_request_id="last", key="", connection="close"),
    ):
        front.begun.clear()
        line = await front.line()
        await line.send(last + request(x_request_id="behind") * 3)
        assert (await line.reply()).headers["x-request-id"] == "last"
        assert await line.is_closed()
        other = await front.line()
        await other.ask(request(x_request_id="other"))
        assert "behind" not in front.begun


async def test_a_body_that_is_too_large_costs_only_itself(front: Front) -> None:
    line = await front.line()
    large = request(b" " * (BODY_BYTES_MAX + 1), x_request_id="large")
    await line.send(request(x_request_id="a") + large + request(x_request_id="b"))
    replies = [await line.reply() for _ in range(3)]
    assert [(one.status, one.headers["x-request-id"]) for one in replies] == [
        (200, "a"), (413, "large"), (200, "b"),
    ]  # fmt: skip
    assert front.begun == ["a", "b"]


async def test_who_expects_to_send_too_much_is_refused(front: Front) -> None:
    line = await front.line()
    body = b" " * (BODY_BYTES_MAX + 1)
    await line.send(request(body, expect="100-continue").removesuffix(body))
    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await line.ask(body)).status == 413
    assert (await line.ask(request())).status == 200


async def test_a_call_that_is_abandoned_before_its_end_is_not_begun(front: Front) -> None:
    for part in (request()[:40], request()[:-1], CHUNKED + b"5\r\n{", CHUNKED + b"0\r\n"):
        line = await front.line()
        await line.send(part)
        line.writer.transport.abort()
    slow = await front.line()
    await slow.send(request()[:-5])
    other = await front.line()
    assert (await other.ask(request(x_request_id="other"))).status == 200
    assert front.begun == ["other"]
    assert (await slow.ask(request()[-5:])).status == 200


async def test_many_pipelined_requests_are_answered_in_order(front: Front) -> None:
    line = await front.line()
    names = [f"r{number}" for number in range(300)]
    data = b"".join(
        request(b"{", x_request_id=name) if at % 7 == 3 else request(x_request_id=name)
        for at, name in enumerate(names)
    )
    sending = asyncio.create_task(line.send(data))
    replies = [await line.reply() for _ in names]
    await sending
    assert [reply.headers["x-request-id"] for reply in replies] == names
    assert [reply.status for reply in replies] == [400 if at % 7 == 3 else 200 for at in range(300)]


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


async def test_an_answer_nobody_takes_harms_nobody(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for number in range(20):
        name = f"gone{number}"
        front.gates[name] = asyncio.Event()
        line = await front.line()
        await line.send(request(x_request_id=name) * 2)
        await until(partial(front.begun.__contains__, name))
        # Gone, or with its other half open: what is written is refused, or read by nobody.
        if number % 2:
            line.writer.transport.abort()
        else:
            with contextlib.suppress(OSError):
                line.writer.write_eof()
        front.gates[name].set()
    other = await front.line()
    assert (await other.ask(request())).status == 200
    assert [record.message for record in caplog.records] == []
