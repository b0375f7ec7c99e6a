"""Catalog and keys: a change is written as a whole or not at all, read back, and announced."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import Engine, text

from gateway.api_keys import KeyRecord
from gateway.errors import FeatureExistsError, InvalidRequestError, PlanExistsError
from gateway.ports import CatalogChange, CatalogStore, FeatureRecord, PlanRecord
from persistence.catalog import SqlCatalog
from persistence.database import Database
from tests.unit.persistence.entries import BASE_MS, StillClock

Plans = tuple[PlanRecord, ...]

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
    assert await catalog.load() == (0, [], [], [], 0)
    assert await catalog.revision() == 0


async def _put(catalog: CatalogStore, *features: FeatureRecord, plans: Plans = ()) -> None:
    new = tuple((None, feature) for feature in features)
    change = CatalogChange(await catalog.revision(), features=new, plans=plans)
    assert await catalog.apply(change)


async def test_feature_comes_back_as_it_was(catalog: CatalogStore) -> None:
    await _put(catalog, _feature())
    image = await catalog.load()
    assert image.features == [_feature()]
    assert image.revision == 1


async def test_admins_can_divide_by_the_scale(catalog: CatalogStore, engine: Engine) -> None:
    await _put(catalog, _feature())
    coarser = msgspec.structs.replace(_feature(), precision=3)
    assert await catalog.apply(CatalogChange(1, features=(("messages", coarser),)))
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT scale FROM features")).all() == [1_000]


async def test_a_change_is_applied_as_a_whole(catalog: CatalogStore) -> None:
    await _put(catalog, _feature("a"), _feature("b"), _feature("c"), plans=(_plan(),))
    coarser = msgspec.structs.replace(_feature("b"), precision=3)
    change = CatalogChange(
        1,
        features=((None, _feature("d")), ("b", coarser), ("c", _feature("a"))),
        deleted_features=(("sandbox", "a"),),
        plans=(_plan("team"), _plan("max")),
        replaced_plans=(_plan(document='{"x":1}'),),
    )
    assert await catalog.apply(change)
    image = await catalog.load()
    assert image.revision == 2
    assert image.features == [_feature("a"), coarser, _feature("d")]
    assert image.plans == [_plan("max"), _plan(document='{"x":1}'), _plan("team")]


async def test_a_rename_with_all_that_names_the_feature_is_one_change(
    catalog: CatalogStore,
) -> None:
    await _put(catalog, _feature(), _feature("credits"), plans=(_plan(), _plan("team")))
    renamed = msgspec.structs.replace(_feature(), id="mails", name="Mails")
    system = msgspec.structs.replace(_feature("credits"), document='{"b":2}')
    plans = (_plan(document='{"x":1}'), _plan("team", document='{"y":2}'))
    change = CatalogChange(
        1, features=(("messages", renamed), ("credits", system)), replaced_plans=plans
    )
    assert await catalog.apply(change)
    assert await catalog.load() == (2, [system, renamed], list(plans), [], 0)


@pytest.mark.parametrize("revision", [0, 2])
async def test_a_change_of_another_revision_leaves_no_trace(
    catalog: CatalogStore, revision: int
) -> None:
    await _put(catalog, _feature(), _feature("sms"), plans=(_plan(),))
    before = await catalog.load()
    change = CatalogChange(
        revision,
        features=((None, _feature("mails")), ("messages", _feature("notes"))),
        deleted_features=(("sandbox", "sms"),),
        plans=(_plan("team"),),
        replaced_plans=(_plan(document='{"x":1}'),),
    )
    assert not await catalog.apply(change)
    assert await catalog.load() == before
    assert await catalog.apply(change._replace(revision=1))


async def test_of_two_changes_decided_on_one_revision_one_wins(catalog: CatalogStore) -> None:
    for revision in range(10):
        one = CatalogChange(revision, features=((None, _feature(f"one{revision}")),))
        two = CatalogChange(revision, plans=(_plan(f"two{revision}"),))
        won = await asyncio.gather(catalog.apply(one), catalog.apply(two))
        image = await catalog.load()
        assert sorted(won) == [False, True]
        assert (f"one{revision}" in {each.id for each in image.features}) is won[0]
        assert (f"two{revision}" in {each.id for each in image.plans}) is won[1]
        assert image.revision == revision + 1


async def test_use_and_change_at_once_never_both_count(catalog: CatalogStore) -> None:
    coarser = msgspec.structs.replace(_feature(), precision=3)
    for _ in range(10):
        await _put(catalog, _feature())
        revision = await catalog.revision()
        used, lowered = await asyncio.gather(
            catalog.use_feature(_feature()),
            catalog.apply(CatalogChange(revision, features=(("messages", coarser),))),
        )
        assert used is not lowered
        assert (await catalog.load()).features == [coarser if lowered else _feature(in_use=True)]
        gone = CatalogChange(revision + 1, deleted_features=(("sandbox", "messages"),))
        assert await catalog.apply(gone)


async def test_a_change_of_what_is_not_there_leaves_no_trace(catalog: CatalogStore) -> None:
    new = (None, _feature())
    changes = [
        CatalogChange(0, features=(new,), deleted_features=(("sandbox", "mails"),)),
        CatalogChange(0, features=(new, ("mails", _feature("mails")))),
        CatalogChange(0, features=(new,), replaced_plans=(_plan(),)),
    ]
    for change in changes:
        assert not await catalog.apply(change)
    assert await catalog.load() == (0, [], [], [], 0)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (CatalogChange(1, features=((None, _feature()),)), FeatureExistsError),
        (CatalogChange(1, features=(("mails", _feature()),)), FeatureExistsError),
        (CatalogChange(1, plans=(_plan(),)), PlanExistsError),
    ],
    ids=["feature", "rename", "plan"],
)
async def test_an_id_is_taken_once(
    catalog: CatalogStore, change: CatalogChange, error: type[Exception]
) -> None:
    await _put(catalog, _feature(), _feature("mails"), plans=(_plan(),))
    before = await catalog.load()
    with pytest.raises(error):
        await catalog.apply(change._replace(features=((None, _feature("new")), *change.features)))
    assert await catalog.load() == before


async def test_environments_are_apart(catalog: CatalogStore) -> None:
    live = msgspec.structs.replace(_feature(), env="live")
    await _put(catalog, _feature(), live)
    renamed = msgspec.structs.replace(_feature(), id="mails")
    assert await catalog.apply(CatalogChange(1, features=(("messages", renamed),)))
    assert (await catalog.load()).features == [live, renamed]
    assert await catalog.apply(CatalogChange(2, deleted_features=(("live", "messages"),)))
    assert (await catalog.load()).features == [renamed]


async def test_use_is_announced_once(catalog: CatalogStore) -> None:
    await _put(catalog, _feature())
    assert await catalog.use_feature(_feature())
    assert await catalog.use_feature(_feature())
    assert (await catalog.load())[:2] == (2, [_feature(in_use=True)])
    others = ({"precision": 5}, {"env": "live"}, {"type": "boolean"}, {"consumable": False})
    for fields in others:
        assert not await catalog.use_feature(msgspec.structs.replace(_feature(), **fields))
    assert await catalog.revision() == 2


async def test_every_version_of_a_plan_is_kept(catalog: CatalogStore) -> None:
    await _put(catalog, plans=(_plan(), _plan(version=2)))
    assert (await catalog.load()).plans == [_plan(), _plan(version=2)]


async def test_a_plan_is_deleted_before_another_gets_its_id(catalog: CatalogStore) -> None:
    await _put(catalog, plans=(_plan(), _plan(version=2)))
    gone = (_plan(), _plan(version=2))
    revision = await catalog.revision()
    assert await catalog.apply(CatalogChange(revision, deleted_plans=gone, plans=(_plan(),)))
    assert (await catalog.load()).plans == [_plan()]


async def test_key_is_kept_as_a_digest(catalog: SqlCatalog, engine: Engine) -> None:
    assert not await catalog.has_keys()
    key = await catalog.create_key("sandbox", "ci", _SECRET)
    assert key.prefix == "am_sk_test_012"
    assert await catalog.has_keys()
    digest = hashlib.sha256(_SECRET.encode()).hexdigest()
    (kept,) = (await catalog.load()).keys
    assert kept == KeyRecord(key.id, "sandbox", digest, key.prefix)
    with engine.connect() as connection:
        (stored,) = connection.execute(text("SELECT * FROM api_keys")).all()
    assert not any(_SECRET in str(value) for value in stored)


async def test_scopes_of_a_key_are_kept(catalog: SqlCatalog) -> None:
    await catalog.create_key("sandbox", "ci", _SECRET, ["balances:read", "plans:write"])
    assert (await catalog.load()).keys[0].scopes == ("balances:read", "plans:write")


async def test_a_rotated_key_ends_and_is_rotated_once(catalog: SqlCatalog) -> None:
    old = await catalog.create_key("live", "app", _SECRET, ["plans:read"])
    new = await catalog.rotate_key(old, "am_sk_live_" + "n" * 40, old.created_at)
    assert await catalog.rotate_key(old, "am_sk_live_" + "m" * 40, old.created_at) is None
    assert await catalog.find_key(old.id) is None
    assert new is not None
    assert await catalog.find_key(new.id) == new
    assert (new.env, new.name, new.scopes) == ("live", "app", "plans:read")
    assert [key.expires_ms is None for key in (await catalog.load()).keys].count(True) == 1


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


async def test_the_clock_s_offset_comes_back_and_only_grows(catalog: CatalogStore) -> None:
    assert await catalog.apply(CatalogChange(0, clock_offset_ms=2_000))
    for smaller in (1_999, 2_000):
        assert not await catalog.apply(CatalogChange(1, clock_offset_ms=smaller))
    await _put(catalog, _feature())

    image = await catalog.load()
    assert (image.revision, image.clock_offset_ms) == (2, 2_000)


async def test_what_is_made_of_everything_is_made_beside_the_loop(catalog: CatalogStore) -> None:
    await _put(catalog, _feature())
    image, thread = await catalog.load_as(lambda image: (image, threading.current_thread()))
    assert image == await catalog.load()
    assert thread is not threading.current_thread()
