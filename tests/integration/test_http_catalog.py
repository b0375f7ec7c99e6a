"""Features and plans over HTTP, with the real catalog on SQL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.api.resources.examples import PLAN, PLAN_REQUEST
from gateway.app import Runtime, build_app
from gateway.engine.plans import Attachments
from tests.fixtures.app import KEY, Api, FakeApi


async def define(api: Api, feature_id: str, **fields: object) -> dict[str, object]:
    given = {"name": feature_id.title(), "type": "metered", "consumable": True, **fields}
    answer = await api.call("features.create", feature_id=feature_id, **given)
    assert answer.status == 200, answer.body
    body: dict[str, object] = answer.body
    return body


async def precision(api: Api, feature_id: str) -> int:
    answer = await api.call("features.get", feature_id=feature_id)
    return int(answer.body["precision"])


async def grant(
    api: Api, plan_id: str, feature_id: str, included: object, **item: object
) -> tuple[int, Any]:
    items = [{"feature_id": feature_id, "included": included, **item}]
    answer = await api.call("plans.create", plan_id=plan_id, name=plan_id, items=items)
    return answer.status, answer.body


async def test_a_feature_is_created_shown_and_listed(api: Api) -> None:
    created = await define(api, "messages", event_names=["sent"])
    shown = await api.call("features.get", feature_id="messages")
    listed = await api.call("features.list")

    assert created == {
        "id": "messages",
        "name": "Messages",
        "type": "metered",
        "consumable": True,
        "event_names": ["sent"],
        "archived": False,
        "precision": 6,
    }
    assert shown.body == created
    assert listed.body == {"list": [created]}


async def test_a_feature_id_is_taken_once(api: Api) -> None:
    await define(api, "messages")

    again = await api.call("features.create", feature_id="messages", name="M", type="boolean")

    assert again.error == (409, "duplicate_feature_id")


async def test_a_credit_system_keeps_its_schema_exactly(api: Api) -> None:
    await define(api, "messages")
    content = (
        b'{"feature_id": "credits", "name": "C", "type": "credit_system", "credit_schema": '
        b'[{"metered_feature_id": "messages", "credit_cost": 0.30}]}'
    )

    answer = await api.send("features.create", content)

    assert answer.body["precision"] == 9
    cost = {"metered_feature_id": "messages", "credit_cost": 0.3}
    assert answer.body["credit_schema"] == [cost]


async def test_a_plan_is_answered_as_the_page_shows_it(api: Api) -> None:
    await define(api, "messages")
    await define(api, "seats", consumable=False)
    await define(api, "reports")

    answer = await api.call("plans.create", **PLAN_REQUEST)
    shown = await api.call("plans.get", plan_id="team")
    listed = await api.call("plans.list")

    assert answer.body == {**PLAN, "created_at": answer.body["created_at"]}
    assert shown.body == answer.body
    assert listed.body == {"list": [answer.body]}


async def test_numbers_of_the_python_client_are_understood(api: Api) -> None:
    await define(api, "messages", precision=2.0)
    reset = {"interval": "month", "interval_count": 3.0}

    status, body = await grant(api, "p", "messages", 50.0, reset=reset)

    assert status == 200
    assert body["items"][0]["included"] == 50
    assert body["items"][0]["reset"] == {"interval": "month", "interval_count": 3}


async def test_an_amount_comes_back_digit_for_digit(api: Api) -> None:
    await define(api, "messages")
    content = (
        b'{"plan_id": "p", "name": "P", "items": [{"feature_id": "messages", "included": 10.15, '
        b'"price": {"amount": 0.0000010, "interval": "month", "billing_method": "usage_based"}}]}'
    )

    answer = await api.client.post(
        "/v1/plans.create", content=content, headers={"authorization": f"Bearer {KEY}"}
    )

    assert b'"included":10.15,' in answer.content
    assert b'"amount":0.000001,' in answer.content


async def test_a_grant_lowers_the_precision_of_an_unused_feature(api: Api) -> None:
    await define(api, "seats", consumable=False)
    await define(api, "tokens")

    status, _ = await grant(api, "p", "tokens", 1_000_000, entity_feature_id="seats")

    assert status == 200
    assert await precision(api, "tokens") == 3


async def test_a_chosen_precision_is_not_lowered(api: Api) -> None:
    await define(api, "tokens", precision=6)

    status, body = await grant(api, "p", "tokens", 10_000_000_000)

    assert (status, body["code"]) == (400, "invalid_inputs")
    assert "items.0.included" in body["message"]
    assert "features.update" in body["message"]
    assert await precision(api, "tokens") == 6


async def test_the_remedy_in_the_message_works(api: Api) -> None:
    await define(api, "tokens", precision=6)

    updated = await api.call("features.update", feature_id="tokens", precision=2)
    status, _ = await grant(api, "p", "tokens", 10_000_000_000)

    assert (updated.body["precision"], status) == (2, 200)


async def test_the_precision_of_a_feature_in_use_is_fixed(fake_api: FakeApi) -> None:
    api = fake_api.api
    await define(api, "tokens")
    await fake_api.catalog.use_feature(await fake_api.catalog.feature("sandbox", "tokens"))

    status, body = await grant(api, "p", "tokens", 10_000_000_000)
    update = await api.call("features.update", feature_id="tokens", precision=2)

    assert (status, body["code"]) == (400, "invalid_inputs")
    assert "tokens is in use with precision 6" in body["message"]
    assert update.error == (400, "invalid_feature")


async def test_more_than_ten_trillion_is_refused(api: Api) -> None:
    await define(api, "tokens")

    most, _ = await grant(api, "p", "tokens", 10_000_000_000_000)
    status, body = await grant(api, "q", "tokens", 10_000_000_000_001)

    assert most == 200
    assert (status, body["code"]) == (400, "invalid_inputs")


async def test_an_unknown_feature_in_a_plan_is_a_404(api: Api) -> None:
    status, body = await grant(api, "p", "nothing", 1)

    assert (status, body["code"]) == (404, "feature_not_found")


async def test_a_plan_id_is_taken_once(api: Api) -> None:
    await define(api, "tokens")
    await grant(api, "p", "tokens", 1)

    status, body = await grant(api, "p", "tokens", 1)

    assert (status, body["code"]) == (400, "product_already_exists")


@pytest.mark.parametrize(
    ("operation", "code"), [("features.get", "feature"), ("plans.get", "plan")]
)
async def test_what_does_not_exist_is_a_404(api: Api, operation: str, code: str) -> None:
    answer = await api.call(operation, **{f"{code}_id": "nothing"})

    assert answer.status == 404


async def test_a_version_of_a_plan_that_was_never_made_is_a_404(api: Api) -> None:
    await define(api, "tokens")
    await grant(api, "p", "tokens", 1)

    known = await api.call("plans.get", plan_id="p", version=1.0)
    unknown = await api.call("plans.get", plan_id="p", version=2)

    assert known.status == 200
    assert unknown.error == (404, "product_not_found")


async def test_a_rename_reaches_plans_and_credit_systems(api: Api) -> None:
    await define(api, "old")
    schema = [{"metered_feature_id": "old", "credit_cost": 2}]
    await define(api, "credits", type="credit_system", credit_schema=schema)
    await grant(api, "p", "old", 5)

    renamed = await api.call("features.update", feature_id="old", new_feature_id="new")
    plan = await api.call("plans.get", plan_id="p")
    system = await api.call("features.get", feature_id="credits")
    gone = await api.call("features.get", feature_id="old")

    assert renamed.body["id"] == "new"
    assert plan.body["items"][0]["feature_id"] == "new"
    assert system.body["credit_schema"][0]["metered_feature_id"] == "new"
    assert gone.error == (404, "feature_not_found")


async def test_a_credit_system_that_names_itself_is_spent_as_it_is(live_api: Api) -> None:
    # Cold-path section 1.2: such a line is not refused; it costs nothing beside what is spent.
    await define(live_api, "calls")
    schema = [
        {"metered_feature_id": "coins", "credit_cost": 3},
        {"metered_feature_id": "calls", "credit_cost": 2},
    ]
    created = await define(live_api, "coins", type="credit_system", credit_schema=schema)
    await grant(live_api, "p", "coins", 100)
    customer = {"customer_id": "ann"}
    await live_api.call("customers.get_or_create", **customer)
    await live_api.call("billing.attach", **customer, plan_id="p")

    own = await live_api.call("balances.track", **customer, feature_id="coins", value=10)
    paid = await live_api.call("balances.track", **customer, feature_id="calls", value=5)
    asked = await live_api.call(
        "balances.check", **customer, feature_id="coins", required_balance=80
    )
    deleted = await live_api.call("features.delete", feature_id="calls")

    assert created["credit_schema"] == schema
    assert own.body["balance"]["usage"] == 10
    assert paid.body["balance"]["usage"] == 20
    assert (asked.body["allowed"], asked.body["required_balance"]) == (True, 80)
    assert deleted.status == 409


async def test_a_feature_of_a_plan_cannot_be_deleted(api: Api) -> None:
    await define(api, "used")
    await define(api, "unused")
    await grant(api, "p", "used", 5)

    refused = await api.call("features.delete", feature_id="used")
    deleted = await api.call("features.delete", feature_id="unused")
    again = await api.call("features.delete", feature_id="unused")

    assert refused.error == (409, "feature_in_use")
    assert deleted.body == {"success": True}
    assert again.error == (404, "feature_not_found")


async def test_two_processes_see_each_others_catalog_at_once(live_runtime: Runtime) -> None:
    other = Runtime(live_runtime.settings)
    await other.catalog.start()
    here, there = Api(build_app(live_runtime)), Api(build_app(other))
    try:
        await define(here, "seats", consumable=False)
        seen = await there.call("features.get", feature_id="seats")
        status, _ = await grant(there, "p", "seats", 3)
        back = await here.call("plans.get", plan_id="p")
    finally:
        await here.client.aclose()
        await there.client.aclose()
        await other.stop()

    assert (seen.status, status, back.status) == (200, 200, 200)


async def test_a_catalog_story_on_the_real_engine(live_api: Api) -> None:
    await define(live_api, "messages")
    await define(live_api, "seats", consumable=False)
    await define(live_api, "reports")
    await live_api.call("plans.create", **PLAN_REQUEST)
    await live_api.call("customers.get_or_create", customer_id="cus_123")

    attached = await live_api.call("billing.attach", customer_id="cus_123", plan_id="team")
    entity = await live_api.call(
        "entities.create", customer_id="cus_123", entity_id="seat_42", feature_id="seats"
    )
    content = json.dumps(
        {"customer_id": "cus_123", "entity_id": "seat_42", "feature_id": "reports"}
    ).encode()
    checked = await live_api.send("balances.check", content, query="?expand=balance.feature")
    tracked = await live_api.send("balances.track", content, query="?expand=balance.feature")

    assert (attached.status, entity.status) == (200, 200)
    assert checked.body["allowed"] is True
    assert checked.body["balance"]["granted"] == 50
    assert checked.body["balance"]["feature"]["id"] == "reports"
    assert tracked.body["balance"]["feature"] == checked.body["balance"]["feature"]


@pytest.mark.parametrize("asked", ["balances.feature", "flags.feature"])
async def test_a_flag_brings_its_feature_where_balances_do(live_api: Api, asked: str) -> None:
    await live_api.call("features.create", feature_id="sso", name="SSO", type="boolean")
    item = {"feature_id": "sso"}
    await live_api.call("plans.create", plan_id="sso", name="SSO", items=[item])
    ada = {"customer_id": "ada"}
    await live_api.call("customers.get_or_create", **ada)
    await live_api.call("billing.attach", **ada, plan_id="sso")

    expanded = await live_api.call("customers.get_or_create", **ada, expand=[asked])
    plain = await live_api.call("customers.get_or_create", **ada)
    content = json.dumps({**ada, "feature_id": "sso"}).encode()
    query = f"?expand={asked.replace('s.', '.')}"
    checked = await live_api.send("balances.check", content, query=query)

    assert checked.body["flag"]["feature"]["name"] == "SSO"
    assert expanded.body["flags"]["sso"]["feature"]["name"] == "SSO"
    assert "feature" not in plain.body["flags"]["sso"]


async def test_a_plan_that_was_deleted_while_it_was_attached_can_be_looked_at_and_canceled(
    live_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> set[str]:
        return set()  # whoever attaches it has been acknowledged since

    await define(live_api, "messages")
    await grant(live_api, "chat", "messages", 5)
    named = {"customer_id": "ada", "plan_id": "chat"}
    await live_api.call("customers.get_or_create", customer_id="ada")
    await live_api.call("billing.attach", **named)
    monkeypatch.setattr(Attachments, "plan_statuses", nobody)
    assert (await live_api.call("plans.delete", plan_id="chat")).status == 200

    shown = await live_api.call("customers.get", customer_id="ada", expand=["subscriptions.plan"])
    (held,) = shown.body["subscriptions"]
    assert (held["plan_id"], "plan" in held) == ("chat", False)
    for operation in ("billing.preview_update", "billing.update"):
        ended = await live_api.call(operation, **named, cancel_action="cancel_immediately")
        assert ended.status == 200, ended.body
