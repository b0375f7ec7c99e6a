"""What a check and a track cost through HTTP, against what the parts cost by themselves.

In one run, round by round in turn: the gateway's fast lane; its plain ASGI tier; a plain ASGI
"hello" on the same server that parses the same body and answers as many bytes; and Redis asked for
the same script over as many connections, one call at a time. The median of the rounds counts, and
the ratios inside the run; the load shares the cores with what it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hiredis
import httpx
import msgspec
from redis.asyncio import Redis

from bench.load import Plan, Tally, put_on
from gateway.embedded import EmbeddedServer
from gateway.keys import customer_keys
from gateway.scripts.composition import compose

KEY = "am_sk_test_0123456789abcdefghij"
PARTITIONS = 64
CUSTOMERS = 64
ROUNDS, SECONDS = 5, 3.0
SMOKE_ROUNDS, SMOKE_SECONDS = 1, 0.3
CONNECTIONS = (16, 64)
TICKS = os.sysconf("SC_CLK_TCK")
OPERATIONS = ("check", "track")


class Line(msgspec.Struct, frozen=True):
    """One way through, at one number of connections; the medians of the rounds."""

    way: str
    connections: int
    rate: float
    cpu_us: float
    """Of the server process, for each answer."""
    p50_us: float
    p99_us: float


class Result(msgspec.Struct, frozen=True):
    """The table, with a hash of what was answered."""

    rounds: int
    seconds: float
    lines: list[Line]
    answers: str

    def table(self) -> str:
        """Return the table as text, with the ratios."""
        head = f"{'way':<16}{'conns':>6}{'a second':>10}{'CPU µs':>8}{'p50 µs':>8}{'p99 µs':>8}"
        rows = [
            f"median of {self.rounds} rounds of {self.seconds:g} s",
            head + "  of redis  of hello",
        ]
        for line in self.lines:
            redis = self._of(line, f"redis {line.way.split()[-1]}")
            hello = self._of(line, "hello")
            rows.append(
                f"{line.way:<16}{line.connections:>6}{line.rate:>10.0f}{line.cpu_us:>8.1f}"
                f"{line.p50_us:>8.0f}{line.p99_us:>8.0f}{redis:>10.2f}{hello:>10.2f}"
            )
        return "\n".join([*rows, f"answers {self.answers}"])

    def _of(self, line: Line, way: str) -> float:
        found = (x for x in self.lines if (x.way, x.connections) == (way, line.connections))
        other = next(found, line)
        return line.rate / other.rate if other.rate else 0.0


class _Way(msgspec.Struct):
    """Something that answers, and the process whose time counts."""

    name: str
    plan: Plan
    pid: int


async def run(smoke: bool) -> Result:  # noqa: FBT001 - every bench takes this one switch
    """Measure every way in turn."""
    rounds, seconds = (SMOKE_ROUNDS, SMOKE_SECONDS) if smoke else (ROUNDS, SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-")))
        server = EmbeddedServer(folder)
        redis_url = server.start()
        stack.callback(server.stop)
        database = f"sqlite:///{folder / 'bench.db'}"
        lane = await stack.enter_async_context(_gateway(redis_url, database, fast_lane=True))
        bodies = await _prepare(lane[0])
        plain = await stack.enter_async_context(_gateway(redis_url, database, fast_lane=False))
        sample = await _sample(lane[0], bodies)
        hello = await stack.enter_async_context(_hello(len(sample)))
        client = await stack.enter_async_context(Redis.from_url(redis_url))
        info = await client.info("server")
        ways = [
            _Way("hello", _http_plan(hello[0], "track", bodies), hello[1]),
            *(
                _Way(f"{name} {operation}", _http_plan(base, operation, bodies), pid)
                for name, (base, pid) in (("lane", lane), ("asgi", plain))
                for operation in OPERATIONS
            ),
            *(
                _Way(f"redis {operation}", _redis_plan(redis_url, operation), info["process_id"])
                for operation in OPERATIONS
            ),
        ]
        lines = await _measure(ways, rounds, seconds)
        digest = hashlib.sha256(sample.partition(b'"balance"')[0]).hexdigest()
    return Result(rounds, seconds, lines, digest[:12])


async def _measure(ways: list[_Way], rounds: int, seconds: float) -> list[Line]:
    samples: dict[tuple[str, int], list[tuple[Tally, float]]] = {}
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for way in ways:
                plan = msgspec.structs.replace(way.plan, connections=connections, seconds=seconds)
                before = _cpu_seconds(way.pid)
                tally = await put_on(plan)
                spent = _cpu_seconds(way.pid) - before
                assert not tally.failures, f"{way.name}: {tally.failures} failures"
                samples.setdefault((way.name, connections), []).append((tally, spent))
    return [
        Line(
            name,
            connections,
            statistics.median(tally.rate for tally, _ in found),
            statistics.median(spent / tally.answers * 1e6 for tally, spent in found),
            statistics.median(tally.p50_us for tally, _ in found),
            statistics.median(tally.p99_us for tally, _ in found),
        )
        for (name, connections), found in samples.items()
    ]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.asynccontextmanager
async def _gateway(
    redis_url: str, database: str, *, fast_lane: bool
) -> AsyncIterator[tuple[str, int]]:
    env = os.environ | {
        "TALLYGATE_BOOTSTRAP_KEY": KEY,
        "TALLYGATE_HOT_TIMEOUT_MS": "5000",
        "TALLYGATE_FAST_LANE": str(fast_lane).lower(),
        "TALLYGATE_OUTBOX_MAX": "100000000",
    }
    words = ["serve", "--no-writer", "--port", "0", "--redis-url", redis_url]
    migrate = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "migrate", "--database-url", database,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await migrate.wait() == 0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words, "--database-url", database),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=env,
    )
    try:
        output: Any = process.stdout
        yield (await output.readline()).decode().split()[-1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()


HELLO = """
import asyncio, sys, msgspec, uvicorn, uvloop
decode = msgspec.json.Decoder().decode
head = {"type": "http.response.start", "status": 200, "headers": [
    (b"content-type", b"application/json"), (b"content-length", sys.argv[2].encode())]}
