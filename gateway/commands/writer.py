"""``tallygate writer``: the writer of gateways that serve without one, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import click

from gateway import metrics
from gateway.commands.console import database_url, read_settings, redis_url
from gateway.config import Settings
from gateway.errors import StartError
from gateway.processes.deadline import Deadline, stop_seconds
from gateway.processes.listening import reason_of
from gateway.processes.running import on_stop, run
from gateway.processes.writing import write
from gateway.release import package_version


@click.command()
@redis_url
@database_url
def writer(**given: object) -> None:
    """Carry changes from Redis to SQL; for gateways that serve with --no-writer."""
    settings = read_settings(**given)
    if settings.is_embedded:
        raise StartError("the embedded server has its writer inside tallygate serve")
    with _shown_metrics(settings):
        run(_write(settings))


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
        except (OSError, UnicodeError) as error:
            place = f"{settings.host}:{settings.metrics_port}"
            raise StartError(f"cannot listen on {place}: {reason_of(error)}") from error
        yield


async def _write(settings: Settings) -> None:
    stopped = asyncio.Event()
    with Deadline(stop_seconds(settings.drain_seconds)) as deadline:

        def stop() -> None:
            deadline.begin()
            stopped.set()

        on_stop(stop)
        told = f"writing {settings.partitions} partitions"
        await write(settings, stopped, lambda: click.echo(told))
