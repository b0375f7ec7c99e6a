"""The command line: ``tallygate serve``, ``writer``, ``migrate``, and groups of commands.

Serving is done here rather than by a server's own command so that one process starts and stops
everything in order: the embedded server first and last, the parts, HTTP, then requests drained, the
outbox flushed, clients closed. Whatever goes wrong at start is one line on standard error and exit
code 1, never a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import Any

import click
import msgspec
import uvicorn

from gateway import metrics
from gateway.api.exchange import Answers
from gateway.api.lane import make_lane
from gateway.api.openapi import package_version
from gateway.api.operations import OPERATIONS
from gateway.api.plain import PlainCalls
from gateway.app import Runtime, build_app, make_answers, make_plain, started
from gateway.clients import make_database, make_guard
from gateway.clock_commands import clock
from gateway.config import Settings
from gateway.console import data_dir, database_url, read_settings, redis_url, run
from gateway.embedded import EmbeddedServer
from gateway.errors import GatewayError, InvalidRequestError, StartError
from gateway.guard import Guard
from gateway.key_commands import PREFIXES, keys, new_secret
from gateway.ports import WallClock
from gateway.report_commands import report
from gateway.start_checks import check_redis, check_sql
from gateway.tasks import WriterTask
from gateway.verify_commands import repair, verify
from gateway.wall import SystemClock
from gateway.webhook_commands import webhooks
from persistence.catalog import SqlCatalog
from persistence.migrate import head, upgrade

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than clients keep theirs, so that none sends a
request into one that is just being closed.
"""

BACKLOG = 2048
"""Connections that wait to be accepted; one published client opens one for each request."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command line."""
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except GatewayError as error:
        click.echo(f"tallygate: {error.message}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)


@click.group()
@click.version_option(package_version(), prog_name="tallygate")
def commands() -> None:
    """Check and track usage from Redis, keep the record in SQL."""


commands.add_command(clock)
commands.add_command(keys)
commands.add_command(report)
commands.add_command(repair)
commands.add_command(verify)
commands.add_command(webhooks)


@commands.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=int, metavar="PORT", help="Port to listen on; 0 takes a free one.")
@redis_url
@database_url
@data_dir
@click.option("--no-writer", is_flag=True, help="The writer runs in another process.")
def serve(*, no_writer: bool, **given: object) -> None:
    """Serve the HTTP API; without a Redis, start one in the data folder."""
    settings = read_settings(**given, writer=False if no_writer else None)
    with _listening_socket(settings) as listener, _with_redis(settings) as ready:
        run(_serve(ready, listener))


@commands.command()
@redis_url
@database_url
def writer(**given: object) -> None:
    """Carry changes from Redis to SQL; for gateways that serve with --no-writer."""
    settings = read_settings(**given)
    if settings.is_embedded:
        raise StartError("the embedded server has its writer inside tallygate serve")
    with _shown_metrics(settings):
        run(_write(settings))


@commands.command()
@database_url
@data_dir
def migrate(**given: object) -> None:
    """Bring the SQL schema to this release."""
    settings = read_settings(**given)
    _migrate(settings)
    click.echo(f"SQL is at revision {head()}")


