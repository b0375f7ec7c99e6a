"""``tallygate keys``: create, list, rotate and revoke keys.

A key is printed once, when it is made, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import click

from gateway.api_keys import PUBLISHABLE_PREFIX, SCOPES, new_secret
from gateway.commands.console import of_env, where_sql_is, with_database
from gateway.cycles import DAY_MS
from gateway.errors import InvalidInputsError, StartError
from gateway.lifecycle.clock import duration_ms
from gateway.wall import SystemClock
from persistence.catalog import KeyInfo, SqlCatalog

GRACE_DAYS_MAX = 90
"""Days a rotated key may go on to work."""


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke keys."""


@keys.command("create")
@of_env
@click.option("--name", default="", metavar="TEXT", help="What the key is for.")
@click.option("--publishable", is_flag=True, help="For web pages: it reads, and changes nothing.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    metavar="SCOPE",
    help="What it may do, such as balances:read; may be repeated. Without: everything.",
)
@where_sql_is
def create_key(
    env: str, name: str, *, publishable: bool, scopes: tuple[str, ...], **given: object
) -> None:
    """Create a key and print it; it cannot be shown again."""
    if publishable and scopes:
        raise StartError("a publishable key has no scopes: what it may do is fixed")
    secret = new_secret(env, publishable=publishable)

    async def create(store: SqlCatalog) -> None:
        key = await store.create_key(env, name, secret, scopes)
        click.echo(f"{key.id}  {secret}")

    _with_store(given, create)


@keys.command("list")
@where_sql_is
def list_keys(**given: object) -> None:
    """List keys; of each only its beginning is known."""

    async def show(store: SqlCatalog) -> None:
        now_ms = SystemClock().now_ms()
        for key in await store.list_keys():
            state, scopes = _state(key, now_ms), key.scopes or "-"
            click.echo(f"{key.id}  {key.env:8}  {key.prefix}...  {state:8}  {scopes}  {key.name}")

    _with_store(given, show)


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--grace",
    default="24h",
    show_default=True,
    metavar="DURATION",
    help=f"How long the old key goes on to work; at most {GRACE_DAYS_MAX}d.",
)
@where_sql_is
def rotate_key(key_id: str, grace: str, **given: object) -> None:
    """Make a new key in place of an old one and print it; it may do the same."""
    grace_ms = _grace_ms(grace)

    async def rotate(store: SqlCatalog) -> None:
        old = await store.find_key(key_id)
        if old is None:
            raise _not_live(key_id)
        secret = new_secret(old.env, publishable=old.prefix.startswith(PUBLISHABLE_PREFIX))
        expires_at = SystemClock().now_ms() + grace_ms
        new = await store.rotate_key(old, secret, expires_at)
        if new is None:
            raise StartError(f"{key_id} has been rotated or revoked already")
        click.echo(f"{new.id}  {secret}")
        click.echo(f"{key_id} works until {_moment(expires_at)}")

    _with_store(given, rotate)


@keys.command("revoke")
@click.argument("key_id")
@where_sql_is
def revoke_key(key_id: str, **given: object) -> None:
    """Revoke a key; every gateway refuses it within a second."""

    async def revoke(store: SqlCatalog) -> None:
        if not await store.revoke_key(key_id):
            raise _not_live(key_id)
        click.echo(f"{key_id} is revoked")

    _with_store(given, revoke)


def _grace_ms(grace: str) -> int:
    try:
        grace_ms = duration_ms(grace)
    except InvalidInputsError as error:
        raise StartError(f"--grace {grace}: must be such as 24h, 7d or 0s") from error
    if grace_ms > GRACE_DAYS_MAX * DAY_MS:
        raise StartError(f"--grace {grace}: must be at most {GRACE_DAYS_MAX}d")
    return grace_ms


def _state(key: KeyInfo, now_ms: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.is_live(now_ms):
        return "expired"
    return "valid" if key.expires_at is None else f"until {_moment(key.expires_at)}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _not_live(key_id: str) -> StartError:
    return StartError(f"there is no valid key {key_id}")


def _with_store(
    given: dict[str, object], use: Callable[[SqlCatalog], Coroutine[Any, Any, None]]
) -> None:
    with_database(given, lambda database: use(SqlCatalog(database, SystemClock())))
