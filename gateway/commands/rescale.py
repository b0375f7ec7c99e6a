"""``tallygate rescale``: another precision for a feature that is in use, while nothing runs.

First the writer brings SQL up to the end of every stream; then the customers leave Redis; then one
transaction rescales everything in SQL, the catalog too, and while it is open whatever else Redis
has of the feature in units goes. Until that is committed everything is as it was, and from then on
all of it is as it will be: customers come back to Redis from SQL, whichever that is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

import click
import msgspec

from gateway.amounts import PRECISION_MAX
from gateway.background.evictor import Evictor
from gateway.background.tasks import carry_everything
from gateway.background.upkeep import AuditParts
from gateway.commands.console import of_env, read_settings, where_all_is
from gateway.config import Settings
from gateway.cycles import DAY_MS
from gateway.databases import check_sql
from gateway.embedded.server import own_server
from gateway.engine.snapshot import take_snapshot
from gateway.errors import StartError
from gateway.guard import Guard
from gateway.guard.streams import raise_streams, read_streams
from gateway.ids import new_id
from gateway.lifecycle.catalog import CatalogView
from gateway.lifecycle.precision import with_precision
from gateway.ports import CatalogChange, WallClock
from gateway.processes.ground import guarded
from gateway.processes.running import run
from gateway.rescaling import Place, Rescaling
from gateway.scripts.clearance import Clearance
from gateway.start_checks import check_alone, check_redis, check_whole
from gateway.wall import SystemClock
from persistence.catalog import SqlCatalog
from persistence.rescaling import rescale as rescale_in_sql

STATEMENT_MS = DAY_MS
"""Of one statement: it may rewrite every event there is."""


@click.command()
@click.argument("feature_id", metavar="FEATURE")
@click.option("--precision", type=click.IntRange(0, PRECISION_MAX), required=True)
@of_env
@where_all_is
def rescale(feature_id: str, precision: int, env: str, **given: object) -> None:
    """Change the precision of a feature in use; stop every gateway and writer first."""
    with _with_redis(read_settings(**given)) as settings:
        run(_rescale(settings, env, feature_id, precision))


@contextlib.contextmanager
def _with_redis(settings: Settings) -> Iterator[Settings]:
    """Use the Redis that is set, or the embedded server, which no gateway may have then; under a
    name by which our connections are told from those of others.
    """
    with contextlib.ExitStack() as stack:
        url = settings.redis_url
        if settings.is_embedded:
            url = stack.enter_context(own_server(settings.data_path, settings.appendfsync))
        yield msgspec.structs.replace(settings, redis_url=_named(url))


def _named(url: str) -> str:
    """Return a URL whose connections have a name that nobody else's have."""
    base, _, query = url.partition("?")
    options = [one for one in query.split("&") if one and not one.startswith("client_name=")]
    return f"{base}?{'&'.join([*options, 'client_name=' + new_id('rescale')])}"


async def _rescale(settings: Settings, env: str, feature_id: str, precision: int) -> None:
    clock = SystemClock()
    await _check_redis(settings, clock)
    async with guarded(settings, clock) as ground:
        parts = AuditParts(settings, clock, ground.guard, statement_ms=STATEMENT_MS)
        try:
            await _Rescale(settings, ground.guard, parts, env, feature_id).run(precision)
        finally:
            await parts.close()


async def _check_redis(settings: Settings, clock: WallClock) -> None:
    """Raise ``StartError`` for a Redis that cannot be that of the gateways. A guard would bring it
    up to SQL, and the customers of the other one would keep units of the old precision.
    """
    parts = AuditParts(settings, clock)
    try:
        await check_redis(parts.client, settings)
        await check_sql(settings, parts.database)
        await check_whole(parts.client, parts.database, settings.partitions)
    finally:
        await parts.close()


class _Rescale:
    """The steps, each of which may be the last one of a process that is killed."""

    def __init__(
        self, settings: Settings, guard: Guard, parts: AuditParts, env: str, feature_id: str
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._parts = parts
        self._env = env
        self._feature_id = feature_id
        self._clearance = Clearance(parts.residents, env, feature_id)

    async def run(self, precision: int) -> None:
        env, feature_id = self._env, self._feature_id
        await self._check_alone()
        image = await SqlCatalog(self._parts.database, SystemClock()).load()
        view = take_snapshot(image).views.get(env, CatalogView({}, {}))
        new = with_precision(feature_id, precision, view)
        old = view.features[feature_id].precision
        if old == precision:
            click.echo(f"feature {feature_id} ({env}) has precision {precision} already")
            return
        rescaling = Rescaling(feature_id, old, precision)
        for plan in view.versions:
            rescaling.place = Place(f"plan {plan.record.id}", "")
            rescaling.plan(plan.record.document)

        _tell("SQL gets what is in the outbox ...")
        await carry_everything(self._settings, SystemClock(), self._guard)
        _tell("customers leave Redis ...")
        await self._evict()
        _tell("SQL is rescaled ...")
        change = CatalogChange(image.revision, features=((feature_id, new),))
        redis = _FromThread(self, asyncio.get_running_loop())
        ends = await self._parts.database.run(
            lambda engine: rescale_in_sql(engine, change, rescaling, redis, _tell)
        )
        await raise_streams(self._guard.client, ends)
        click.echo(f"feature {feature_id} ({env}) has precision {precision} now, it had {old}")

    async def _check_alone(self) -> None:
        arguments = self._guard.client.connection_pool.connection_kwargs
        await check_alone(self._guard.client, str(arguments["client_name"]))

    async def _evict(self) -> None:
        parts = self._parts
        evictor = Evictor(
            parts.scripts,
            parts.residents,
            parts.ledger,
            parts.auditor,
            idle_seconds=0,
            step_seconds=0,
        )
        await evictor.walk()
        if left := await self._clearance.resident():
            raise StartError(
                f"customer {left.customer_id} cannot leave Redis, which has changes of it that SQL "
                "lacks: see tallygate verify and the dead letters; nothing was changed"
            )

    async def ends(self) -> Mapping[int, str]:
        """Return where the streams end, if nobody is there and no customer has come back."""
        await self._check_alone()
        if await self._clearance.resident():
            raise StartError("a gateway ran meanwhile; try again")
        streams = await read_streams(self._guard.client, range(self._settings.partitions))
        return {at: stream.last for at, stream in streams.items()}

    async def clear(self) -> None:
        """Remove receipts and replies."""
        await self._clearance.forget_receipts(self._settings.partitions)
        await self._clearance.forget_replies()


class _FromThread:
    """``persistence.rescaling.Redis`` for the thread of SQL: the loop does the work."""

    def __init__(self, steps: _Rescale, loop: asyncio.AbstractEventLoop) -> None:
        self._steps = steps
        self._loop = loop

    def ends(self) -> Mapping[int, str]:
        return asyncio.run_coroutine_threadsafe(self._steps.ends(), self._loop).result()

    def clear(self) -> None:
        asyncio.run_coroutine_threadsafe(self._steps.clear(), self._loop).result()


def _tell(step: str) -> None:
    click.echo(step, err=True)
