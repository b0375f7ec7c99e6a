"""The first key: the one that is set, once and until it is revoked, else one that is made."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine

from gateway.config import Settings
from gateway.processes.first_key import make_first_key
from persistence.catalog import SqlCatalog
from persistence.database import Database
from tests.unit.persistence.entries import StillClock

PRESET = Settings(bootstrap_key="am_sk_live_0123456789")


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[SqlCatalog]:
    database = Database(engine, threads=2, answer_ms=5_000)
    yield SqlCatalog(database, StillClock())
    await database.close()


async def test_a_key_is_made_where_none_works_and_told_once(store: SqlCatalog) -> None:
    made = await make_first_key(store, Settings())
    assert made is not None
    assert made.startswith("am_sk_test_")
    assert await make_first_key(store, Settings()) is None


async def test_a_preset_key_is_kept_once(store: SqlCatalog) -> None:
    for _ in range(2):
        assert await make_first_key(store, PRESET) is None
    assert [(key.env, key.name) for key in await store.list_keys()] == [("live", "bootstrap")]


async def test_a_preset_key_that_was_revoked_stays_so_and_is_told(
    store: SqlCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    await make_first_key(store, PRESET)
    (key,) = await store.list_keys()
    await store.revoke_key(key.id)

    assert await make_first_key(store, PRESET) is None

    assert not await store.has_keys()
    assert [line for line in caplog.messages if "TALLYGATE_BOOTSTRAP_KEY was revoked" in line]
    assert PRESET.bootstrap_key not in caplog.text
