"""The catalog in memory: what it answers from, when it asks SQL, and what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.engine.catalog import ATTEMPTS_MAX, Catalog
from gateway.engine.principals import Principal
from gateway.errors import (
    EventNotFoundError,
    FeatureExistsError,
    FeatureInUseError,
    FeatureNotFoundError,
    InvalidSecretKeyError,
    PlanExistsError,
    PlanNotFoundError,
    UnavailableError,
)
from gateway.messages.features import FeatureCreateRequest, FeatureUpdateRequest, StoredCost
from gateway.messages.plans import PlanDocument, PlanItem
from gateway.ports import CatalogChange
from tests.fixtures.app import ManualClock
from tests.unit.gateway.engine.scripted_store import SECRET, ScriptedStore
from tests.unit.gateway.lifecycle.records import feature, plan, plan_request
from tests.waiting import until

HEADER = f"Bearer {SECRET}".encode()
RENAME = FeatureUpdateRequest(feature_id="messages", new_feature_id="notes")
NOTES = FeatureCreateRequest(feature_id="notes", name="Notes", type="metered", consumable=True)
TAKEN = [feature(), feature("notes")]
PLAN = plan_request({"feature_id": "messages"})
MADE = plan("pro", PlanDocument(name="P", items=[PlanItem(feature_id="messages")])).record


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore(feature(event_names=("sent",)), feature("seats", consumable=False))


@pytest.fixture
async def catalog(store: ScriptedStore) -> AsyncIterator[Catalog]:
    catalog = Catalog(store, ManualClock(), poll_seconds=0.001)
    await catalog.refresh()
    yield catalog
    await catalog.stop()


async def test_what_is_known_costs_no_question(catalog: Catalog, store: ScriptedStore) -> None:
    asked = store.asked

    assert (await catalog.feature("sandbox", "messages")).id == "messages"
    assert [each.id for each in await catalog.features_by_event("sandbox", "sent")] == ["messages"]
    assert (await catalog.principal(HEADER)).env == "sandbox"
    assert store.asked == asked


async def test_what_is_unknown_is_asked_for_at_once(catalog: Catalog, store: ScriptedStore) -> None:
    store.change(features=[*store.image.features, feature("new", event_names=("begun",))])

    assert (await catalog.feature("sandbox", "new")).id == "new"
    assert len(await catalog.features_by_event("sandbox", "begun")) == 1


async def test_environments_are_apart(catalog: Catalog) -> None:
    with pytest.raises(FeatureNotFoundError, match="Feature messages not found"):
        await catalog.feature("live", "messages")


async def test_what_does_not_exist_has_its_error(catalog: Catalog) -> None:
    with pytest.raises(FeatureNotFoundError, match="Feature x not found"):
        await catalog.feature("sandbox", "x")
    with pytest.raises(EventNotFoundError):
        await catalog.features_by_event("sandbox", "x")
    with pytest.raises(PlanNotFoundError, match="Plan x not found"):
        await catalog.plan("sandbox", "x")


async def test_unknown_ids_asked_for_at_once_share_a_look(
    catalog: Catalog, store: ScriptedStore
) -> None:
    before = store.asked
    unknown = (catalog.feature("sandbox", f"x{number}") for number in range(500))

    found = await asyncio.gather(*unknown, return_exceptions=True)

    assert {type(each) for each in found} == {FeatureNotFoundError}
    assert store.asked - before == 1


async def test_without_sql_what_is_known_goes_on(catalog: Catalog, store: ScriptedStore) -> None:
    store.is_down = True

    with pytest.raises(UnavailableError):
        await catalog.feature("sandbox", "x")

    assert (await catalog.feature("sandbox", "messages")).id == "messages"
    assert not catalog.is_current


async def test_nothing_is_loaded_while_the_revision_stands(
    catalog: Catalog, store: ScriptedStore
) -> None:
    for _ in range(3):
        await catalog.refresh()

    assert store.loaded == 1


async def test_changes_are_followed(catalog: Catalog, store: ScriptedStore) -> None:
    await catalog.start()
    store.change(features=[feature("renamed")])

    await until(lambda: catalog.find_feature("sandbox", "renamed") is not None)

    assert catalog.find_feature("sandbox", "messages") is None


async def test_following_survives_what_cannot_be_read(
    catalog: Catalog, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    await catalog.start()
    broken = msgspec.structs.replace(feature(), document="{")
    store.change(features=[broken])
    await until(lambda: "cannot be read" in caplog.text)
    assert not catalog.is_current
    looks = store.loaded
    await until(lambda: store.loaded > looks)
    assert caplog.text.count("cannot be read") == 1

    store.change(features=[feature("renamed")])

    await until(lambda: catalog.find_feature("sandbox", "renamed") is not None)


async def test_following_survives_an_outage(catalog: Catalog, store: ScriptedStore) -> None:
    await catalog.start()
    store.is_down = True
    await until(lambda: not catalog.is_current)
    store.is_down = False

    await until(lambda: catalog.is_current)


async def test_a_header_is_remembered_until_the_catalog_changes(
    catalog: Catalog, store: ScriptedStore
) -> None:
    principal = await catalog.principal(HEADER)

    assert principal == Principal("sandbox", "key_1")
    assert catalog.known(HEADER) is principal

    store.change(keys=[])
    await catalog.refresh()
    with pytest.raises(InvalidSecretKeyError):
        await catalog.principal(HEADER)


@pytest.mark.parametrize("bounds", [{"prefix": "am_pk_test_aaa"}, {"scopes": ("plans:read",)}])
async def test_a_key_with_bounds_is_not_among_those_known_at_a_glance(
    catalog: Catalog, store: ScriptedStore, bounds: dict[str, Any]
) -> None:
    (key,) = store.image.keys
    store.change(keys=[key._replace(**bounds)])
    await catalog.refresh()

    first, second = await catalog.principal(HEADER), await catalog.principal(HEADER)

    assert first is second
    assert first.access is not None
    assert catalog.known(HEADER) is None


@pytest.mark.parametrize("header", [b"Bearer am_sk_test_wrong", b"Bearer am_sk_\xff\x00"])
async def test_a_key_that_is_not_known_has_its_error(catalog: Catalog, header: bytes) -> None:
    with pytest.raises(InvalidSecretKeyError):
        await catalog.principal(header)


async def test_a_feature_is_marked_as_used_once(catalog: Catalog, store: ScriptedStore) -> None:
    messages = await catalog.feature("sandbox", "messages")

    assert await catalog.use_feature(messages) == messages
    assert await catalog.use_feature(messages) == messages
    assert store.written == [("sandbox", "messages", 6)]


async def test_a_feature_in_use_is_not_marked_again(catalog: Catalog, store: ScriptedStore) -> None:
    assert (await catalog.use_feature(feature(in_use=True))).in_use
    assert store.written == []


async def test_a_feature_seen_before_the_catalog_told_of_its_use_asks_nobody(
    catalog: Catalog, store: ScriptedStore
) -> None:
    messages = await catalog.feature("sandbox", "messages")
    await catalog.use_feature(messages)
    store.change(features=[msgspec.structs.replace(messages, in_use=True)])
    await catalog.refresh()

    assert (await catalog.use_feature(messages)).in_use
    assert len(store.written) == 1


async def test_a_precision_that_changed_meanwhile_is_taken_over(
    catalog: Catalog, store: ScriptedStore
) -> None:
    store.refusals = 1

    used = await catalog.use_feature(await catalog.feature("sandbox", "messages"))

    assert used.precision == 3


async def test_endless_change_is_given_up(catalog: Catalog, store: ScriptedStore) -> None:
    store.refusals = 99

    with pytest.raises(UnavailableError):
        await catalog.use_feature(await catalog.feature("sandbox", "messages"))
    with pytest.raises(UnavailableError):
        await catalog.create_plan("sandbox", PLAN)


async def test_a_plan_is_fitted_again_when_a_feature_changed_meanwhile(
    catalog: Catalog, store: ScriptedStore
) -> None:
    store.refusals = 1

    request = plan_request({"feature_id": "messages", "included": 10**10})
    created = await catalog.create_plan("sandbox", request)

    assert store.written == [CatalogChange(2, plans=(created.record,))]
    assert (await catalog.plan("sandbox", "pro")).document == created.document


async def test_a_plan_and_the_precision_it_needs_are_one_change(
    catalog: Catalog, store: ScriptedStore
) -> None:
    request = plan_request({"feature_id": "messages", "included": 10**10})
    created = await catalog.create_plan("sandbox", request)

    lowered = feature(event_names=("sent",), precision=5)
    assert store.written == [
        CatalogChange(1, features=(("messages", lowered),), plans=(created.record,))
    ]


async def test_a_rename_and_everything_that_names_the_feature_are_one_change(
    catalog: Catalog, store: ScriptedStore
) -> None:
    cost = StoredCost(metered_feature_id="messages", credit_cost="2")
    system = feature("credits", type="credit_system", credit_schema=[cost])
    apart = plan("apart", PlanDocument(name="P", items=[]))
    store.change(features=[*store.image.features, system], plans=[apart.record])
    await catalog.create_plan("sandbox", PLAN)
    store.written.clear()

    renamed = await catalog.update_feature("sandbox", RENAME)

    (change,) = store.written
    assert isinstance(change, CatalogChange)
    assert change.features[0] == ("messages", renamed)
    assert [(old_id, new.id) for old_id, new in change.features[1:]] == [("credits", "credits")]
    assert [each.id for each in change.replaced_plans] == ["pro"]
    assert (await catalog.plan("sandbox", "pro")).document.items[0].feature_id == "notes"
    assert catalog.credit_systems(renamed) == (change.features[1][1],)


async def test_a_rename_takes_along_a_plan_made_meanwhile(
    catalog: Catalog, store: ScriptedStore
) -> None:
    store.meanwhile = lambda: store.change(plans=[MADE])
    store.refusals = 1

    await catalog.update_feature("sandbox", RENAME)

    assert (await catalog.plan("sandbox", "pro")).document.items[0].feature_id == "notes"


@pytest.mark.parametrize(
    ("write", "meanwhile", "error"),
    [
        (lambda on: on.delete_feature("sandbox", "messages"), {"plans": [MADE]}, FeatureInUseError),
        (lambda on: on.create_plan("sandbox", PLAN), {"features": []}, FeatureNotFoundError),
        (lambda on: on.create_plan("sandbox", PLAN), {"plans": [MADE]}, PlanExistsError),
        (lambda on: on.create_feature("sandbox", NOTES), {"features": TAKEN}, FeatureExistsError),
        (lambda on: on.update_feature("sandbox", RENAME), {"features": TAKEN}, FeatureExistsError),
    ],
    ids=["named by a plan", "deleted", "plan id taken", "id taken", "new id taken"],
)
async def test_what_happened_meanwhile_is_respected(
    catalog: Catalog,
    store: ScriptedStore,
    write: Callable[[Catalog], Awaitable[object]],
    meanwhile: dict[str, Any],
    error: type[Exception],
) -> None:
    store.meanwhile = lambda: store.change(**meanwhile)
    store.refusals = 1

    with pytest.raises(error):
        await write(catalog)

    assert store.written == []


async def test_changes_of_one_process_take_turns(catalog: Catalog, store: ScriptedStore) -> None:
    requests = [
        msgspec.structs.replace(NOTES, feature_id=f"f{number}") for number in range(ATTEMPTS_MAX)
    ]

    await asyncio.gather(*(catalog.create_feature("sandbox", each) for each in requests))

    assert store.tried == len(store.written) == len(requests)


async def test_who_waits_behind_a_question_that_hangs_fails_with_it(
    catalog: Catalog, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_up = asyncio.Event()
    asked = 0

    async def hang() -> int:
        nonlocal asked
        asked += 1
        await gives_up.wait()
        raise UnavailableError

    monkeypatch.setattr(store, "revision", hang)
    calls = [catalog.create_feature("sandbox", NOTES) for _ in range(3)]
    waiting = asyncio.gather(*calls, catalog.refresh(), return_exceptions=True)
    await until(lambda: asked == 1)
    gives_up.set()

    assert [type(each) for each in await waiting] == [UnavailableError] * 4
    assert asked == 1


async def test_a_deleted_feature_is_gone(catalog: Catalog, store: ScriptedStore) -> None:
    await catalog.delete_feature("sandbox", "messages")

    assert store.written == [CatalogChange(1, deleted_features=(("sandbox", "messages"),))]
    assert catalog.find_feature("sandbox", "messages") is None
    with pytest.raises(FeatureNotFoundError, match="Feature messages not found"):
        await catalog.delete_feature("sandbox", "messages")
    with pytest.raises(FeatureNotFoundError, match="Feature messages not found"):
        await catalog.update_feature("sandbox", RENAME)


async def test_credit_systems_of_a_feature_are_known(
    catalog: Catalog, store: ScriptedStore
) -> None:
    cost = StoredCost(metered_feature_id="messages", credit_cost="2")
    system = feature("credits", type="credit_system", credit_schema=[cost])
    store.change(features=[*store.image.features, system])
    await catalog.refresh()

    messages = await catalog.feature("sandbox", "messages")

    assert catalog.credit_systems(messages) == (system,)
    assert catalog.credit_systems(system) == ()
    assert catalog.document(system).credit_schema == [cost]


async def test_a_new_customer_gets_one_default_of_each_group(
    catalog: Catalog, store: ScriptedStore
) -> None:
    trial = {"duration_length": 7, "card_required": False}
    price = {"amount": 5, "interval": "month"}
    requests = [
        plan_request(plan_id="free", auto_enable=True),
        plan_request(plan_id="trial", auto_enable=True, price=price, free_trial=trial),
        plan_request(plan_id="other", auto_enable=True, group="other"),
        plan_request(plan_id="extra", auto_enable=True, add_on=True),
        plan_request(plan_id="plain"),
    ]
    for request in requests:
        await catalog.create_plan("sandbox", request)

    defaults = await catalog.default_plans("sandbox")

    assert {each.record.id for each in defaults} == {"trial", "other", "extra"}


async def test_a_default_plan_made_elsewhere_is_not_missed(
    catalog: Catalog, store: ScriptedStore
) -> None:
    made = plan("free", PlanDocument(name="F", auto_enable=True))
    store.change(plans=[made.record])

    assert [each.record.id for each in await catalog.default_plans("sandbox")] == ["free"]
