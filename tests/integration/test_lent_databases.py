"""The PostgreSQL database that one test leaves to the next is as good as a new one."""

from __future__ import annotations

import psycopg
import pytest

from persistence import migrate
from tests.fixtures.database import Lender

NUMBER = b"SELECT oid FROM pg_database WHERE datname = current_database()"
TABLES = (
    b"SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
ADDED = b"""
    UPDATE catalog_revision SET revision = 7;
    DELETE FROM alembic_version;
    INSERT INTO writers VALUES ('w_1', 1, 1);
    CREATE TEMPORARY TABLE passing (line TEXT)"""
READ_ONLY = """DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
END $$"""


def opened(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def asked(url: str, question: bytes) -> list[tuple[object, ...]]:
    with opened(url) as connection:
        return connection.execute(question).fetchall()


def rows_in(url: str) -> dict[object, list[tuple[object, ...]]]:
    found = {table: asked(url, f"TABLE {table}".encode()) for (table,) in asked(url, TABLES)}
    return {table: rows for table, rows in found.items() if rows}


def test_the_next_has_the_rows_of_a_new_one(postgres_lender: Lender) -> None:
    with postgres_lender.lent() as url:
        number, rows = asked(url, NUMBER), rows_in(url)
        assert rows == {"catalog_revision": [(1, 0, 0)], "alembic_version": [(migrate.head(),)]}
        with opened(url) as connection:
            connection.execute(ADDED)
    with postgres_lender.lent() as url:
        assert asked(url, NUMBER) == number
        assert rows_in(url) == rows


def test_whoever_stayed_behind_is_gone_and_does_not_come_back(postgres_lender: Lender) -> None:
    with postgres_lender.lent() as url:
        late = opened(url)
        late.execute("BEGIN")
        late.execute("LOCK TABLE events")
    with postgres_lender.lent() as other:
        assert asked(other, b"SELECT count(*) FROM events") == [(0,)]
        with pytest.raises(psycopg.OperationalError):
            late.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            opened(url)
    late.close()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE events RENAME TO gone",
        "ALTER TABLE events RENAME COLUMN value TO gone",
        "ALTER TABLE events ALTER COLUMN value SET DEFAULT 1",
        "ALTER TABLE events ADD CHECK (value > 1)",
        "CREATE INDEX more ON events (value)",
        "DROP INDEX ix_customers_newest",
        "DROP TABLE writers",
        "CREATE VIEW more AS SELECT 1",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql RETURN 1",
        "GRANT SELECT ON events TO PUBLIC",
        READ_ONLY,
    ],
)
def test_one_that_was_changed_is_not_lent_again(postgres_lender: Lender, statement: str) -> None:
    with postgres_lender.lent() as url:
        number = asked(url, NUMBER)
        with opened(url) as connection:
            connection.execute(statement.encode())
    with postgres_lender.lent() as url:
        assert asked(url, NUMBER) != number
