"""Move the SQL schema between releases, and refuse to start on one that does not fit.

No other module changes a table. On PostgreSQL an advisory lock lets one process migrate at a time
and timeouts keep a migration from queueing behind (and so blocking) live traffic; on both engines
an upgrade is one transaction: all of it or nothing. Most starts find the schema as it must be, and
those do not load what would move it (``persistence.moves``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, exc, inspect, text

from gateway.errors import StartError
from persistence.database import EngineOptions, make_engine, parse_url, write_transaction

_LOCK_KEY = 7_411_764_731
_OPTIONS = EngineOptions(statement_timeout_ms=600_000, lock_timeout_ms=10_000)
_REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)


def upgrade(url: str) -> None:
    """Bring the schema to this release. Raises ``StartError``."""
    engine = make_engine(url, _OPTIONS)
    try:
        with _told("reached", engine.url):
            found = _revision(engine)
        if found == head():
            return
        from persistence import moves  # noqa: PLC0415 - see above

        if found is not None and found not in moves.revisions():
            raise StartError(_newer(found))
        with _told("migrated", engine.url):
            _migrate(engine, moves.up)
    finally:
        engine.dispose()


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to a revision; ``base`` removes every table and what is in it."""
    from persistence import moves  # noqa: PLC0415 - see above

    engine = make_engine(url, _OPTIONS)
    try:
        _migrate(engine, lambda connection: moves.down(connection, revision))
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """Return the revision SQL is at, None when it was never migrated."""
    engine = make_engine(url, _OPTIONS)
    try:
        return _revision(engine)
    finally:
        engine.dispose()


@cache
def head() -> str:
    """Return the revision this release needs: that of the newest migration, by its file's name."""
    names = (files("persistence") / "migrations" / "versions").iterdir()
    migrations = [file for file in names if file.name.endswith(".py")]
    if not migrations:
        raise StartError("the migrations are missing from this installation")
    newest = max(migrations, key=lambda file: file.name)
    (revision,) = _REVISION.findall(newest.read_text())
    return str(revision)


def require_current(url: str) -> None:
    """Return when SQL has the schema of this release, else raise a ``StartError``."""
    place = parse_url(url)
    with _told("reached", place):
        found = None if _is_absent(place) else current(url)
    if found == head():
        return
    if found is None:
        raise StartError("SQL has no tables yet: run tallygate migrate")
    from persistence import moves  # noqa: PLC0415 - see above

    if found in moves.revisions():
        raise StartError(f"SQL is at revision {found}, older than {head()}: run tallygate migrate")
    raise StartError(_newer(found))


def _newer(found: str) -> str:
    return f"SQL is at revision {found}, newer than this release: install that one"


def _is_absent(url: URL) -> bool:
    """Whether there is no such file, which SQLite would make for whoever asks."""
    if url.get_backend_name() != "sqlite" or url.query:
        return False
    file = Path(str(url.database))
    try:
        return file.parent.is_dir() and not file.exists()
    except OSError:  # SQLite says what it is
        return False


@contextmanager
def _told(what: str, url: URL) -> Iterator[None]:
    """Raise what SQL says as a ``StartError`` of one line."""
    try:
        yield
    except exc.DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        # SQLite does not say which file, and there may be one in each folder.
        place = f" ({url.database})" if url.get_backend_name() == "sqlite" else ""
        raise StartError(f"SQL cannot be {what}: {reason}{place}") from error
    except UnicodeError as error:  # psycopg, of a name no host can have, as a..b
        raise StartError(f"SQL cannot be {what}: {url.host} names no host") from error


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.scalars(text("SELECT version_num FROM alembic_version")).first()
        return None if found is None else str(found)


def _migrate(engine: Engine, move: Callable[[Connection], None]) -> None:
    with write_transaction(engine) as connection:
        _lock(connection)
        move(connection)


def _lock(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    # Another process may migrate for minutes; only then are tables locked, and briefly.
    connection.execute(text("SET LOCAL lock_timeout = '600s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    limit = f"SET LOCAL lock_timeout = '{_OPTIONS.lock_timeout_ms}ms'"
    connection.execute(text(limit))