class _Server(uvicorn.Server):
    """Uvicorn that leaves the process alone: a signal ends serving, and nothing else."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn's own would raise the signal again after serving, before the outbox is flushed.
        loop = asyncio.get_running_loop()

        def leave(number: int, frame: FrameType | None = None) -> None:
            self.handle_exit(number, frame)

        for number in _SIGNALS:
            loop.add_signal_handler(number, leave, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    async with started(Runtime(settings)) as runtime:
        made = await _bootstrap_key(runtime.store, settings)
        await runtime.catalog.refresh()
        longer = make_answers(runtime)
        plain = make_plain(runtime, longer)
        application: Any = build_app(runtime, plain or longer)
        server = _Server(
            uvicorn.Config(
                application,
                loop="none",
                http=_http_protocol(settings, longer, plain),
                ws="none",
                lifespan="off",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                log_config=None,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=settings.drain_seconds,
            )
        )
        _greet(settings, listener, made)
        await server.serve(sockets=[listener])


@contextlib.contextmanager
def _shown_metrics(settings: Settings) -> Iterator[None]:
    """Show the metrics of a writer, which has no HTTP of its own, if a port is set."""
    if not settings.metrics_port:
        yield
        return
    metrics.build.labels(package_version()).set(1)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(metrics.serving(settings.host, settings.metrics_port))
        except OSError as error:
            place = f"{settings.host}:{settings.metrics_port}"
            raise StartError(f"cannot listen on {place}: {error.strerror}") from error
        yield


def _http_protocol(settings: Settings, longer: Answers, plain: PlainCalls | None) -> Any:  # noqa: ANN401 - a name or a class
    if not settings.fast_lane:
        return "httptools"
    return make_lane(longer, OPERATIONS, plain=plain, body_bytes_max=settings.body_bytes_max)


async def _write(settings: Settings) -> None:
    clock = SystemClock()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    async with _guarded(settings, clock) as guard:
        task = WriterTask(settings, clock, guard)
        try:
            task.start()
            click.echo(f"writing {settings.partitions} partitions")
            waiting = asyncio.create_task(stopped.wait())
            running = [waiting, *([task.task] if task.task else [])]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.task is not None and task.task.done():
                raise StartError(f"the writer has stopped: {task.task.exception()}")
        finally:
            await task.stop()


@contextlib.asynccontextmanager
async def _guarded(settings: Settings, clock: WallClock) -> AsyncIterator[Guard]:
    """Check what is needed, and guard Redis for the block."""
    database = make_database(
        settings,
        threads=1,
        answer_ms=settings.sql_timeout_ms,
        statement_ms=settings.sql_timeout_ms,
    )
    guard = make_guard(settings, database, clock)
    try:
        await check_redis(guard.client, settings)
        await check_sql(settings, database)
        await guard.verify()
        guard.start()
        yield guard
    finally:
        await guard.stop()
        await database.close()


async def _bootstrap_key(store: SqlCatalog, settings: Settings) -> str | None:
    """Make sure that some key works; return it if it was made just now and nobody knows it."""
    preset = settings.bootstrap_key
    if preset:
        digest = hashlib.sha256(preset.encode()).hexdigest()
        if not await _is_known(store, digest):
            env = "live" if preset.startswith(PREFIXES["live"]) else "sandbox"
            try:
                await store.create_key(env, "bootstrap", preset)
            except InvalidRequestError:
                # A gateway that started at the same time was first, unless the key was revoked.
                if not await _is_known(store, digest):
                    raise
        return None
    if await store.has_keys():
        return None
    secret = new_secret("sandbox")
    await store.create_key("sandbox", "first", secret)
    return secret


async def _is_known(store: SqlCatalog, digest: str) -> bool:
    return any(key.digest == digest for key in (await store.load()).keys)


def _greet(settings: Settings, listener: socket.socket, secret: str | None) -> None:
    host, port = listener.getsockname()[:2]
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(f"Tallygate {package_version()} at {base}")
    click.echo(f"  API page     {base}/docs")
    click.echo(f"  data folder  {settings.data_path.absolute()}")
    if secret is not None:
        click.echo(f"  secret key   {secret}  (shown this once)")


@contextlib.contextmanager
def _listening_socket(settings: Settings) -> Iterator[socket.socket]:
    """Take the port before anything is started, so that a taken one costs nothing."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise StartError(f"host {settings.host} is not an address: {error.strerror}") from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            place = f"{settings.host}:{settings.port}"
            raise StartError(f"cannot listen on {place}: {error.strerror}") from error
        yield listener


@contextlib.contextmanager
def _with_redis(settings: Settings) -> Iterator[Settings]:
    """Start the embedded server if no other is set, and stop it after everything else."""
    if not settings.is_embedded:
        if not settings.database_url:
            _migrate(settings)
        yield settings
        return
    server = EmbeddedServer(settings.data_path, settings.appendfsync)
    url = server.start()
    try:
        if not settings.database_url:
            _migrate(settings)
        yield msgspec.structs.replace(settings, redis_url=url)
    finally:
        server.stop()


def _migrate(settings: Settings) -> None:
    if not settings.database_url:
        try:
            settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"data folder {settings.data_path}: {error.strerror}") from error
    upgrade(settings.resolved_database_url)


if __name__ == "__main__":
    main()
