"""What is asked ahead of its answers, or answered and not taken, or asks for another protocol, on
both tiers: kept within bounds, and answered like any other request.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.fixtures.fronts import Front
from tests.wire import request

PACKET_BYTES = 256 * 1024

UPGRADES: dict[str, dict[str, Any]] = {
    "HTTP/2": {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    },
    "web socket": {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"},
}


def connection_of(front: Front) -> Any:  # noqa: ANN401 - a protocol of either tier
    (connection,) = front.server.server_state.connections
    return connection


async def test_who_asks_far_ahead_is_not_read_any_further(front: Front) -> None:
    line = await front.line()
    one = request(b"{}", name="features.list")
    sending = asyncio.create_task(line.send(one * (20 * PACKET_BYTES // len(one))))
    most = 0
    for _ in range(300):
        assert (await line.reply()).status == 200
        most = max(most, len(connection_of(front).pipeline))
    sending.cancel()
    assert 0 < most <= 2 * PACKET_BYTES // len(one)


async def test_who_takes_no_answers_is_not_read_any_further(front: Front) -> None:
    line = await front.line()
    await line.ask(request(x_request_id="first"))
    connection = connection_of(front)
    connection.pause_writing()
    await line.send(request(x_request_id="second"))
    other = await front.line()
    assert (await other.ask(request(x_request_id="other"))).status == 200
    assert front.begun == ["first", "other"]
    connection.resume_writing()
    assert (await line.reply()).headers["x-request-id"] == "second"
    assert (await line.ask(request())).status == 200


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("protocol", UPGRADES)
async def test_who_asks_for_another_protocol_is_answered_in_this_one(
    front: Front, protocol: str, parts: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    line = await front.line()
    asking = request(x_request_id="asking", **UPGRADES[protocol])
    data = asking + request(b"{", x_request_id="wrong", **UPGRADES[protocol])
    data += asking * 2 + request(x_request_id="behind")
    step = -(-len(data) // parts)
    for again in ("first", "again"):  # Of which the second is known.
        for at in range(0, len(data), step):
            await line.send(data[at : at + step])
        replies = [await line.reply() for _ in range(5)]
        told = [(reply.status, reply.headers["x-request-id"]) for reply in replies]
        assert told == [
            (200, "asking"), (400, "wrong"), (200, "asking"), (200, "asking"), (200, "behind"),
        ], again  # fmt: skip
    assert (await line.ask(asking)).json["customer_id"]
    assert [record.message for record in caplog.records] == []


async def test_who_asks_for_another_protocol_and_to_close_is_closed(front: Front) -> None:
    line = await front.line()
    await line.send(request(connection="upgrade, close", upgrade="h2c") + request())
    assert (await line.reply()).status == 200
    assert await line.is_closed()
