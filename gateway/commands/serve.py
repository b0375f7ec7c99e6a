"""``tallygate serve``: what a machine needs once is started here, the embedded server first and
last, and between them this process serves, or its workers do.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import click
import msgspec

from gateway.commands.console import bring_schema, read_settings, where_all_is
from gateway.config import Settings
from gateway.embedded.keeper import Keeper
from gateway.embedded.server import EmbeddedServer
from gateway.processes.listening import address_of, listening_socket, raise_file_limit
from gateway.processes.running import run
from gateway.release import package_version


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=int, metavar="PORT", help="Port to listen on; 0 takes a free one.")
@click.option("--uds", metavar="PATH", help="Unix socket to listen on instead.")
@click.option("--workers", type=int, metavar="N", help="Processes that serve, under a supervisor.")
@where_all_is
@click.option("--no-writer", is_flag=True, help="The writer runs in another process.")
def serve(*, no_writer: bool, **given: object) -> None:
    """Serve the HTTP API; without a Redis, start one in the data folder."""
    settings = read_settings(**given, writer=False if no_writer else None)
    raise_file_limit()
    with listening_socket(settings) as listener, _with_redis(settings) as ready:
        if not settings.database_url:
            bring_schema(settings)
        if settings.workers:
            # A supervisor serves nobody, so it loads none of what does.
            from gateway.processes.supervisor import supervise as begin  # noqa: PLC0415
        else:
            from gateway.processes.alone import serve_alone as begin  # noqa: PLC0415 - as above
        run(begin(ready, listener, lambda made: _greet(settings, listener, made)))


def _greet(settings: Settings, listener: socket.socket, secret: str | None) -> None:
    base = address_of(listener)
    click.echo(f"Tallygate {package_version()} at {base}")
    if not settings.uds:
        click.echo(f"  API page     {base}/docs")
    if settings.workers:
        click.echo(f"  workers      {settings.workers}")
    if settings.is_embedded or not settings.database_url:
        click.echo(f"  data folder  {settings.data_path.absolute()}")
    if secret is not None:
        click.echo(f"  secret key   {secret}  (shown this once)")


@contextlib.contextmanager
def _with_redis(settings: Settings) -> Iterator[Settings]:
    """Start the embedded server if no other is set, and stop it after everything else."""
    if not settings.is_embedded:
        yield settings
        return
    server = EmbeddedServer(settings.data_path, settings.appendfsync)
    url = server.start()
    with Keeper(server):
        yield msgspec.structs.replace(settings, redis_url=url)
