"""A request whose head was parsed before is answered as if it were parsed again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.api.protocol import heads as module
from gateway.api.protocol.lane import FastLane
from gateway.api.protocol.leaving import leave
from tests.fixtures.fronts import Front
from tests.waiting import until
from tests.wire import Line, check_body, request

SENT = request(x_request_id="a")
HEAD = SENT.removesuffix(check_body())

pytestmark = pytest.mark.parametrize("front", ["lane"], indirect=True)


def heads(front: Front) -> Any:  # noqa: ANN401 - a dict, of the class the server was given
    (connection, *_) = front.server.server_state.connections
    assert isinstance(connection, FastLane)
    return connection.heads.known


async def known(front: Front) -> Line:
    """Return a connection on which the head is known, and nothing waits."""
    line = await front.line()
    first = await line.ask(SENT)
    assert HEAD in heads(front)
    assert await line.ask(SENT) == first
    return line


async def test_a_known_head_is_answered_alike_on_every_connection(front: Front) -> None:
    line, other = await known(front), await front.line()
    expected = await line.ask(SENT)
    assert await other.ask(SENT) == expected
    assert front.begun == ["a"] * 4
    assert len(heads(front)) == 1


async def test_behind_a_known_head_a_body_may_come_in_parts(front: Front) -> None:
    line = await known(front)
    expected = await line.ask(SENT)
    await line.send(SENT[:-5])
    await line.send(SENT[-5:-1])
    assert await line.ask(SENT[-1:]) == expected
    for byte in SENT:
        await line.send(bytes([byte]))
    assert await line.reply() == expected


async def test_requests_that_come_together_are_parsed(front: Front) -> None:
    line = await known(front)
    front.gates["b"] = asyncio.Event()
    await line.send(SENT * 2 + request(x_request_id="b") + SENT[:-1])
    assert [(await line.reply()).headers["x-request-id"] for _ in range(2)] == ["a", "a"]
    await line.send(SENT[-1:] + SENT)
    await until(lambda: front.begun[-1] == "b")
    front.gates["b"].set()
    assert [(await line.reply()).headers["x-request-id"] for _ in range(3)] == ["b", "a", "a"]
    assert front.begun[-4:] == ["a", "b", "a", "a"]


async def test_another_body_behind_a_known_head_is_another_request(front: Front) -> None:
    line = await known(front)
    broken = HEAD + b"{" * len(check_body())
    assert (await line.ask(broken)).status == 400
    assert (await line.ask(SENT)).status == 200


async def test_a_head_that_closes_or_has_chunks_is_not_remembered(front: Front) -> None:
    chunked = request(b"", length=False, transfer_encoding="chunked")
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(check_body()), check_body())
    line = await front.line()
    assert (await line.ask(chunked + body)).status == 200
    assert (await line.ask(request(connection="close"))).status == 200
    assert await line.is_closed()
    await known(front)
    assert list(heads(front)) == [HEAD]


async def test_who_is_left_is_told_whatever_is_known(front: Front) -> None:
    line = await known(front)
    for connection in front.server.server_state.connections:
        leave(connection)  # type: ignore[arg-type]  # of the one kind this server makes
    assert (await line.ask(SENT)).headers["connection"] == "close"
    assert await line.is_closed()


async def test_so_many_heads_are_remembered_and_none_that_is_long(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEADS_MAX", 2)
    line = await known(front)
    for name in ("b", "c", "d"):
        assert (await line.ask(request(x_request_id=name))).status == 200
        assert len(heads(front)) <= 2
    before = set(heads(front))
    assert (await line.ask(request(x_request_id="e" * 100, x_other="f" * 2_048))).status == 200
    assert set(heads(front)) == before
