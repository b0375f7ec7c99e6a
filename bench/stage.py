"""The servers a bench measures, each a process of its own, and calls that prepare what it asks."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import httpx
import msgspec
import psutil
from redis.asyncio import Redis

from bench.load import Plan
from gateway.config import PREFIX
from gateway.embedded.server import EmbeddedServer
from gateway.scripts import Scripts
from persistence.migrate import upgrade

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP: to read whom to trust takes long."""
KEY = "am_sk_test_0123456789abcdefghij"
PARTITIONS = 64
READY_SECONDS = 30.0
POLL_SECONDS = 0.02
TOLD_MAX = 400
SHOWN = ("feature_id", "granted", "remaining", "usage", "unlimited")
"""Of a balance; what depends on when it was made is no part of an answer's hash."""


class Served(NamedTuple):
    """A server that speaks HTTP."""

    base: str
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.base.removeprefix("http://").split(":")
        return host, int(port)


class Stage(NamedTuple):
    """A Redis and an SQLite file that gateways share."""

    redis_url: str
    database_url: str
    client: Redis
    scripts: Scripts
    redis_pid: int


@contextlib.asynccontextmanager
async def stage(*, appendonly: bool = True) -> AsyncIterator[Stage]:
    """Start a Redis and make an SQLite file; both are gone after the block."""
    with tempfile.TemporaryDirectory(prefix="tg-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedServer(Path(folder))
        url = server.start()
        try:
            async with Redis.from_url(url) as client:
                # A rewrite of the file in the middle of a round would be measured with it.
                await client.config_set("auto-aof-rewrite-percentage", 0)
                if not appendonly:
                    await client.config_set("appendonly", "no")
                database_url = f"sqlite:///{folder}/bench.db"
                upgrade(database_url)
                scripts = Scripts(client)
                await scripts.load()
                yield Stage(url, database_url, client, scripts, cast("int", server.pid))
        finally:
            server.stop()


@contextlib.asynccontextmanager
async def gateway(
    stage: Stage, *, fast_lane: bool = True, **settings: object
) -> AsyncIterator[Served]:
    """Start a gateway without a writer; settings are those of its README, in lower case."""
    given = {
        "hot_timeout_ms": 5000,
        "outbox_max": 100_000_000,
        "fast_lane": str(fast_lane).lower(),
        "bootstrap_key": KEY,
    }
    environment = {
        f"TALLYGATE_{name.upper()}": str(one) for name, one in (given | settings).items()
    }
    words = ("gateway", "serve", "--no-writer", "--port", "0", *_urls(stage))
    async with program(*words, environment=environment) as served:
        yield served


@contextlib.asynccontextmanager
async def writer(stage: Stage) -> AsyncIterator[int]:
    """Start a writer; yield its process number once it says that it writes."""
    async with _process("gateway", "writer", *_urls(stage)) as process:
        output: Any = process.stdout
        async with asyncio.timeout(READY_SECONDS):
            await output.readline()
        yield process.pid


@contextlib.asynccontextmanager
async def program(*words: str, environment: dict[str, str] | None = None) -> AsyncIterator[Served]:
    """Run a module that prints where it listens at the end of its first line."""
    async with _process(*words, environment=environment) as process:
        output: Any = process.stdout
        async with asyncio.timeout(READY_SECONDS):
            base = (await output.readline()).decode().split()[-1]
            async with httpx.AsyncClient(base_url=base, verify=NO_TLS) as http:
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        await http.get("/ready")
                        break
                    await asyncio.sleep(POLL_SECONDS)
        yield Served(base, process.pid)


@contextlib.asynccontextmanager
async def _process(
    *words: str, environment: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_surroundings() | (environment or {}),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.communicate()


def _surroundings() -> dict[str, str]:
    """Return the environment without its settings: those of a bench are what it measures with."""
    return {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}


def _urls(stage: Stage) -> tuple[str, ...]:
    return "--redis-url", stage.redis_url, "--database-url", stage.database_url


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has taken."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def memory_mib(pid: int) -> float:
    """Return the memory a process holds."""
    return float(psutil.Process(pid).memory_info().rss / 2**20)


class CallError(Exception):
    """A gateway refused a call."""

    def __init__(self, operation: str, status: int, text: str) -> None:
        """Keep the status; of a long text the beginning tells enough."""
        super().__init__(f"{operation}: {status} {text[:TOLD_MAX]}")
        self.status = status


class Api:
    """Calls of a gateway that have to succeed; raises ``CallError``."""

    def __init__(self, base: str, key: str = KEY) -> None:
        """Ask the gateway at an address."""
        self._http = httpx.AsyncClient(
            base_url=f"{base}/v1",
            timeout=60,
            headers={"authorization": f"Bearer {key}"},
            verify=NO_TLS if base.startswith("http:") else True,
        )

    async def __aenter__(self) -> Self:
        """Open nothing; connections are opened by calls."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, operation: str, **body: object) -> dict[str, Any]:
        """Return the answer to one call."""
        answer = await self._http.post(f"/{operation}", json=body)
        if not answer.is_success:
            raise CallError(operation, answer.status_code, answer.text)
        try:
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise CallError(operation, answer.status_code, f"is no gateway's: {error}") from error

    async def feature(self, feature_id: str, *, consumable: bool = True) -> None:
        """Make a metered feature."""
        named = {"feature_id": feature_id, "name": feature_id, "type": "metered"}
        await self.call("features.create", **named, consumable=consumable)

    async def digest(self, operation: str, bodies: Iterable[dict[str, object]]) -> str:
        """Ask one after the other; return a hash of what was answered."""
        hashed = hashlib.sha256()
        for body in bodies:
            answer = await self.call(operation, **body)
            balance = answer.get("balance") or {}
            hashed.update(
                msgspec.json.encode(
                    [
                        answer.get("allowed"),
                        answer.get("value"),
                        answer.get("success"),
                        *(balance.get(name) for name in SHOWN),
                    ]
                )
            )
        return hashed.hexdigest()[:12]


def call_of(at: int) -> dict[str, object]:
    """Return what is asked of a customer ``with_calls`` has made."""
    return {"customer_id": f"cus_{at}", "feature_id": "calls"}


async def with_calls(api: Api, customers: int) -> str:
    """Make customers who may call as often as they like; return the hash of a first track each."""
    await api.feature("calls")
    for at in range(customers):
        await api.call("customers.get_or_create", customer_id=f"cus_{at}")
        await api.call("balances.create", **call_of(at), included_grant=1_000_000_000)
    return await api.digest("balances.track", map(call_of, range(customers)))


def request(
    operation: str,
    body: object,
    *,
    host: str = "bench",
    path: str = "",
    key: str = KEY,
    header: tuple[str, str] | None = None,
) -> bytes:
    """Return a call as it is sent, perhaps with one more ``header``."""
    content = msgspec.json.encode(body)
    more = "{}: {}\r\n".format(*header) if header else ""
    head = (
        f"POST {path}/v1/{operation} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n{more}\r\n"
    )
    return head.encode() + content


def http_plan(served: Served, sequences: list[list[bytes]], connections: int = 64) -> Plan:
    """Return a load of one gateway; how long is the bench's to say."""
    return Plan(address=served.address, sequences=sequences, connections=connections)
