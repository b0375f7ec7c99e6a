"""Move the SQL schema between releases, and refuse to start on one that does not fit.

No other module changes a table. On PostgreSQL an advisory lock lets one process migrate at a time
and timeouts keep a migration from queueing behind (and so blocking) live traffic; on both engines
an upgrade is one transaction: all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, exc, text

from gateway.errors import StartError
from persistence.database import EngineOptions, make_engine, write_transaction

_LOCK_KEY = 7_411_764_731
_OPTIONS = EngineOptions(statement_timeout_ms=600_000, lock_timeout_ms=10_000)


def upgrade(url: str) -> None:
    """Bring the schema to this release."""
    _migrate(url, lambda config: command.upgrade(config, "head"))


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to a revision; ``base`` removes every table and what is in it."""
    _migrate(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """Return the revision SQL is at, None when it was never migrated."""
    engine = make_engine(url, _OPTIONS)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str:
    """Return the revision this release needs."""
    with as_file(files("persistence") / "migrations") as folder:
        revision = ScriptDirectory(str(folder)).get_current_head()
    if revision is None:
        raise StartError("the migrations are missing from this installation")
    return revision


def require_current(url: str) -> None:
    """Return when SQL has the schema of this release, else raise a ``StartError``."""
    try:
        found = current(url)
    except exc.DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise StartError(f"SQL cannot be reached: {reason}") from error
    if found == head():
        return
    if found is None:
        raise StartError("SQL has no tables yet: run tallygate migrate")
    if found in _revisions():
        raise StartError(f"SQL is at revision {found}, older than {head()}: run tallygate migrate")
    raise StartError(f"SQL is at revision {found}, newer than this release: install that one")


def _revisions() -> set[str]:
    with as_file(files("persistence") / "migrations") as folder:
        return {script.revision for script in ScriptDirectory(str(folder)).walk_revisions()}


def _migrate(url: str, run: Callable[[Config], None]) -> None:
    engine = make_engine(url, _OPTIONS)
    try:
        with (
            as_file(files("persistence") / "migrations") as folder,
            write_transaction(engine) as connection,
        ):
            _lock(connection)
            config = Config()
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            config.attributes["connection"] = connection
            run(config)
    finally:
        engine.dispose()


def _lock(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    # Another process may migrate for minutes; only then are tables locked, and briefly.
    connection.execute(text("SET LOCAL lock_timeout = '600s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    limit = f"SET LOCAL lock_timeout = '{_OPTIONS.lock_timeout_ms}ms'"
    connection.execute(text(limit))
