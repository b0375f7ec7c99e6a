"""A small installation: PostgreSQL, Redis, gateways without a writer, and the writers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import redis

from gateway.embedded.server import find_binary
from persistence import migrate
from tests.ports import free_ports
from tests.torture.processes import KEY, ROOT, STOP_SECONDS, Exit, Part, Postgres, Warden
from tests.waiting import wait_until

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Plain HTTP is all there is, and to read whom to trust takes long."""
START_SECONDS = 90.0
"""Until a process has to be ready; many more of them may be starting on the same machine."""

SETTINGS = {
    "TALLYGATE_BOOTSTRAP_KEY": KEY,
    "TALLYGATE_PARTITIONS": "8",
    "TALLYGATE_LOG_LEVEL": "warning",
    "TALLYGATE_REDIS_TIMEOUT_MS": "1000",
    "TALLYGATE_SQL_TIMEOUT_MS": "2000",
    "TALLYGATE_RESTORE_WAIT_MS": "1000",
    "TALLYGATE_DRAIN_SECONDS": "5",
    # As often as it goes, so that customers leave and come back under load.
    "TALLYGATE_EVICT_IDLE_SECONDS": "1",
    "TALLYGATE_DRIFT_PER_SECOND": "10",
    # Small, so that a kill meets many a batch, and its trim.
    "TALLYGATE_WRITER_BATCH_MAX": "200",
}


class Fleet:
    """The installation."""

    def __init__(self, folder: Path, *, writers: int = 2, gateways: int = 2) -> None:
        self.folder = folder
        self._warden = Warden()
        self.postgres = Postgres(folder, self._warden)
        self.redis_url = f"unix://{quote(str(folder / 'redis.sock'))}"
        self.redis = Part(
            "redis",
            _redis_command(folder),
            folder,
            warden=self._warden,
            environment={"LC_ALL": "C"},
        )
        self._environment = {
            **{name: text for name, text in os.environ.items() if name[:10] != "TALLYGATE_"},
            **SETTINGS,
            "TALLYGATE_DATA_DIR": str(folder / "data"),
            "TALLYGATE_REDIS_URL": self.redis_url,
            "TALLYGATE_DATABASE_URL": self.postgres.url,
        }
        ports = free_ports(gateways)
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        served = [
            self._own(f"gateway-{at}", "serve", "--no-writer", "--port", str(port), says="API page")
            for at, port in enumerate(ports, 1)
        ]
        written = [
            self._own(f"writer-{at + 1}", "writer", says="writing ") for at in range(writers)
        ]
        self._above = [*served, *written]
        self.parts: list[Part] = [self.postgres, self.redis, *self._above]
        self.start_seconds = 0.0
        """What the gateways took to start."""
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def _own(self, name: str, *arguments: str, says: str) -> Part:
        command = [sys.executable, "-m", "gateway", *arguments]
        return Part(
            name,
            command,
            self.folder,
            warden=self._warden,
            environment=self._environment,
            ready_text=says,
        )

    async def start(self) -> None:
        """Start everything in order; return when it serves."""
        self._keep([self.postgres, self.redis])
        await self.until(self._stores_answer)
        await asyncio.to_thread(migrate.upgrade, self.database_url)
        began = time.monotonic()
        self._keep(self._above)
        await self.until(self._gateways_answer)
        self.start_seconds = time.monotonic() - began

    def _keep(self, parts: list[Part]) -> None:
        self._keepers += [asyncio.create_task(part.keep(self._stopping)) for part in parts]

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL."""
        return self.postgres.url.replace("postgresql:", "postgresql+psycopg:")

    async def until(
        self, condition: Callable[[], bool], seconds: float = START_SECONDS, what: str = ""
    ) -> None:
        """Return once a condition holds; a process that cannot be kept shows here too."""
        for keeper in self._keepers:
            if keeper.done():
                keeper.result()
        explain = what or f"not ready in time; see the logs in {self.folder}"
        await asyncio.to_thread(wait_until, condition, seconds, lambda: explain)

    async def recovered(self) -> None:
        """Return when every process runs and answers again."""
        await self.until(lambda: all(part.is_running for part in self.parts))
        await self.until(self._stores_answer)
        await self.until(self._gateways_answer)

    def _stores_answer(self) -> bool:
        try:
            with redis.Redis.from_url(self.redis_url) as client:
                client.ping()
            with psycopg.connect(self.postgres.url, connect_timeout=5):
                return True
        except (redis.RedisError, psycopg.Error):
            return False

    def _gateways_answer(self) -> bool:
        try:
            with httpx.Client(verify=NO_TLS) as client:
                return all(client.get(f"{url}/ready").status_code == 200 for url in self.urls)
        except httpx.TransportError:
            return False

    def exits(self) -> Iterator[Exit]:
        """Yield every end nobody asked for."""
        for part in self.parts:
            yield from part.exits

    async def run_command(self, *arguments: str, seconds: float) -> tuple[int, str]:
        """Run a command of the gateway on these stores; return its exit code and its output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
            env=self._environment,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), seconds)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return process.returncode or 0, output.decode(errors="replace").strip()

    async def retire(self, kind: str) -> bool:
        """End the processes of a kind; return whether they followed in time."""
        parts = [part for part in self.parts if part.kind == kind]
        for part in parts:
            part.retire()
        await _ended(parts)
        return not any(part.is_running for part in parts)

    def log_lines(self, text: str) -> list[str]:
        """Return the lines of every log that hold a text."""
        return [
            f"{part.name}: {line}"
            for part in self.parts
            for line in part.log.read_text(errors="replace").splitlines()
            if text in line
        ]

    async def stop(self) -> None:
        """Stop everything in order, then kill what did not follow; safe at any time."""
        self._stopping.set()
        try:
            for parts in (self._above, [self.redis, self.postgres]):
                for part in parts:
                    part.send(part.end_signal)
                await _ended(parts)
        finally:
            for part in self.parts:
                part.send(signal.SIGKILL)
            await asyncio.gather(*self._keepers, return_exceptions=True)
            await asyncio.to_thread(self._warden.end)


async def _ended(parts: list[Part]) -> None:
    with contextlib.suppress(AssertionError):  # what runs on is killed
        await asyncio.to_thread(
            wait_until, lambda: not any(part.is_running for part in parts), STOP_SECONDS
        )


def _redis_command(folder: Path) -> list[str]:
    home = folder / "redis"
    home.mkdir()
    options = {
        "port": "0",
        "unixsocket": str(folder / "redis.sock"),
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        # Small, so that kills meet the rewriting of the file too.
        "auto-aof-rewrite-min-size": "1mb",
        "maxmemory-policy": "noeviction",
    }
    return [str(find_binary()), *(x for name, text in options.items() for x in (f"--{name}", text))]
