"""``tallygate keys``: create, list and revoke secret keys.

A secret is printed once, when it is made, and nowhere else.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Coroutine
from typing import Any

import click

from gateway.config import Settings
from gateway.console import data_dir, database_url, read_settings, run, with_database
from gateway.errors import StartError
from gateway.wall import SystemClock
from persistence.catalog import SqlCatalog

KEY_CHARACTERS = 40

PREFIXES = {"sandbox": "am_sk_test_", "live": "am_sk_live_"}

_ALPHABET = string.ascii_letters + string.digits


@click.group()
def keys() -> None:
    """Create, list and revoke secret keys."""


@keys.command("create")
@click.option("--env", type=click.Choice(sorted(PREFIXES)), default="sandbox", show_default=True)
@click.option("--name", default="", metavar="TEXT", help="What the key is for.")
@database_url
@data_dir
def create_key(env: str, name: str, **given: object) -> None:
    """Create a key and print it; it cannot be shown again."""
    secret = new_secret(env)

    async def create(store: SqlCatalog) -> None:
        key = await store.create_key(env, name, secret)
        click.echo(f"{key.id}  {secret}")

    run(_with_store(read_settings(**given), create))


@keys.command("list")
@database_url
@data_dir
def list_keys(**given: object) -> None:
    """List keys; of the secret only its beginning is known."""

    async def show(store: SqlCatalog) -> None:
        for key in await store.list_keys():
            state = "live" if key.revoked_at is None else "revoked"
            click.echo(f"{key.id}  {key.env:8}  {key.prefix}...  {state:8}  {key.name}")

    run(_with_store(read_settings(**given), show))


@keys.command("revoke")
@click.argument("key_id")
@database_url
@data_dir
def revoke_key(key_id: str, **given: object) -> None:
    """Revoke a key; every gateway refuses it within a second."""

    async def revoke(store: SqlCatalog) -> None:
        if not await store.revoke_key(key_id):
            raise StartError(f"there is no live key {key_id}")
        click.echo(f"{key_id} is revoked")

    run(_with_store(read_settings(**given), revoke))


def new_secret(env: str) -> str:
    """Return a new secret key of an environment."""
    return PREFIXES[env] + "".join(secrets.choice(_ALPHABET) for _ in range(KEY_CHARACTERS))


async def _with_store(
    settings: Settings, use: Callable[[SqlCatalog], Coroutine[Any, Any, None]]
) -> None:
    await with_database(settings, lambda database: use(SqlCatalog(database, SystemClock())))
