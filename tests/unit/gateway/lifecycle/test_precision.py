"""Which precision the catalog lets a feature in use have."""

from __future__ import annotations

import pytest

from gateway.errors import FeatureNotFoundError, GatewayError, InvalidFeatureError
from gateway.lifecycle.precision import way_to, with_precision
from gateway.messages.features import StoredCost, decode_feature_document
from gateway.messages.plans import PlanDocument, PlanItem
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature, plan, view

USED = feature(in_use=True)


def test_a_feature_in_use_gets_the_precision_that_is_chosen_for_it() -> None:
    new = with_precision("messages", 3, view(USED))
    assert (new.precision, new.in_use) == (3, True)
    assert decode_feature_document(new.document).precision_chosen


def test_what_has_no_amounts_has_no_precision() -> None:
    with pytest.raises(InvalidFeatureError, match="sso is boolean"):
        with_precision("sso", 3, view(SSO))
    with pytest.raises(FeatureNotFoundError):
        with_precision("missing", 3, view(SSO))


def test_plans_have_to_fit_with_as_many_entities_as_there_must_be_room_for() -> None:
    item = PlanItem(feature_id="messages", included="9000", entity_feature_id="seats")
    plans = (plan("pro", PlanDocument(name="Pro", items=[item])),)
    assert with_precision("messages", 9, view(USED, SEATS, plans=plans)).precision == 9
    several = (plan("pro", PlanDocument(name="Pro", items=[item, item])),)
    told = "precision 9 does not hold the 18000000 units of messages that plan pro grants"
    with pytest.raises(GatewayError, match=told):
        with_precision("messages", 9, view(USED, SEATS, plans=several))
    with pytest.raises(GatewayError, match="1,000,000 entities counted"):
        with_precision("messages", 7, view(feature(), SEATS, plans=plans))


def test_controls_of_plans_have_to_fit() -> None:
    limit = {"feature_id": "messages", "limit": 10_000_000, "interval": "day"}
    document = PlanDocument(name="Pro", billing_controls={"usage_limits": [limit]})
    with pytest.raises(GatewayError, match=r"plan pro\.usage_limits\.0\.limit: outside"):
        with_precision("messages", 9, view(USED, plans=(plan("pro", document),)))


@pytest.mark.parametrize("changed", ["credits", "messages"])
def test_credit_costs_have_to_stay_exact(changed: str) -> None:
    cost = StoredCost(metered_feature_id="messages", credit_cost="123.456789")
    system = feature("credits", type="credit_system", precision=6, credit_schema=[cost])
    member = feature(precision=6, in_use=True)
    catalog = view(member, system)
    assert with_precision(changed, 5, catalog).precision == 5
    with pytest.raises(GatewayError, match="cost of messages in credit system credits"):
        with_precision(changed, 9 if changed == "messages" else 0, catalog)


def test_the_way_to_another_precision_is_the_command() -> None:
    assert "tallygate rescale messages --precision 2 --env sandbox" in way_to(USED, 2)
