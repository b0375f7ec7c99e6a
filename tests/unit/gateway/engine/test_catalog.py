"""The catalog in memory: what it answers from, when it asks SQL, and what it writes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.engine.catalog import HEADERS_MAX, MISSES_PER_SECOND_MAX, Catalog, Principal
from gateway.errors import (
    EventNotFoundError,
    FeatureNotFoundError,
    InvalidSecretKeyError,
    InvalidTokenError,
    NoSecretKeyError,
    PlanNotFoundError,
    UnavailableError,
)
from gateway.messages.features import FeatureUpdateRequest, StoredCost
from gateway.messages.plans import PlanDocument
from gateway.ports import CatalogImage, FeatureRecord, KeyRecord, PlanRecord
from tests.fixtures.app import ManualClock
from tests.unit.gateway.lifecycle.records import feature, plan, plan_request

SECRET = "am_sk_test_" + "s" * 40
HEADER = f"Bearer {SECRET}".encode()


class ScriptedStore:
    """Answers what a test put in, and counts what it was asked."""

    def __init__(self, *features: FeatureRecord, plans: tuple[PlanRecord, ...] = ()) -> None:
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        self.image = CatalogImage(
            1, list(features), list(plans), [KeyRecord("key_1", "sandbox", digest)]
        )
        self.asked = 0
        self.loaded = 0
        self.is_down = False
        self.refusals = 0
        self.written: list[object] = []

    def change(self, **parts: Any) -> None:  # noqa: ANN401 - fields of the image
        self.image = self.image._replace(revision=self.image.revision + 1, **parts)

    async def revision(self) -> int:
        self.asked += 1
        if self.is_down:
            raise UnavailableError
        return self.image.revision

    async def load(self) -> CatalogImage:
        self.loaded += 1
        return self.image

    async def create_feature(self, record: FeatureRecord) -> None:
        self.written.append(record)
        self.change(features=[*self.image.features, record])

    async def update_feature(
        self, feature_id: str, expected_precision: int, record: FeatureRecord
    ) -> bool:
        if self._refuses():
            return False
        self.written.append(record)
        kept = [each for each in self.image.features if each.id != feature_id]
        self.change(features=[*kept, record])
        return True

    async def use_feature(self, env: str, feature_id: str, precision: int) -> bool:
        self.written.append((env, feature_id, precision))
        return not self._refuses()

    async def delete_feature(self, env: str, feature_id: str) -> None:
        self.change(features=[each for each in self.image.features if each.id != feature_id])

    async def create_plan(self, record: PlanRecord, precisions: dict[str, int]) -> bool:
        if self._refuses():
            return False
        self.written.append((record, precisions))
        self.change(plans=[*self.image.plans, record])
        return True

    async def replace_plans(self, plans: list[PlanRecord]) -> None:
        self.written.append(plans)

    def _refuses(self) -> bool:
        """Refuse as often as the test says; each time something has changed in between."""
        if not self.refusals:
            return False
        self.refusals -= 1
        self.change(
            features=[msgspec.structs.replace(each, precision=3) for each in self.image.features]
        )
        return True


class Seconds:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore(feature(event_names=("sent",)), feature("seats", consumable=False))


@pytest.fixture
async def catalog(store: ScriptedStore, seconds: Seconds) -> AsyncIterator[Catalog]:
    catalog = Catalog(store, ManualClock(), poll_seconds=0.001, monotonic=seconds)
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


async def test_a_burst_of_unknown_ids_is_asked_for_a_few_times_a_second(
    catalog: Catalog, store: ScriptedStore, seconds: Seconds
) -> None:
    before = store.asked
    for number in range(50):
        with pytest.raises(FeatureNotFoundError):
            await catalog.feature("sandbox", f"x{number}")
    assert store.asked - before == MISSES_PER_SECOND_MAX

    seconds.now += 1.1
    with pytest.raises(FeatureNotFoundError):
        await catalog.feature("sandbox", "x")
    assert store.asked - before == MISSES_PER_SECOND_MAX + 1


async def test_without_sql_what_is_known_goes_on(catalog: Catalog, store: ScriptedStore) -> None:
    store.is_down = True

    for _ in range(MISSES_PER_SECOND_MAX + 1):
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

    async with asyncio.timeout(5):
        while catalog.find_feature("sandbox", "renamed") is None:
            await asyncio.wait([asyncio.create_task(store.revision())])

    assert catalog.find_feature("sandbox", "messages") is None


async def test_following_survives_an_outage(catalog: Catalog, store: ScriptedStore) -> None:
    await catalog.start()
    store.is_down = True
    async with asyncio.timeout(5):
        while catalog.is_current:
            await asyncio.wait([asyncio.create_task(store.load())])
    store.is_down = False

    async with asyncio.timeout(5):
        while not catalog.is_current:
            await asyncio.wait([asyncio.create_task(store.load())])


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


async def test_remembered_headers_are_bounded(catalog: Catalog) -> None:
    for number in range(HEADERS_MAX + 1):
        await catalog.principal(HEADER + b" " * number)

    assert catalog.known(HEADER) is None


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, NoSecretKeyError),
        (b"", NoSecretKeyError),
        (b" ", NoSecretKeyError),
        (b"Bearer", InvalidTokenError),
        (b"Bearer hello", InvalidTokenError),
        (SECRET.encode(), InvalidTokenError),
        (b"Bearer am_sk_test_wrong", InvalidSecretKeyError),
        (b"Bearer am_sk_\xff\x00", InvalidSecretKeyError),
    ],
)
async def test_a_header_without_a_key_has_its_error(
    catalog: Catalog, header: bytes | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await catalog.principal(header)


async def test_a_feature_is_marked_as_used_once(catalog: Catalog, store: ScriptedStore) -> None:
    messages = await catalog.feature("sandbox", "messages")

    assert await catalog.use_feature(messages) == messages
    assert await catalog.use_feature(messages) == messages
    assert store.written == [("sandbox", "messages", 6)]


async def test_a_feature_in_use_is_not_marked_again(catalog: Catalog, store: ScriptedStore) -> None:
    assert (await catalog.use_feature(feature(in_use=True))).in_use
    assert store.written == []


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
        await catalog.create_plan("sandbox", plan_request({"feature_id": "messages"}))


async def test_a_plan_is_fitted_again_when_a_feature_changed_meanwhile(
    catalog: Catalog, store: ScriptedStore
) -> None:
    store.refusals = 1

    request = plan_request({"feature_id": "messages", "included": 10**10})
    created = await catalog.create_plan("sandbox", request)

    assert store.written == [(created.record, {})]
    assert (await catalog.plan("sandbox", "pro")).document == created.document


async def test_a_rename_writes_everything_that_names_the_feature(
    catalog: Catalog, store: ScriptedStore
) -> None:
    cost = StoredCost(metered_feature_id="messages", credit_cost="2")
    system = feature("credits", type="credit_system", credit_schema=[cost])
    named = plan("p", PlanDocument(name="P", items=[]))
    store.change(features=[*store.image.features, system], plans=[named.record])
    await catalog.create_plan("sandbox", plan_request({"feature_id": "messages"}))
    store.written.clear()

    await catalog.update_feature(
        "sandbox", FeatureUpdateRequest(feature_id="messages", new_feature_id="notes")
    )

    renamed, schema, plans = store.written
    assert isinstance(renamed, FeatureRecord)
    assert isinstance(schema, FeatureRecord)
    assert isinstance(plans, list)
    assert (renamed.id, schema.id, [each.id for each in plans]) == ("notes", "credits", ["pro"])


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
