"""``tallygate migrate``."""

from __future__ import annotations

import click

from gateway.commands.console import bring_schema, data_dir, database_url, read_settings
from persistence.migrate import head


@click.command()
@database_url
@data_dir
def migrate(**given: object) -> None:
    """Bring the SQL schema to this release."""
    bring_schema(read_settings(**given))
    click.echo(f"SQL is at revision {head()}")
