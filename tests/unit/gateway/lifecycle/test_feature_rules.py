"""Which features are allowed, and what a change of one writes."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import (
    FeatureExistsError,
    FeatureInUseError,
    GatewayError,
    InvalidFeatureError,
    InvalidInputsError,
    InvalidRequestError,
    NotSupportedError,
)
from gateway.lifecycle.catalog import CatalogView
from gateway.lifecycle.feature_rules import change_feature, check_deletable, new_feature
from gateway.messages.features import (
    FeatureCreateRequest,
    FeatureUpdateRequest,
    StoredCost,
    decode_feature_document,
)
from gateway.messages.plans import ItemPrice, PlanDocument, PlanItem, decode_plan_document
from gateway.ports import FeatureRecord
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature, plan, view

PRICE = ItemPrice(interval="month", billing_method="usage_based", amount="1")


def create(catalog: CatalogView | None = None, **fields: object) -> FeatureRecord:
    body = {"feature_id": "f", "name": "F", "type": "metered", "consumable": True, **fields}
    request = msgspec.json.decode(msgspec.json.encode(body), type=FeatureCreateRequest)
    return new_feature("sandbox", request, catalog or view(), 7)


def update(feature_id: str, **fields: object) -> FeatureUpdateRequest:
    body = {"feature_id": feature_id, **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=FeatureUpdateRequest)


def costs(*lines: tuple[str, object]) -> list[dict[str, object]]:
    return [{"metered_feature_id": source, "credit_cost": cost} for source, cost in lines]


def credits_for(source: str, **fields: object) -> FeatureRecord:
    cost = StoredCost(metered_feature_id=source, credit_cost="2")
    return feature("credits", type="credit_system", precision=9, credit_schema=[cost], **fields)


def plan_with(*items: PlanItem) -> CatalogView:
    return view(feature(), SEATS, SSO, plans=(plan("p", PlanDocument(name="P", items=[*items])),))


def test_the_default_precision_depends_on_the_type() -> None:
    assert create().precision == 6
    assert create(type="boolean", consumable=None).precision == 0
    assert create(type="credit_system", credit_schema=costs(("m", 1))).precision == 9
    assert create(precision=2.0).precision == 2


def test_whether_the_precision_was_chosen_is_remembered() -> None:
    assert decode_feature_document(create(precision=6).document).precision_chosen
    assert not decode_feature_document(create().document).precision_chosen


def test_event_names_are_kept_once_in_order() -> None:
    assert create(event_names=["b", "a", "b"]).event_names == ("b", "a")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"consumable": None}, InvalidInputsError, "consumable: is required"),
        ({"type": "static"}, InvalidInputsError, "type: must be one of"),
        ({"type": "ai_credit_system"}, NotSupportedError, "type:"),
        ({"precision": 10}, InvalidInputsError, "precision: must be 0 to 9"),
        ({"precision": -1}, InvalidInputsError, "precision: must be 0 to 9"),
        ({"precision": 1.5}, InvalidInputsError, "precision: must be an integer"),
        ({"type": "boolean", "precision": 2}, InvalidInputsError, "precision: a boolean"),
        ({"credit_schema": costs(("m", 1))}, InvalidFeatureError, "credit_schema: only"),
        ({"type": "credit_system"}, InvalidFeatureError, "credit_schema: a credit system needs"),
        ({"type": "credit_system", "credit_schema": []}, InvalidFeatureError, "credit_schema:"),
        (
            {"type": "credit_system", "consumable": False, "credit_schema": costs(("m", 1))},
            InvalidFeatureError,
            "consumable: a credit system is always consumable",
        ),
        (
            {"type": "credit_system", "credit_schema": costs(("m", 1), ("m", 2))},
            InvalidFeatureError,
            "credit_schema.1.metered_feature_id: m is listed twice",
        ),
        (
            {"type": "credit_system", "credit_schema": costs(("credits", 1))},
            InvalidFeatureError,
            "credit_schema.0.metered_feature_id: credits is a credit system",
        ),
        (
            {"type": "credit_system", "credit_schema": costs(("seats", 1))},
            InvalidFeatureError,
            "credit_schema.0.metered_feature_id: seats is not consumable",
        ),
        (
            {"type": "credit_system", "credit_schema": costs(("m", 0))},
            InvalidInputsError,
            "credit_schema.0.credit_cost: must be greater than 0",
        ),
        (
            {"type": "credit_system", "credit_schema": costs(("m", "1"))},
            InvalidInputsError,
            "credit_schema.0.credit_cost: must be a number",
        ),
    ],
)
def test_an_illegal_definition_is_refused(
    fields: dict[str, object], error: type[GatewayError], message: str
) -> None:
    if fields.get("type") in ("boolean", "credit_system"):
        fields = {"consumable": None, **fields}

    with pytest.raises(error) as caught:
        create(view(SEATS, credits_for("m")), **fields)

    assert caught.value.message.startswith(message)


def test_a_schema_may_name_features_that_do_not_exist_yet() -> None:
    system = create(type="credit_system", consumable=None, credit_schema=costs(("later", 0.1)))

    assert decode_feature_document(system.document).credit_schema[0].credit_cost == "0.1"


def test_a_feature_a_schema_names_must_turn_out_consumable() -> None:
    with pytest.raises(InvalidFeatureError, match="not consumable"):
        create(view(credits_for("f")), consumable=False)


def test_an_id_is_taken_once() -> None:
    with pytest.raises(FeatureExistsError):
        create(view(feature("f")))


def test_only_what_is_sent_changes() -> None:
    old = feature(event_names=("a",), precision=3, precision_chosen=True)

    change = change_feature(update("messages", name="New"), view(old))

    assert change.feature == msgspec.structs.replace(old, name="New")
    assert (change.plans, change.credit_systems) == ([], [])


def test_sending_the_same_type_keeps_a_lowered_precision() -> None:
    old = feature(precision=3)

    change = change_feature(update("messages", type="metered", consumable=True), view(old))

    assert change.feature.precision == 3


@pytest.mark.parametrize(
    ("request_", "catalog", "error"),
    [
        (update("messages", new_feature_id="seats"), view(feature(), SEATS), FeatureExistsError),
        (update("messages", new_feature_id="n"), view(feature(in_use=True)), InvalidFeatureError),
        (update("messages", type="boolean"), view(feature(in_use=True)), InvalidFeatureError),
        (update("messages", consumable=False), view(feature(in_use=True)), InvalidFeatureError),
        (update("messages", precision=2), view(feature(in_use=True)), InvalidFeatureError),
        (update("messages", type="metered"), view(feature()), InvalidInputsError),
        (
            update("messages", type="credit_system", credit_schema=costs(("m", 1))),
            view(feature()),
            InvalidRequestError,
        ),
        (
            update("credits", type="metered", consumable=True),
            view(credits_for("m")),
            InvalidRequestError,
        ),
        (
            update("messages", type="boolean"),
            plan_with(PlanItem(feature_id="messages", price=PRICE)),
            InvalidFeatureError,
        ),
        (
            update("seats", consumable=True),
            plan_with(PlanItem(feature_id="messages", entity_feature_id="seats")),
            InvalidFeatureError,
        ),
        (
            update("messages", consumable=False),
            view(feature(), credits_for("messages")),
            InvalidFeatureError,
        ),
        (
            update("messages", precision=1),
            plan_with(PlanItem(feature_id="messages", included="0.25")),
            InvalidInputsError,
        ),
        (
            update("messages", precision=9),
            plan_with(PlanItem(feature_id="messages", included="10000000")),
            InvalidInputsError,
        ),
    ],
)
def test_a_change_that_would_break_something_is_refused(
    request_: FeatureUpdateRequest, catalog: CatalogView, error: type[GatewayError]
) -> None:
    with pytest.raises(error):
        change_feature(request_, catalog)


def test_a_credit_system_that_names_itself_does_so_by_its_new_id_too() -> None:
    old = credits_for("credits")
    change = change_feature(update("credits", new_feature_id="coins"), view(old))
    document = decode_feature_document(change.feature.document)
    assert [cost.metered_feature_id for cost in document.credit_schema] == ["coins"]
    assert change.credit_systems == []


def test_a_feature_in_use_may_be_renamed_for_people_and_archived() -> None:
    catalog = view(feature(in_use=True))

    change = change_feature(update("messages", name="N", archived=True, precision=6), catalog)

    assert (change.feature.name, change.feature.archived) == ("N", True)


def test_a_new_id_reaches_plans_and_schemas() -> None:
    catalog = plan_with(
        PlanItem(feature_id="messages"),
        PlanItem(feature_id="sso"),
    )
    catalog = catalog._replace(features={**catalog.features, "credits": credits_for("messages")})

    change = change_feature(update("messages", new_feature_id="notes"), catalog)

    (stored,) = change.plans
    (system,) = change.credit_systems
    assert [item.feature_id for item in decode_plan_document(stored.document).items] == [
        "notes",
        "sso",
    ]
    assert decode_feature_document(system.document).credit_schema[0].metered_feature_id == "notes"


def test_a_new_id_of_an_entity_feature_reaches_per_entity_items() -> None:
    catalog = plan_with(PlanItem(feature_id="messages", entity_feature_id="seats"))

    change = change_feature(update("seats", new_feature_id="chairs"), catalog)

    (stored,) = change.plans
    assert decode_plan_document(stored.document).items[0].entity_feature_id == "chairs"


def test_a_new_id_reaches_the_controls_of_plans() -> None:
    limit = {"feature_id": "messages", "limit": 5, "interval": "month"}
    other = {"feature_id": "words", "limit": 1, "interval": "day"}
    alert = {"threshold": 1, "threshold_type": "usage"}
    controls = {"usage_limits": [limit, other], "usage_alerts": [alert]}
    document = PlanDocument(name="P", billing_controls=controls)
    catalog = view(feature(), plans=(plan("p", document),))

    change = change_feature(update("messages", new_feature_id="notes"), catalog)

    (stored,) = change.plans
    assert decode_plan_document(stored.document).billing_controls == {
        "usage_limits": [limit | {"feature_id": "notes"}, other],
        "usage_alerts": [alert],
    }


def test_a_boolean_feature_that_is_counted_from_now_on_is_unlimited() -> None:
    catalog = plan_with(PlanItem(feature_id="sso"))

    change = change_feature(update("sso", type="metered", consumable=True), catalog)

    (stored,) = change.plans
    item = decode_plan_document(stored.document).items[0]
    assert (item.unlimited, item.reset_interval) == (True, "one_off")
    assert change.feature.precision == 6


def test_a_metered_feature_that_becomes_boolean_loses_its_allowance() -> None:
    item = PlanItem(feature_id="messages", included="5", reset_interval="month")

    change = change_feature(update("messages", type="boolean"), plan_with(item))

    (stored,) = change.plans
    assert decode_plan_document(stored.document).items == [PlanItem(feature_id="messages")]
    assert change.feature.precision == 0


def test_what_is_named_or_used_cannot_be_deleted() -> None:
    check_deletable("messages", view(feature()))
    limited = {"usage_limits": [{"feature_id": "messages", "limit": 5, "interval": "day"}]}
    for catalog in (
        view(feature(), credits_for("messages")),
        plan_with(PlanItem(feature_id="messages")),
        plan_with(PlanItem(feature_id="sso", entity_feature_id="messages")),
        view(feature(), plans=(plan("pro", PlanDocument(name="Pro", billing_controls=limited)),)),
        view(feature(in_use=True)),
    ):
        with pytest.raises(FeatureInUseError):
            check_deletable("messages", catalog)
