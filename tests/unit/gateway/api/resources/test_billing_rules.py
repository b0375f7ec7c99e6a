"""What is refused of a body that changes plans, before anything is asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.api.operation import Call
from gateway.api.resources import billing_rules as rules
from gateway.api.unsupported import refusal
from gateway.errors import GatewayError, InvalidInputsError, NotSupportedError
from gateway.messages.billing import (
    AttachRequest,
    MultiAttachRequest,
    SubscriptionUpdateRequest,
)
from gateway.messages.plan_changes import PlanUpdateRequest

CALL = Call(request_id="", env="sandbox")
MAIN = {"customer_id": "ann", "plan_id": "pro"}


def attach(**fields: object) -> None:
    body = msgspec.json.encode({**MAIN, **fields})
    rules.attach(CALL, msgspec.json.decode(body, type=AttachRequest))


def update(**fields: object) -> None:
    body = msgspec.json.encode({**MAIN, **fields})
    rules.update(CALL, msgspec.json.decode(body, type=SubscriptionUpdateRequest))


def plan_update(**fields: object) -> PlanUpdateRequest:
    body = msgspec.json.encode({"plan_id": "pro", **fields})
    request = msgspec.json.decode(body, type=PlanUpdateRequest)
    rules.plan_update(CALL, request)
    return request


def multi_attach(**fields: object) -> MultiAttachRequest:
    body = msgspec.json.encode({"customer_id": "ann", "plans": [{"plan_id": "pro"}], **fields})
    request = msgspec.json.decode(body, type=MultiAttachRequest)
    rules.multi_attach(CALL, request)
    return request


def refused(kind: type[GatewayError], field: str, check: Any, **fields: object) -> None:  # noqa: ANN401 - one of the rules
    with pytest.raises(kind) as told:
        check(**fields)
    assert str(told.value).startswith(f"{field}: ")


@pytest.mark.parametrize("field", rules.UNPAID)
def test_what_needs_a_provider_is_refused_by_name_and_nothing_is_not(field: str) -> None:
    check = attach if field in AttachRequest.__struct_fields__ else update
    more = {} if check is attach else {"no_billing_changes": True}
    refused(NotSupportedError, field, check, **{field: {"some": "thing"}}, **more)
    refused(NotSupportedError, field, check, **{field: {"enabled": True}}, **more)
    refused(NotSupportedError, field, check, **{field: [{"enabled": False}]}, **more)
    nothings: list[object] = [None, False, [], {}, {"enabled": False, "finalize": True}]
    for nothing in nothings:
        check(**{field: nothing}, **more)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plan_schedule", "later"),
        ("starts_at", 10**15),
        ("ends_at", -1),
        ("billing_cycle_anchor", "then"),
        ("billing_cycle_anchor", 10**15),
        ("proration_behavior", "half"),
        ("version", 0),
    ],
)
def test_values_that_are_none_are_refused(field: str, value: object) -> None:
    refused(InvalidInputsError, field, attach, **{field: value})


def test_a_quantity_is_not_negative() -> None:
    for check in (attach, update):
        for amount in (-1, -0.5):
            given = [{"feature_id": "messages", "quantity": amount}]
            place = "feature_quantities.0.quantity"
            refused(InvalidInputsError, place, check, feature_quantities=given)
        check(feature_quantities=[{"feature_id": "messages", "quantity": -0.0}])


def test_an_update_has_something_to_do() -> None:
    refused(InvalidInputsError, "input", update)
    refused(InvalidInputsError, "cancel_action", update, cancel_action="stop")
    refused(InvalidInputsError, "carry_over_usages", update, carry_over_usages={"enabled": True})
    others: list[dict[str, object]] = [
        {"version": 2},
        {"customize": {"items": []}},
        {"feature_quantities": []},
    ]
    for more in others:
        refused(InvalidInputsError, "cancel_action", update, cancel_action="uncancel", **more)


def test_cycles_may_be_counted_from_another_time() -> None:
    update(billing_cycle_anchor="now")
    update(billing_cycle_anchor=1_714_521_600_000.0, carry_over_usages={"enabled": True})
    refused(InvalidInputsError, "billing_cycle_anchor", update, billing_cycle_anchor="then")
    refused(InvalidInputsError, "input", update, billing_cycle_anchor=None)
    update(billing_cycle_anchor="now", cancel_action="uncancel")
    later: dict[str, object] = {"billing_cycle_anchor": 1_714_521_600_000}
    refused(InvalidInputsError, "cancel_action", update, cancel_action="uncancel", **later)


def test_a_plan_that_is_held_begins_no_trial() -> None:
    trial = {"free_trial": {"duration_length": 7}}
    refused(NotSupportedError, "free_trial", update, **trial)
    refused(NotSupportedError, "customize.free_trial", update, customize=trial)
    update(free_trial=None)
    refused(InvalidInputsError, "cancel_action", update, cancel_action="uncancel", free_trial=None)


def test_items_are_replaced_or_patched() -> None:
    both = {"items": [], "remove_items": [{"feature_id": "f"}]}
    refused(InvalidInputsError, "customize.items", attach, customize=both)
    for field in ("upsert_licenses", "remove_licenses"):
        licenses = {field: [{"license_plan_id": "seat"}]}
        refused(NotSupportedError, f"customize.{field}", attach, customize=licenses)


@pytest.mark.parametrize(
    ("field", "selector"),
    [
        ("", {}),
        ("", {"feature_id": None, "included": None}),
        (".feature_id", {"feature_id": ""}),
        (".billing_method", {"billing_method": "cash"}),
        (".interval_count", {"interval_count": 0}),
        (".interval_count", {"interval_count": 1.5}),
        (".included", {"included": "100"}),
    ],
)
def test_items_to_remove_are_said_in_fields_that_can_be(
    field: str, selector: dict[str, object]
) -> None:
    asked = {"remove_items": [{"interval_count": 1.0}, selector]}
    refused(InvalidInputsError, f"customize.remove_items.1{field}", attach, customize=asked)


@pytest.mark.parametrize("field", ["expiry", "feature_override", "threshold_billing"])
def test_an_item_asks_for_nothing_that_is_not_there(field: str) -> None:
    item = {"feature_id": "messages", field: {"length": 1}}
    asked = {"add_items": [{"feature_id": "messages", field: None}, item]}
    refused(NotSupportedError, f"customize.add_items.1.{field}", attach, customize=asked)
    refused(NotSupportedError, f"items.0.{field}", plan_update, items=[item])


def test_a_plan_keeps_a_name() -> None:
    with pytest.raises(InvalidInputsError, match="name: "):
        rules.plan_update(CALL, PlanUpdateRequest(plan_id="pro", name=""))


def test_a_plan_keeps_its_group_whatever_older_clients_always_send() -> None:
    """That is npm autumn-js 1.0 and 1.2, and PyPI autumn-sdk 1.0.0."""
    sent: dict[str, object] = {"group": "", "archived": False}
    assert plan_update(**sent, name="Pro").group is None
    assert plan_update(**sent | {"group": "main"}).group == "main"
    assert plan_update(**sent, create_in_stripe=True).group == ""
    assert plan_update(group="").group == ""


def test_operations_that_are_not_there_are_told_apart_from_unknown_ones() -> None:
    for name in ("billing.setup_payment", "invoices.anything", "logs.search"):
        found = refusal(f"/v1/{name}")
        assert found is not None
        assert found.message.startswith(f"{name}: ")
    assert refusal("/v1/billing.unheard_of") is None
    assert refusal("/invoices.list") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plan_id", "p p"),
        ("version", 0),
        ("subscription_id", ""),
        ("entity_id", ""),
        ("feature_quantities.0.quantity", [{"feature_id": "users", "quantity": -1}]),
        ("customize.items", {"items": [], "add_items": []}),
    ],
)
def test_one_of_several_plans_is_refused_by_its_place(field: str, value: object) -> None:
    plan = {"plan_id": "team", field.partition(".")[0]: value}
    plans = [{"plan_id": "pro"}, plan]
    refused(InvalidInputsError, f"plans.1.{field}", multi_attach, plans=plans)


def test_what_needs_a_provider_is_refused_of_several_plans_too() -> None:
    licensed = {"plan_id": "pro", "license_quantities": [1]}
    refused(NotSupportedError, "plans.0.license_quantities", multi_attach, plans=[licensed])


def test_several_plans_are_for_one_scope() -> None:
    pro, team = {"plan_id": "pro", "entity_id": "e1"}, {"plan_id": "team"}
    refused(NotSupportedError, "plans.1.entity_id", multi_attach, plans=[pro, team])
    assert multi_attach(plans=[pro, team], entity_id="e1").entity_id == "e1"
    assert multi_attach(plans=[pro, {**team, "entity_id": "e1"}]).entity_id == "e1"
    assert multi_attach(plans=[{**pro, "entity_id": None}], entity_id="e1").entity_id is None


def test_several_plans_are_one_to_a_hundred() -> None:
    with pytest.raises(msgspec.ValidationError):
        multi_attach(plans=[])
    refused(InvalidInputsError, "plans", multi_attach, plans=[{"plan_id": "pro"}] * 101)
    multi_attach(plans=[{"plan_id": "pro"}] * 100)


def test_an_id_of_a_subscription_is_given_to_one_of_several_plans() -> None:
    plans = [{"plan_id": one, "subscription_id": "sub_1"} for one in ("pro", "team")]
    refused(InvalidInputsError, "plans.1.subscription_id", multi_attach, plans=plans)
