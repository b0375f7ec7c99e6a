"""Controls compiled on the catalog: the records scripts store, and the rules of a customer that
comes back from SQL.
"""

from __future__ import annotations

import pytest

from gateway.documents import CustomerDocument, EntityDocument, Subscription, encode_document
from gateway.engine.catalog import Catalog
from gateway.engine.controls import (
    check_controls,
    customer_scope,
    entity_scope,
    rules_of,
    rules_of_image,
)
from gateway.engine.images import restore_groups
from gateway.errors import FeatureNotFoundError
from gateway.messages.common import JsonObject
from gateway.ports import CustomerImage, EntityImage, RowImage, WindowImage
from gateway.rows import Kind, Row, encode_row
from tests.fixtures.app import ManualClock
from tests.unit.gateway.engine.scripted_store import ScriptedStore
from tests.unit.gateway.lifecycle.records import SSO, feature


@pytest.fixture
async def catalog() -> Catalog:
    store = ScriptedStore(feature("calls", precision=0), feature("words", precision=1), SSO)
    found = Catalog(store, ManualClock())
    await found.refresh()
    return found


def overage(*features: str) -> JsonObject:
    return {"overage_allowed": [{"feature_id": name, "enabled": True} for name in features]}


def spend(limit: int, **entry: object) -> JsonObject:
    return {"spend_limits": [{"enabled": True, "overage_limit": limit, **entry}]}


def customer(controls: JsonObject) -> CustomerDocument:
    return CustomerDocument(created_at=1, billing_controls=controls)


ROW = Row(id="r", kind=Kind.SHARED, grant=5)


async def test_a_record_for_each_feature_that_has_or_may_have_had_rules(catalog: Catalog) -> None:
    before = customer_scope(customer(overage("calls", "sso")), [], {"words": [ROW]})
    after = before._replace(controls=spend(3, feature_id="words"))
    records = await rules_of(catalog, "sandbox", after, before)
    assert records == "calls\x1f\x1esso\x1f\x1ewords\x1fs\t30\t0"
    assert await rules_of(catalog, "sandbox", after) == "words\x1fs\t30\t0"


async def test_what_an_entry_without_a_feature_ruled_is_removed_too(catalog: Catalog) -> None:
    before = customer_scope(customer(spend(3)), [], {"words": [ROW]})
    after = before._replace(controls={})
    assert await rules_of(catalog, "sandbox", after, before) == "words\x1f"


async def test_without_controls_nothing_is_sent(catalog: Catalog) -> None:
    scope = entity_scope(EntityDocument(created_at=2), {"words": [ROW]})
    assert await rules_of(catalog, "sandbox", scope, scope) == ""


async def test_controls_of_an_unknown_feature_are_refused(catalog: Catalog) -> None:
    await check_controls(catalog, "sandbox", overage("calls"))
    await check_controls(catalog, "sandbox", None)
    with pytest.raises(FeatureNotFoundError, match=r"^billing_controls.overage_allowed.1"):
        await check_controls(catalog, "sandbox", overage("calls", "gone"))


async def test_a_customer_comes_back_with_all_its_rules(catalog: Catalog) -> None:
    plan = Subscription(id="s", plan_id="p", version=1, billing_controls=overage("calls"))
    zoe = EntityDocument(created_at=2, billing_controls=spend(7))
    image = CustomerImage(
        env="sandbox",
        customer_id="ada",
        internal_id="cus_1",
        seq=9,
        counter=20,
        number_max=7,
        document=encode_document(customer(spend(2, feature_id="words"))),
        subscriptions=[encode_document(plan)],
        rows=[RowImage("words", "zoe", encode_row(ROW), 0, 1, 0)],
        slots=[],
        entities=[
            EntityImage("zoe", 1, "seats", encode_document(zoe)),
            EntityImage("bob", 2, "seats", encode_document(EntityDocument(created_at=2))),
            EntityImage("eve", 3, "seats", encode_document(EntityDocument(created_at=2))),
        ],
        windows=[WindowImage("calls", "eve", "", 5, 1)],
        locks=[],
    )
    rules, own = await rules_of_image(catalog, image)
    assert rules == {"calls": "o\t1", "words": "s\t20\t0"}
    assert own == {
        ("words", "zoe"): "s\t70\t0",
        ("", "zoe"): "words\x1e",
        ("", "eve"): "calls\x1e",
    }
    holdings = restore_groups(image, rules, own)[1]
    fields = dict(zip(holdings[::2], holdings[1::2], strict=True))
    assert fields["l:words\tzoe"] == "s\t70\t0"
    assert fields["l:\tzoe"] == "words\x1e"
