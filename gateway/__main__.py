"""The command line: ``tallygate serve``, ``writer``, ``migrate``, and groups of commands.

What a machine needs once is started here, the embedded server first and last, and between them this
process serves, or its workers do. Whatever goes wrong at start is one line on standard error and
exit code 1, never a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import socket
import sys
from collections.abc import Iterator

import click
import msgspec

from gateway import metrics
from gateway.api.openapi import package_version
from gateway.app import Runtime, started
from gateway.clock_commands import clock
from gateway.config import Settings
from gateway.console import data_dir, database_url, read_settings, redis_url, run
from gateway.embedded import EmbeddedServer
from gateway.errors import GatewayError, InvalidRequestError, StartError
from gateway.key_commands import PREFIXES, keys, new_secret
from gateway.listening import address_of, listening_socket
from gateway.report_commands import report
from gateway.serving import HttpServer
from gateway.serving import serve as serve_http
from gateway.supervisor import Supervisor
from gateway.verify_commands import repair, verify
from gateway.wall import SystemClock
from gateway.webhook_commands import webhooks
from gateway.writing import guarded, write
from persistence.catalog import SqlCatalog
from persistence.migrate import head, upgrade

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
@click.option("--uds", metavar="PATH", help="Unix socket to listen on instead.")
@click.option("--workers", type=int, metavar="N", help="Processes that serve, under a supervisor.")
@redis_url
@database_url
@data_dir
@click.option("--no-writer", is_flag=True, help="The writer runs in another process.")
def serve(*, no_writer: bool, **given: object) -> None:
    """Serve the HTTP API; without a Redis, start one in the data folder."""
    settings = read_settings(**given, writer=False if no_writer else None)
    with listening_socket(settings) as listener, _with_redis(settings) as ready:
        run(_supervise(ready, listener) if settings.workers else _serve(ready, listener))


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


async def _serve(settings: Settings, listener: socket.socket) -> None:
    async with started(Runtime(settings)) as runtime:
        made = await _bootstrap_key(runtime.store, settings)

        def begin(server: HttpServer) -> None:
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                loop.add_signal_handler(number, server.stop)
            _greet(settings, listener, made)

        await serve_http(runtime, listener, on_start=begin, on_ready=_nothing)


async def _supervise(settings: Settings, listener: socket.socket) -> None:
    clock = SystemClock()
    async with guarded(settings, clock) as ground:
        made = await _bootstrap_key(SqlCatalog(ground.database, clock), settings)
    await Supervisor(settings, listener).run(lambda: _greet(settings, listener, made))


def _nothing() -> None:
    """Leave it at that."""


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


async def _write(settings: Settings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    await write(settings, stopped, lambda: click.echo(f"writing {settings.partitions} partitions"))


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
    base = address_of(listener)
    click.echo(f"Tallygate {package_version()} at {base}")
    if not settings.uds:
        click.echo(f"  API page     {base}/docs")
    if settings.workers:
        click.echo(f"  workers      {settings.workers}")
    click.echo(f"  data folder  {settings.data_path.absolute()}")
    if secret is not None:
        click.echo(f"  secret key   {secret}  (shown this once)")


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