body = {"type": "http.response.body", "body": b"x" * int(sys.argv[2])}
async def app(scope, receive, send):
    decode((await receive())["body"])
    await send(head)
    await send(body)
config = uvicorn.Config(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none",
    lifespan="off", access_log=False, server_header=False, date_header=False, proxy_headers=False,
    log_config=None, backlog=2048)
uvicorn.Server(config).run()
"""


@contextlib.asynccontextmanager
async def _hello(answer_bytes: int) -> AsyncIterator[tuple[str, int]]:
    with _free_port() as port:
        pass
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELLO, str(port), str(answer_bytes)
    )
    try:
        async with httpx.AsyncClient() as http:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await http.post(f"http://127.0.0.1:{port}/", content=b"{}")
                    break
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield int(listener.getsockname()[1])


async def _prepare(base: str) -> dict[str, list[bytes]]:
    """Make customers with a seat that has a balance; return the bodies that ask for them."""
    async with httpx.AsyncClient(timeout=60, base_url=f"{base}/v1") as http:

        async def call(operation: str, **body: object) -> None:
            headers = {"authorization": f"Bearer {KEY}"}
            answer = await http.post(f"/{operation}", json=body, headers=headers)
            assert answer.is_success, answer.text

        calls = {"feature_id": "calls", "name": "Calls", "type": "metered", "consumable": True}
        seats = {"feature_id": "seats", "name": "Seats", "type": "metered", "consumable": False}
        await call("features.create", **calls)
        await call("features.create", **seats)
        for at in range(CUSTOMERS):
            customer = {"customer_id": f"cus_{at}"}
            await call("customers.get_or_create", **customer)
            await call("entities.create", **customer, entity_id="seat", feature_id="seats")
            grant = {"feature_id": "calls", "included_grant": 1_000_000_000}
            await call("balances.create", **customer, entity_id="seat", **grant)
    asked = [
        {"customer_id": f"cus_{at}", "entity_id": "seat", "feature_id": "calls"}
        for at in range(CUSTOMERS)
    ]
    return {
        "check": [msgspec.json.encode(one) for one in asked],
        "track": [msgspec.json.encode(one | {"value": 1}) for one in asked],
    }


async def _sample(base: str, bodies: dict[str, list[bytes]]) -> bytes:
    async with httpx.AsyncClient() as http:
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{base}/v1/balances.track"
        return (await http.post(url, content=bodies["track"][0], headers=headers)).content


def _http_plan(base: str, operation: str, bodies: dict[str, list[bytes]]) -> Plan:
    host, port = base.removeprefix("http://").split(":")
    requests = [
        f"POST /v1/balances.{operation} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies[operation]
    ]
    return Plan((host, int(port)), requests, 1, 1.0)


def _redis_plan(redis_url: str, operation: str) -> Plan:
    """Ask for the very script, with the arguments the gateway gives it."""
    function = compose().functions[operation]
    now = 1_795_000_000_000
    requests = []
    for at in range(CUSTOMERS):
        keys = customer_keys("sandbox", f"cus_{at}", PARTITIONS)
        words: list[str | int]
        if operation == "check":
            names = (keys.customer, keys.entities, keys.due)
            words = ["FCALL_RO", function, len(names), *names]
            words += [now, "seat", "{}", "", "calls", 1_000_000, 0]
        else:
            head = f"sandbox\tcus_{at}"
            words = ["FCALL", function, len(keys.own), *keys.own]
            words += [head, "req", now, "seat", "cap", "", now, "{}", "", "", "", 0]
            words += ["calls", 1_000_000, 0]
        requests.append(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]
    return Plan(redis_url.removeprefix("unix://"), requests, 1, 1.0, "redis")
