"""What the commands share: their options, the settings they make, SQL for as long as one runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from gateway import logs
from gateway.config import Settings, environment, unknown_variables
from gateway.databases import check_schema, make_database
from gateway.errors import StartError
from gateway.keys import ENVIRONMENTS
from gateway.processes.running import run
from persistence.database import Database
from persistence.migrate import upgrade

log = logging.getLogger(__name__)

one_env = click.option("--env", type=click.Choice(ENVIRONMENTS), help="Of one environment only.")
of_env = click.option(
    "--env", type=click.Choice(ENVIRONMENTS), default=ENVIRONMENTS[0], show_default=True
)
redis_url = click.option("--redis-url", metavar="URL", help="Redis or Valkey to use.")
database_url = click.option("--database-url", metavar="URL", help="SQL database to use.")
_data_dir = click.option("--data-dir", metavar="PATH", help="Folder of what is kept here.")

Command = TypeVar("Command", bound=Callable[..., Any])


def where_sql_is(command: Command) -> Command:
    """Let a command be told where SQL is."""
    return database_url(_data_dir(command))


def where_all_is(command: Command) -> Command:
    """Let a command be told where Redis and SQL are."""
    return redis_url(where_sql_is(command))


def read_settings(**given: object) -> Settings:
    """Read the settings, options first, and begin to log as they say."""
    variables = environment()
    settings = Settings.from_env(variables, **given)
    logs.set_up(settings.log_level, settings.log_format)
    for name, nearest in unknown_variables(variables).items():
        meant = f"; did you mean {nearest}?" if nearest else ""
        log.warning("%s is no setting and changes nothing%s", name, meant)
    return settings


def bring_schema(settings: Settings) -> None:
    """Bring SQL to the schema of this release, the file in the data folder with its folder."""
    if not settings.database_url:
        try:
            settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"data folder {settings.data_path}: {error.strerror}") from error
    upgrade(settings.resolved_database_url)


def with_database(
    given: dict[str, object], use: Callable[[Database], Coroutine[Any, Any, None]]
) -> None:
    """Use SQL of this release's schema, as the given options say, and close it. Raises
    ``StartError`` for another schema.

    What an installation is, its partitions too, is fixed by who serves or writes, not here; so one
    who may only read can read.
    """
    run(_use(read_settings(**given), use))


async def _use(settings: Settings, use: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
    database = make_database(settings)
    try:
        await check_schema(settings)
        await use(database)
    finally:
        await database.close()
