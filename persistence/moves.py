"""The schema's moves from release to release, as Alembic makes them; see ``persistence.migrate``.

Alembic is loaded with this module, so nobody imports it who may find that nothing has to move.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def up(connection: Connection) -> None:
    """Go to the newest revision."""
    with as_file(files("persistence") / "migrations") as folder:
        command.upgrade(_config(str(folder), connection), "head")


def down(connection: Connection, revision: str) -> None:
    """Go back to a revision."""
    with as_file(files("persistence") / "migrations") as folder:
        command.downgrade(_config(str(folder), connection), revision)


def revisions() -> set[str]:
    """Return every revision this release knows."""
    with as_file(files("persistence") / "migrations") as folder:
        return {script.revision for script in ScriptDirectory(str(folder)).walk_revisions()}


def _config(folder: str, connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
