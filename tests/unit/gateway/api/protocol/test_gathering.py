"""What is written in one turn leaves in one write, whole and in order, however the answer ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.api.protocol.gathering import Gathering
from tests.waiting import one_turn, until

HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"4")],
}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"
LAST = ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


class Transport:
    """A connection that remembers what became of it."""

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.done.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """Nothing more comes anyway."""

    resume_reading = pause_reading

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("::1", 7)}.get(name)


class Connection:
    """One of uvicorn's, with an application behind it whose body waits where a test wants it."""

    def __init__(self) -> None:
        config = uvicorn.Config(
            self.answer, interface="asgi3", lifespan="off", log_config=None, server_header=False
        )
        self.transport = Transport()
        self.body = asyncio.Event()
        self.body.set()
        self.protocol = Gathering(config, ServerState(), {})
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]  # as far as is used

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        assert scope["client"] == ("::1", 7)
        await receive()
        await send(HEAD)
        await self.body.wait()
        await send({"type": "http.response.body", "body": b"body"})

    def ask(self, method: str = "GET", **headers: str) -> None:
        lines = [f"{method} / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self.protocol.data_received("\r\n".join([*lines, "", ""]).encode())


@pytest.fixture
async def connection() -> Any:  # noqa: ANN401 - of the kind above
    made = Connection()
    yield made
    if made.protocol.timeout_keep_alive_task is not None:
        made.protocol.timeout_keep_alive_task.cancel()


async def test_head_and_body_leave_together(connection: Connection) -> None:
    connection.ask()
    await until(lambda: bool(connection.transport.done))
    connection.ask()
    await until(lambda: len(connection.transport.done) > 1)
    assert connection.transport.done == [ANSWER, ANSWER]


async def test_answers_of_one_turn_leave_in_order() -> None:
    connection = Connection()
    connection.ask()
    connection.ask(connection="close")
    await until(lambda: connection.transport.is_closed)
    assert b"".join(connection.transport.done) == ANSWER + LAST


async def test_a_head_does_not_wait_for_a_body_of_another_turn(connection: Connection) -> None:
    connection.body.clear()
    connection.ask()
    await until(lambda: bool(connection.transport.done))
    connection.body.set()
    await until(lambda: len(connection.transport.done) > 1)
    assert connection.transport.done == [ANSWER.removesuffix(b"body"), b"body"]


async def test_a_head_alone_leaves(connection: Connection) -> None:
    connection.ask("HEAD")
    await until(lambda: bool(connection.transport.done))
    assert connection.transport.done == [ANSWER.removesuffix(b"body")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_connection_is_closed_behind_the_answer(method: str) -> None:
    connection = Connection()
    connection.ask(method, connection="close")
    await until(lambda: connection.transport.is_closed)
    assert connection.transport.done == [LAST if method == "GET" else LAST.removesuffix(b"body")]


async def test_whoever_has_gone_is_written_nothing() -> None:
    connection = Connection()
    connection.protocol.transport.write(b"late")
    connection.transport.is_closed = True
    await one_turn()
    assert connection.transport.done == []
