"""Catalog and keys: what is written is read back, and every write is announced."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import Engine, text

from gateway.errors import FeatureExistsError, InvalidRequestError, PlanExistsError
from gateway.ports import CatalogStore, FeatureRecord, PlanRecord
from persistence.catalog import SqlCatalog
from persistence.database import Database
from tests.unit.persistence.entries import BASE_MS, StillClock

_SECRET = "am_sk_test_0123456789abcdef"


@pytest.fixture
async def catalog(engine: Engine) -> AsyncIterator[SqlCatalog]:
    database = Database(engine, threads=2, answer_ms=5_000)
    yield SqlCatalog(database, StillClock())
    await database.close()


def _feature(feature_id: str = "messages", *, in_use: bool = False) -> FeatureRecord:
    return FeatureRecord(
        env="sandbox",
        id=feature_id,
        name="Messages",
        type="metered",
        consumable=True,
        precision=6,
        in_use=in_use,
        archived=False,
        event_names=("sent", "received"),
        document='{"a":1}',
        created_at=BASE_MS,
    )


def _plan(plan_id: str = "pro", version: int = 1, document: str = "{}") -> PlanRecord:
    return PlanRecord(
        env="sandbox",
        id=plan_id,
        version=version,
        group="main",
        add_on=False,
        auto_enable=True,
        archived=False,
        document=document,
        created_at=BASE_MS,
    )


async def test_empty_catalog_is_at_revision_zero(catalog: CatalogStore) -> None:
    assert await catalog.load() == (0, [], [], [])
    assert await catalog.revision() == 0


async def test_feature_comes_back_as_it_was(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    image = await catalog.load()
    assert image.features == [_feature()]
    assert image.revision == 1


async def test_admins_can_divide_by_the_scale(catalog: CatalogStore, engine: Engine) -> None:
    await catalog.create_feature(_feature())
    await catalog.create_plan(_plan(), {"messages": 3})
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT scale FROM features")).all() == [1_000]


async def test_feature_id_is_taken_once(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    with pytest.raises(FeatureExistsError):
        await catalog.create_feature(_feature())
    assert await catalog.revision() == 1


async def test_feature_may_change_its_id(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    renamed = msgspec.structs.replace(_feature(), id="mails", name="Mails")
    assert await catalog.update_feature("messages", 6, renamed)
    assert (await catalog.load()).features == [renamed]


async def test_feature_may_not_take_the_id_of_another(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    await catalog.create_feature(_feature("mails"))
    with pytest.raises(FeatureExistsError):
        await catalog.update_feature("mails", 6, _feature())


async def test_update_loses_against_a_change_of_precision_or_use(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    assert not await catalog.update_feature("messages", 5, _feature())
    assert await catalog.use_feature("sandbox", "messages", 6)
    revision = await catalog.revision()
    assert not await catalog.update_feature("messages", 6, _feature())
    assert await catalog.revision() == revision
    assert await catalog.update_feature("messages", 6, _feature(in_use=True))


async def test_use_is_announced_once(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    assert await catalog.use_feature("sandbox", "messages", 6)
    assert await catalog.use_feature("sandbox", "messages", 6)
    assert await catalog.revision() == 2
    assert not await catalog.use_feature("sandbox", "messages", 5)
    assert not await catalog.use_feature("live", "messages", 6)


async def test_deleted_feature_is_gone(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature())
    await catalog.delete_feature("sandbox", "messages")
    assert (await catalog.load()).features == []
    assert await catalog.revision() == 2


async def test_plan_lowers_precision_of_unused_features_only(catalog: CatalogStore) -> None:
    await catalog.create_feature(_feature("a"))
    await catalog.create_feature(_feature("b"))
    assert await catalog.create_plan(_plan(), {"a": 3})
    await catalog.use_feature("sandbox", "b", 6)
    assert not await catalog.create_plan(_plan("team"), {"a": 2, "b": 3})
    image = await catalog.load()
    assert [(item.id, item.precision) for item in image.features] == [("a", 3), ("b", 6)]
    assert [plan.id for plan in image.plans] == ["pro"]


async def test_plan_version_is_taken_once_and_the_latest_counts(catalog: CatalogStore) -> None:
    await catalog.create_plan(_plan(), {})
    await catalog.create_plan(_plan(version=2), {})
    with pytest.raises(PlanExistsError):
        await catalog.create_plan(_plan(), {})
    assert (await catalog.load()).plans == [_plan(version=2)]


async def test_replaced_plans_have_their_new_documents(catalog: CatalogStore) -> None:
    await catalog.create_plan(_plan(), {})
    await catalog.create_plan(_plan("team"), {})
    replaced = [_plan(document='{"x":1}'), _plan("team", document='{"y":2}')]
    await catalog.replace_plans(replaced)
    assert (await catalog.load()).plans == replaced
    assert await catalog.revision() == 3


async def test_key_is_kept_as_a_digest(catalog: SqlCatalog, engine: Engine) -> None:
    assert not await catalog.has_keys()
    key = await catalog.create_key("sandbox", "ci", _SECRET)
    assert key.prefix == "am_sk_test_012"
    assert await catalog.has_keys()
    digest = hashlib.sha256(_SECRET.encode()).hexdigest()
    assert (await catalog.load()).keys == [(key.id, "sandbox", digest)]
    with engine.connect() as connection:
        (stored,) = connection.execute(text("SELECT * FROM api_keys")).all()
    assert not any(_SECRET in str(value) for value in stored)


async def test_revoked_key_is_listed_but_not_live(catalog: SqlCatalog) -> None:
    key = await catalog.create_key("live", "app", _SECRET)
    assert await catalog.revoke_key(key.id)
    assert not await catalog.revoke_key(key.id)
    assert (await catalog.load()).keys == []
    assert not await catalog.has_keys()
    assert [item.revoked_at for item in await catalog.list_keys()] == [BASE_MS]
    assert await catalog.revision() == 2


async def test_secret_is_taken_once(catalog: SqlCatalog) -> None:
    key = await catalog.create_key("live", "app", _SECRET)
    await catalog.revoke_key(key.id)
    with pytest.raises(InvalidRequestError):
        await catalog.create_key("live", "again", _SECRET)
