"""``tallygate verify`` and ``tallygate repair``: prove that Redis, SQL and the events agree, and
mend what does not.

The exit code is 0 when everything agrees, 1 when something differs, and 2 when that could not be
told of everything. The report goes to standard output, progress to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from enum import IntEnum
from typing import Any

import click
import msgspec

from gateway.audit.auditor import Auditor, Progress
from gateway.audit.findings import (
    Findings,
    Plan,
    plan,
    tell,
    tell_plan,
    tell_summary,
)
from gateway.audit.records import Scope
from gateway.background.upkeep import AuditParts
from gateway.commands.console import one_env, read_settings, where_all_is
from gateway.config import Settings
from gateway.databases import check_sql
from gateway.embedded.server import own_server, running_url
from gateway.errors import GatewayError, StartError
from gateway.processes.running import run
from gateway.scripts import Status
from gateway.scripts.residents import Name
from gateway.start_checks import check_pair, check_redis, is_admitted
from gateway.wall import SystemClock

REPAIRS_MAX = 3
"""Times a repair looks at what it mended and goes on: a customer in use may move meanwhile."""

EVICTIONS_MAX = 50
"""Times an eviction waits for the writer."""

WAIT_SECONDS = 0.1

NOT_ADMITTED = (
    "no gateway has compared this Redis with SQL yet; one does before its first call, and what is "
    "older than SQL comes back from there"
)
"""Of a drift in a server that was restarted, or has just become the master."""


class Outcome(IntEnum):
    """The exit code."""

    CLEAN = 0
    DRIFT = 1
    UNKNOWN = 2


_customer = click.option("--customer", "customer_id", metavar="ID", help="Of one customer only.")


@click.command()
@one_env
@_customer
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@where_all_is
def verify(*, env: str | None, customer_id: str | None, as_json: bool, **given: object) -> None:
    """Add up every balance from its events, and compare SQL with Redis."""

    async def check(parts: AuditParts) -> Outcome:
        found = await _audit(parts, Scope(env, customer_id))
        _report(found, as_json=as_json)
        return _outcome(found)

    sys.exit(_with_parts(given, check))


@click.command()
@one_env
@_customer
@click.option("--yes", is_flag=True, help="Carry the plan out.")
@where_all_is
def repair(*, env: str | None, customer_id: str | None, yes: bool, **given: object) -> None:
    """Set what differs to what the events say; without --yes, show the plan only."""

    async def mend(parts: AuditParts) -> Outcome:
        scope = Scope(env, customer_id)
        found = await _audit(parts, scope)
        _report(found, as_json=False)
        for _ in range(REPAIRS_MAX):
            made = plan(found.drifts)
            for line in tell_plan(made):
                click.echo(line)
            if made.is_empty:
                break
            if not yes:
                click.echo("nothing was done: tallygate repair --yes carries this out")
                break
            await _carry_out(parts, made)
            found = await _audit(parts, scope)
            _report(found, as_json=False)
        return _outcome(found)

    sys.exit(_with_parts(given, mend))


def _outcome(found: Findings) -> Outcome:
    if not found.clean:
        return Outcome.DRIFT
    return Outcome.UNKNOWN if found.unsettled else Outcome.CLEAN


def _report(found: Findings, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for drift in found.drifts:
        for line in tell(drift):
            click.echo(line)
    for name in found.unsettled:
        click.echo(f"{name.customer_id} ({name.env}) changed whenever it was compared")
    click.echo(tell_summary(found))


async def _audit(parts: AuditParts, scope: Scope) -> Findings:
    found = Findings()
    total = await parts.ledger.count(scope)
    auditor = parts.auditor
    await _follow("SQL  ", total, auditor.audit_ledger(scope), found.add_ledger)
    await _follow("Redis", total, auditor.audit_redis(scope), found.add_redis)
    if scope.customer_id is not None and not (found.customers or found.residents):
        raise StartError(f"there is no customer {scope.customer_id}")
    return found


async def _follow(
    label: str,
    total: int,
    steps: AsyncIterator[Progress],
    add: Callable[[Progress], None],
) -> None:
    """Take every step of an audit, and show how far it has come."""
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        async for step in steps:
            add(step)
            bar.update(step.customers)


async def _carry_out(parts: AuditParts, made: Plan) -> None:
    for drift in made.mends:
        await parts.ledger.mend(drift)
    for name in made.evictions:
        await _evict(parts.auditor, name)


async def _evict(auditor: Auditor, name: Name) -> None:
    for _ in range(EVICTIONS_MAX):
        status = await auditor.evict(name, whatever_it_holds=True)
        if status is not Status.BUSY:
            return
        await asyncio.sleep(WAIT_SECONDS)
    raise StartError(f"the writer has not caught up with {name.customer_id}; try again")


def _with_parts(given: dict[str, object], use: Callable[[AuditParts], Any]) -> Outcome:
    """Return what became of an audit; what keeps it from being made is one line, and 2."""
    outcomes: list[Outcome] = []

    async def whole(settings: Settings) -> None:
        parts = AuditParts(settings, SystemClock())
        try:
            await check_redis(parts.client, settings)
            await check_sql(settings, parts.database)
            await check_pair(parts.client, parts.database)
            outcomes.append(await use(parts))
            if Outcome.DRIFT in outcomes and not await is_admitted(parts.client, parts.database):
                click.echo(f"tallygate: {NOT_ADMITTED}", err=True)
        finally:
            await parts.close()

    try:
        with _with_redis(read_settings(**given)) as settings:
            run(whole(settings))
    except GatewayError as error:
        click.echo(f"tallygate: {error}", err=True)
        return Outcome.UNKNOWN
    return outcomes[0]


@contextlib.contextmanager
def _with_redis(settings: Settings) -> Iterator[Settings]:
    """Use the Redis that is set, the embedded server that runs, or one started for this alone."""
    if not settings.is_embedded:
        yield settings
        return
    url = running_url(settings.data_path)
    if url is not None:
        yield msgspec.structs.replace(settings, redis_url=url)
        return
    with own_server(settings.data_path, settings.appendfsync) as url:
        yield msgspec.structs.replace(settings, redis_url=url)
