"""The schema goes up, down and up again on both engines, and says so when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from gateway.errors import StartError
from persistence import migrate
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.models import Base
from persistence.models.base import whole_metadata

BOTH = pytest.mark.parametrize("act", [migrate.require_current, migrate.upgrade])


@pytest.fixture(params=["sqlite_url", "postgres"])
def empty_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def _tables(url: str) -> set[str]:
    engine = make_engine(url, EngineOptions())
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def _stamp(url: str, revision: str) -> None:
    engine = make_engine(url, EngineOptions())
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()


def test_tables_go_up_and_down_and_up(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    assert _tables(empty_url) == set(Base.metadata.tables)
    migrate.downgrade(empty_url, "base")
    assert _tables(empty_url) == set()
    migrate.upgrade(empty_url)
    assert _tables(empty_url) == set(Base.metadata.tables)
    assert migrate.current(empty_url) == migrate.head()


def test_newest_file_is_the_end_of_the_chain(database_url: str) -> None:
    with as_file(files("persistence") / "migrations") as folder:
        assert migrate.head() == ScriptDirectory(str(folder)).get_current_head()
    engine = make_engine(database_url, EngineOptions())
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    assert migrate.current(database_url) == found == migrate.head()


def test_migrations_and_models_agree(database_url: str) -> None:
    engine = make_engine(database_url, EngineOptions())
    with engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection), whole_metadata())
    engine.dispose()
    assert difference == []


def test_catalog_starts_at_revision_zero(database_url: str) -> None:
    engine = make_engine(database_url, EngineOptions())
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT revision FROM catalog_revision")).all() == [0]
    engine.dispose()


def test_two_upgrades_at_once_both_succeed(empty_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(migrate.upgrade, [empty_url, empty_url]))
    assert migrate.current(empty_url) == migrate.head()


def test_current_schema_may_start(database_url: str) -> None:
    migrate.require_current(database_url)


def test_empty_database_asks_for_migrate(empty_url: str) -> None:
    with pytest.raises(StartError, match=r"^SQL has no tables yet: run tallygate migrate$"):
        migrate.require_current(empty_url)


@BOTH
def test_newer_schema_is_refused_by_name(database_url: str, act: Callable[[str], None]) -> None:
    _stamp(database_url, "of_tomorrow")
    with pytest.raises(StartError, match=r"^SQL is at revision of_tomorrow, newer than this"):
        act(database_url)


@BOTH
@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////nowhere/at/all.db", r" \(/nowhere/at/all\.db\)"),
        ("postgres://nobody@127.0.0.1:1/nothing", ""),
    ],
)
def test_unreachable_database_is_one_line_that_names_it(
    url: str, place: str, act: Callable[[str], None]
) -> None:
    with pytest.raises(StartError, match=rf"^SQL cannot be reached: [^\n]+{place}$"):
        act(url)


def test_upgrade_that_fails_is_one_line(empty_url: str) -> None:
    engine = make_engine(empty_url, EngineOptions())
    with write_transaction(engine) as connection:
        connection.execute(text("CREATE TABLE customers (nobodys INTEGER)"))
    engine.dispose()
    with pytest.raises(StartError, match=r"^SQL cannot be migrated: [^\n]*customers[^\n]*$"):
        migrate.upgrade(empty_url)
    assert migrate.current(empty_url) is None


def test_postgresql_compares_text_byte_by_byte_whatever_its_language(postgres: str) -> None:
    migrate.upgrade(postgres)
    engine = make_engine(postgres, EngineOptions())
    with engine.connect() as connection:
        collations = connection.execute(
            text(
                "SELECT DISTINCT data_type, collation_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = ANY(:tables)"
                " AND data_type IN ('text', 'character varying')"
            ),
            {"tables": list(Base.metadata.tables)},
        ).all()
    engine.dispose()
    assert [tuple(row) for row in collations] == [("text", "C")]
