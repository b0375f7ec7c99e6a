"""A batch SQL has already, all of it or a part, leaves what one plain write would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from gateway.errors import UnavailableError
from gateway.stream_ids import BEGINNING
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.sync import merge, store
from persistence.sync.fold import fold
from persistence.sync.store import CursorMovedError
from tests.integration.carrying import carry
from tests.integration.test_store import eventful
from tests.unit.persistence.entries import BASE_MS, contents


def _rewind(engine: Engine) -> None:
    """Put the cursors back to the beginning, as if what SQL has had never been carried."""
    with write_transaction(engine) as connection:
        connection.execute(text(f"UPDATE cursors SET applied = 0, stream_id = '{BEGINNING}'"))  # noqa: S608


@pytest.mark.parametrize("cuts", [(), (2, 4), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_replay_from_an_old_cursor_changes_nothing(engine: Engine, cuts: tuple[int, ...]) -> None:
    history = eventful()
    carry(engine, history, cuts=[3])
    before = contents(engine)
    _rewind(engine)
    carry(engine, history, cuts=cuts)
    assert contents(engine) == before


def _ends(urls: Sequence[str], known: int) -> list[dict[str, list[tuple[Any, ...]]]]:
    """Return what each database has after a history, the beginning of which it had before."""
    found = []
    for url in urls:
        engine = make_engine(url, EngineOptions())
        history = eventful()
        if known:
            store.open_cursors(engine, [7])
            first = fold(history.entries[:known])
            store.apply(engine, first, expected={7: BEGINNING}, now_ms=BASE_MS)
            _rewind(engine)
        carry(engine, history)
        found.append(contents(engine))
        engine.dispose()
    return found


@pytest.mark.parametrize("plain", ["", "sqlite", "postgresql"])
def test_quick_way_ends_as_the_plain_one(
    migrated_sqlite: str, migrated_postgres: str, monkeypatch: pytest.MonkeyPatch, plain: str
) -> None:
    if plain:
        monkeypatch.setitem(merge.QUICK_STEPS, plain, merge.STEPS[plain])
    for name in {"sqlite", "postgresql"} - {plain}:
        monkeypatch.setitem(merge.STEPS, name, {})  # The quick way needs no other.
    found = _ends((migrated_sqlite, migrated_postgres), 0)
    assert found[0] == found[1]
    assert (len(found[0]["events"]), len(found[0]["deductions"])) == (6, 3)
    assert len(found[0]["usage_daily"]) == 2


@pytest.mark.parametrize("known", [1, 3, 4, 9])
def test_batch_that_is_known_in_part_counts_each_event_once(
    migrated_sqlite: str, migrated_postgres: str, known: int
) -> None:
    found = _ends((migrated_sqlite, migrated_postgres), known)
    assert found[0] == found[1]
    usage = {(row[3], row[4]): row[6:] for row in found[0]["usage_daily"]}
    assert {key: count for key, (count, *_) in usage.items()} == {
        ("messages", ""): 4,
        ("seats", ""): 2,
    }


def test_temporary_tables_are_made_again_after_a_rollback(engine: Engine) -> None:
    history = eventful()
    store.open_cursors(engine, [7])
    for _ in range(2):
        with pytest.raises(CursorMovedError):
            store.apply(engine, fold(history.entries), expected={7: "5-5"}, now_ms=BASE_MS)
    carry(engine, history)
    assert len(contents(engine)["events"]) == 6


def test_connection_that_is_lost_within_a_batch_is_no_more_than_a_fault(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(migrated_postgres, EngineOptions())
    history = eventful()
    store.open_cursors(engine, [7])

    class Cut:
        def run(self, connection: Connection, _rows: object) -> int:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            return 0

    with monkeypatch.context() as patch:
        patch.setitem(merge.QUICK_STEPS["postgresql"], "dead_letters", Cut())
        with pytest.raises(UnavailableError):
            store.apply(engine, fold(history.entries), expected={}, now_ms=BASE_MS)
    carry(engine, history)
    assert len(contents(engine)["events"]) == 6
    engine.dispose()
