"""``tallygate migrate``."""

from __future__ import annotations

import click

from gateway.commands.console import bring_schema, read_settings, where_sql_is
from persistence.migrate import head


@click.command()
@where_sql_is
def migrate(**given: object) -> None:
    """Bring the SQL schema to this release."""
    bring_schema(read_settings(**given))
    click.echo(f"SQL is at revision {head()}")
