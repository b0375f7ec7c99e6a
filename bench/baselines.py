"""What the gateway is compared with, each a server of its own.

``python -m bench.baselines hello BYTES`` is a plain ASGI application that parses the body and
answers a constant of so many bytes: what uvicorn costs with nothing behind it. ``naive REDIS_URL``
does check and track the way one begins: a typed Litestar handler for each, which awaits redis-py,
one call at a time on a connection; the scripts are ours. ``relay REDIS_URL BYTES`` is the least
that can be put between HTTP and Redis: it looks at the path and at nothing else of a request, asks
for the script with words packed beforehand, over the pipe of the gateway, and answers a constant.
What a gateway reaches on the same cores lies below it.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import click
import msgspec
import uvicorn
import uvloop
from litestar import Litestar, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import Parameter
from redis.asyncio import ConnectionPool, Redis

from bench.commands import OPERATIONS, command
from bench.stage import KEY, PARTITIONS
from gateway.amounts import format_units, parse_units
from gateway.keys import customer_keys
from gateway.messages.balances import CheckRequest, TrackRequest
from gateway.rows import decode_row
from gateway.scripts import Context, Description, Part, Scripts, Use
from gateway.scripts.pipe import Pipe

PRECISION = 6
BACKLOG = 2048
TIMEOUT_SECONDS = 5.0


class NaiveBalance(msgspec.Struct):
    """What is left."""

    feature_id: str
    granted: msgspec.Raw
    remaining: msgspec.Raw
    usage: msgspec.Raw
    unlimited: bool


class NaiveAnswer(msgspec.Struct):
    """The answer to a check or a track."""

    allowed: bool
    customer_id: str
    entity_id: str | None
    balance: NaiveBalance


Token = Annotated[str, Parameter(header="Authorization")]


def hello(answer_bytes: int) -> Any:  # noqa: ANN401 - an ASGI application
    """Return an application that parses and answers, and nothing else."""
    decode = msgspec.json.Decoder().decode
    length = str(answer_bytes).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    head = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": b"x" * answer_bytes}

    async def application(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001
        content = (await receive())["body"]
        if content:
            decode(content)
        await send(head)
        await send(body)

    return application


def naive(redis_url: str) -> Litestar:
    """Return the application one would write first."""
    scripts = Scripts(Redis.from_url(redis_url))

    @post("/v1/balances.check", status_code=200)
    async def check(data: CheckRequest, authorization: Token) -> NaiveAnswer:
        _admit(authorization)
        keys = customer_keys("sandbox", data.customer_id, PARTITIONS)
        part = Part(data.feature_id, _units(data.required_balance))
        reply = await scripts.check(keys, _now_ms(), data.entity_id or "", part)
        return _answer(data, reply.descriptions[0], allowed=reply.allowed)

    @post("/v1/balances.track", status_code=200)
    async def track(data: TrackRequest, authorization: Token) -> NaiveAnswer:
        _admit(authorization)
        keys = customer_keys("sandbox", data.customer_id, PARTITIONS)
        context = Context(keys, "sandbox", data.customer_id, "req", _now_ms())
        parts = [Part(data.feature_id or "", _units(data.value))]
        reply = await scripts.track(context, Use(data.entity_id or "", parts, context.now_ms))
        return _answer(data, reply.descriptions[0][0], allowed=True)

    return Litestar([check, track], openapi_config=None)


def _admit(token: str) -> None:
    if token != f"Bearer {KEY}":
        raise NotAuthorizedException


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _units(amount: msgspec.Raw) -> int:
    return parse_units(bytes(amount) or b"1", PRECISION, field="value")


def _answer(data: CheckRequest | TrackRequest, seen: Description, *, allowed: bool) -> NaiveAnswer:
    """Show the balance: the entity's own, else the customer's."""
    row = decode_row((seen.own_rows or seen.rows).split("\n")[0])
    used = int((seen.own_live or seen.live).split()[0])
    granted, left, usage = (_amount(units) for units in (row.grant, row.grant - used, used))
    balance = NaiveBalance(data.feature_id or "", granted, left, usage, row.unlimited)
    return NaiveAnswer(allowed, data.customer_id, data.entity_id, balance)


def _amount(units: int) -> msgspec.Raw:
    return msgspec.Raw(format_units(units, PRECISION).encode())


class _Relay(asyncio.Protocol):
    """One connection, on which each packet is a request; one for another path is answered too."""

    def __init__(self, pipe: Pipe, commands: Mapping[bytes, bytes], answer: bytes) -> None:
        self._pipe, self._commands, self._answer = pipe, commands, answer
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Ask Redis."""
        command = self._commands.get(data[: data.find(b" ", 5)])
        if command is None:
            self._give(None)
        else:
            self._pipe.send(command, self._give)

    def _give(self, reply: object) -> None:
        if isinstance(reply, Exception):
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(self._answer)


async def relay(redis_url: str, answer_bytes: int) -> None:
    """Serve as the relay until told to stop."""
    pipe = Pipe(ConnectionPool.from_url(redis_url, protocol=2), timeout_seconds=TIMEOUT_SECONDS)
    commands = {
        f"POST /v1/balances.{operation}".encode(): command(operation, "cus_0")
        for operation in OPERATIONS
    }
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    answer = head % answer_bytes + b"x" * answer_bytes
    listener, address = _listen()
    made = partial(_Relay, pipe, commands, answer)
    server = await asyncio.get_running_loop().create_server(made, sock=listener)
    click.echo(f"relay at {address}")
    gc.freeze()
    await server.serve_forever()


def _listen() -> tuple[socket.socket, str]:
    """Return a socket on a free port, and its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@click.command()
@click.argument("kind", type=click.Choice(["hello", "naive", "relay"]))
@click.argument("words", nargs=-1, required=True)
def main(*, kind: str, words: tuple[str, ...]) -> None:
    """Serve until told to stop, on a free port, with the options the gateway gives its server."""
    if kind == "relay":
        redis_url, answer_bytes = words
        uvloop.run(relay(redis_url, int(answer_bytes)))
        return
    (word,) = words
    application: Any = hello(int(word)) if kind == "hello" else naive(word)
    listener, address = _listen()
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        log_config=None,
        backlog=BACKLOG,
    )
    click.echo(f"{kind} at {address}")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
