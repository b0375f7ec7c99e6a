"""What the gateway is compared with, each a server of its own.

``python -m bench.baselines hello BYTES`` is a plain ASGI application that parses the body and
answers a constant of so many bytes: what uvicorn costs with nothing behind it. ``naive REDIS_URL``
does check and track the way one begins: a typed Litestar handler for each, which awaits redis-py,
one call at a time on a connection; the scripts are ours.
"""

from __future__ import annotations

import socket
import time
from typing import Annotated, Any

import click
import msgspec
import uvicorn
from litestar import Litestar, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import Parameter
from redis.asyncio import Redis

from bench.stage import KEY, PARTITIONS
from gateway.amounts import format_units, parse_units
from gateway.keys import customer_keys
from gateway.messages.balances import CheckRequest, TrackRequest
from gateway.rows import decode_row
from gateway.scripts import Context, Description, Part, Scripts, Use

PRECISION = 6
BACKLOG = 2048


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


@click.command()
@click.argument("kind", type=click.Choice(["hello", "naive"]))
@click.argument("word")
def main(*, kind: str, word: str) -> None:
    """Serve until told to stop, on a free port, with the options the gateway gives its server."""
    application: Any = hello(int(word)) if kind == "hello" else naive(word)
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
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
    click.echo(f"{kind} at http://127.0.0.1:{listener.getsockname()[1]}")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
