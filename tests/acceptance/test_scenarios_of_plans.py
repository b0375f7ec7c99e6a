"""Scenarios of the cold path: features and plans are defined, and customers begin with them.

Each test carries the ids it plays.
"""

from __future__ import annotations

from tests.acceptance.store import Store


def test_s01_a_feature_from_its_beginning_to_its_end(store: Store) -> None:
    call, named = store.gateway.call, {"feature_id": store.name("f")}
    made = call("features.create", **named, name="F", type="boolean")
    assert made in call("features.list")["list"]
    assert call("features.get", **named) == made
    assert call("features.update", **named, name="G") == {**made, "name": "G"}
    assert call("features.delete", **named) == {"success": True}


def test_s02_a_price_has_an_amount_or_tiers(store: Store) -> None:
    both = {"amount": 1, "tiers": [{"to": "inf", "amount": 1}]}
    for amounts in ({}, both):
        price = {"interval": "month", "billing_method": "prepaid", **amounts}
        body = {"plan_id": store.name("pro"), "name": "Pro", "items": [store.item(price=price)]}
        assert store.gateway.refusal("plans.create", **body) == (400, "invalid_inputs")


def test_s04_a_grant_has_a_ceiling(store: Store) -> None:
    items = [store.monthly(10_000_000_000_001)]
    body = {"plan_id": store.name("pro"), "name": "Pro", "items": items}
    assert store.gateway.refusal("plans.create", **body) == (400, "invalid_inputs")


def test_s05_items_are_what_their_interval_makes_them(store: Store) -> None:
    quarter = {"interval": "quarter"}
    store.plan("pro", store.monthly(1000), store.item("messages", 3000, reset=quarter))
    items = [store.monthly(1500), store.item("messages", 4500, reset=quarter)]
    changed = store.gateway.call("plans.update", plan_id=store.name("pro"), items=items)
    assert [item["included"] for item in changed["items"]] == [1500, 4500]
    assert changed["version"] == 1


def test_s07_customers_that_left_make_no_version(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.change("pro", cancel_action="cancel_immediately")
    changed = store.gateway.call(
        "plans.update", plan_id=store.name("pro"), items=[store.monthly(200)]
    )
    assert (changed["version"], changed["items"][0]["included"]) == (1, 200)
    store.gateway.wait_for_writer()
    rows = store.gateway.sql(
        "SELECT version, status FROM subscriptions WHERE plan_id = ?", store.name("pro")
    )
    assert rows == [(1, "expired")]


def test_s17_a_customer_without_an_id_gets_one(store: Store) -> None:
    call, email = store.gateway.call, f"first_{store.number}@example.com"
    free = store.plan("free", store.monthly(100), auto_enable=True)
    of = {"customer_id": None, "name": "First Customer"}
    first = call("customers.get_or_create", **of, email=email)
    again = call("customers.get_or_create", customer_id=None, name="Other", email=email.upper())
    assert again == first
    assert (first["id"], first["name"], first["email"]) == (None, "First Customer", email)
    held = [one["plan_id"] for one in first["subscriptions"]]
    assert held.count(free) == 1
    internal = "SELECT internal_id, id FROM customers WHERE email = ?"
    store.gateway.wait_for_writer()
    ((internal_id, _),) = store.gateway.sql(internal, email)
    store.customer = f"cus_claims_{store.number}"
    claimed = call("customers.get_or_create", customer_id=store.customer, email=email)
    assert claimed == {**first, "id": store.customer}
    store.gateway.wait_for_writer()
    assert store.gateway.sql(internal, email) == [(internal_id, store.customer)]
    assert store.left(None) == [100]


def test_a_plan_that_is_held_gets_a_version(store: Store) -> None:
    call, plan_id = store.gateway.call, store.name("pro")
    store.plan("pro", store.monthly(100), auto_enable=False)
    store.take("pro")
    assert call("plans.update", plan_id=plan_id, name="Professional")["version"] == 1
    assert call("plans.update", plan_id=plan_id, items=[store.monthly(200)])["version"] == 2
    kept = call("plans.update", plan_id=plan_id, items=[store.monthly(300)], disable_version=True)
    assert kept["version"] == 2
    assert call("plans.update", plan_id=plan_id, name="Pro", force_version=True)["version"] == 3
    every = call("plans.list", all_versions=True)["list"]
    assert [one["version"] for one in every if one["id"] == plan_id] == [3, 2, 1]
    latest = call("plans.list")["list"]
    assert [one["version"] for one in latest if one["id"] == plan_id] == [3]
    assert store.left(None) == [100]
    every = call("plans.update", plan_id=plan_id, description="All", all_versions=True)
    first = call("plans.get", plan_id=plan_id, version=1)
    assert (every["description"], first["description"]) == ("All", "All")
    listed = call("customers.list", plans=[{"id": plan_id, "versions": [1]}])["list"]
    assert [one["id"] for one in listed] == [store.customer]
    assert call("customers.list", plans=[{"id": plan_id, "versions": [2]}])["list"] == []


def test_a_new_version_of_a_default_takes_its_place(store: Store) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    store.join()
    changed = store.gateway.call(
        "plans.update", plan_id=store.name("free"), items=[store.monthly(200)]
    )
    before = store.gateway.call("plans.get", plan_id=store.name("free"), version=1)
    assert (changed["version"], changed["auto_enable"], before["auto_enable"]) == (2, True, False)
    assert store.left(None) == [100]
    store.join()
    assert store.left(None) == [200]
    body = {"plan_id": store.name("free"), "version": 1, "auto_enable": True}
    refused = store.gateway.refusal("plans.update", **body)
    assert refused == (400, "historical_plan_version_cannot_be_default")


def test_s08_flags_that_contradict_each_other(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    for flags in (("force_version", "disable_version"), ("disable_version", "all_versions")):
        body = {"plan_id": store.name("pro"), **dict.fromkeys(flags, True)}
        refused = store.gateway.refusal("plans.update", **body)
        assert refused == (400, "conflicting_version_flags")


def test_s10_what_a_customer_may_attach(store: Store) -> None:
    for name in ("free", "starter", "pro", "premium"):
        store.plan(name, store.monthly(100))
    month, once = ({"amount": 20, "interval": each} for each in ("month", "one_off"))
    store.plan("elsewhere", store.monthly(1), price=month, group=store.name("other"))
    store.plan("addon", store.monthly(1), price=month, add_on=True)
    store.plan("oneoff_addon", store.lifetime(1), price=once, add_on=True)
    store.plan("once", store.lifetime(1), price=once)
    store.plan("held", store.monthly(1), price=month, add_on=True)
    store.take("pro")
    store.take("held")

    def listed(**customer: object) -> dict[str, dict[str, object]]:
        plans = store.gateway.call("plans.list", **customer)["list"]
        end = store.name("")
        return {
            one["id"].removesuffix(end): one.get("customer_eligibility")
            for one in plans
            if one["id"].endswith(end)
        }

    seen = listed(customer_id=store.customer)
    assert {name: one["attach_action"] for name, one in seen.items()} == {
        "free": "downgrade",
        "starter": "downgrade",
        "pro": "none",
        "premium": "upgrade",
        "elsewhere": "activate",
        "addon": "activate",
        "held": "none",
        "oneoff_addon": "purchase",
        "once": "purchase",
    }
    assert (seen["pro"]["status"], seen["pro"]["canceling"]) == ("active", False)
    store.change("pro", cancel_action="cancel_end_of_cycle")
    seen = listed(customer_id=store.customer)
    assert seen["pro"]["canceling"] is True
    assert seen["premium"]["attach_action"] == "upgrade"
    assert set(listed().values()) == {None}


def test_s11_a_plan_nobody_had_is_deleted(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    named = {"plan_id": store.name("pro")}
    assert store.gateway.call("plans.delete", **named) == {"success": True}
    for kind in ("plans.get", "plans.delete", "plans.update"):
        assert store.gateway.refusal(kind, **named) == (404, "product_not_found")
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.change("pro", cancel_action="cancel_immediately")
    assert store.gateway.refusal("plans.delete", **named) == (400, "invalid_request")
    body = {**named, "new_plan_id": store.name("other")}
    assert store.gateway.refusal("plans.update", **body) == (400, "invalid_request")


def test_a_plan_nobody_had_gets_another_id(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.gateway.call("plans.update", plan_id=store.name("pro"), name="P", force_version=True)
    new = {"new_plan_id": store.name("premium")}
    changed = store.gateway.call("plans.update", plan_id=store.name("pro"), **new)
    assert (changed["id"], changed["version"]) == (store.name("premium"), 2)
    assert (
        store.gateway.call("plans.get", plan_id=store.name("premium"), version=1)["name"] == "pro"
    )
    named = {"plan_id": store.name("pro")}
    assert store.gateway.refusal("plans.get", **named) == (404, "product_not_found")


def test_an_archived_plan_is_not_attached_and_stays_with_who_has_it(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.gateway.call("plans.update", plan_id=store.name("pro"), archived=True)
    assert store.left(None) == [100]
    store.join()
    assert store.not_taken("pro") == (400, "invalid_request")


def test_s13_a_free_default(store: Store) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    store.join()
    assert (store.held(), store.left(None)) == ({"free": "active"}, [100])


def test_s16_another_plan_than_the_defaults(store: Store) -> None:
    store.plan("a", store.monthly(100), auto_enable=True, group=store.name("g1"))
    store.plan("b", store.monthly(200), auto_enable=True, group=store.name("g2"))
    store.join(auto_enable_plan_id=store.name("b"))
    assert (store.held(), store.left(None)) == ({"b": "active"}, [200])
    body = {"customer_id": "nobody", "auto_enable_plan_id": "unknown"}
    refused = store.gateway.refusal("customers.get_or_create", **body)
    assert refused == (404, "product_not_found")
    store.plan("pro", store.monthly(100))
    body["auto_enable_plan_id"] = store.name("pro")
    assert store.gateway.refusal("customers.get_or_create", **body)[0] == 400
    assert store.gateway.refusal("customers.get", customer_id="nobody")[0] == 404


def test_s19_controls_of_a_plan_are_shown_with_those_of_the_customer(store: Store) -> None:
    messages, words = store.name("messages"), store.name("words")
    controls = {
        "usage_limits": [
            {"feature_id": messages, "limit": 100, "interval": "day"},
            {"feature_id": words, "limit": 500, "interval": "month"},
        ],
        "usage_alerts": [
            {"feature_id": name, "threshold": 10, "threshold_type": "usage"}
            for name in (messages, words)
        ],
    }
    store.plan("pro", store.monthly(100), store.monthly(1000, "words"), billing_controls=controls)
    store.take("pro")
    own = {
        "usage_limits": [{"feature_id": words, "limit": 50, "interval": "month"}],
        "usage_alerts": [{"feature_id": words, "threshold": 5, "threshold_type": "usage"}],
    }
    store.control(own)
    store.track(3)
    shown = store.view()["billing_controls"]
    limits = {one["feature_id"]: one for one in shown["usage_limits"]}
    assert len(shown["usage_limits"]) == 2
    assert (limits[messages]["source"], limits[messages]["usage"]) == ("plan", 3)
    assert (limits[words]["source"], limits[words]["limit"]) == ("customer", 50)
    alerts = [(one["feature_id"], one["source"]) for one in shown["usage_alerts"]]
    assert sorted(alerts) == sorted([(messages, "plan"), (words, "customer")])
    body = {"customer_id": store.customer}
    older = store.gateway.post("customers.get", body, **{"x-api-version": "2.2"}).json()
    assert older["billing_controls"] == {
        "usage_limits": [own["usage_limits"][0] | {"usage": 0}],
        "usage_alerts": [own["usage_alerts"][0] | {"name": None}],
        **dict.fromkeys(("auto_topups", "overage_allowed", "spend_limits")),
    }


def test_a20_two_checks_at_once_create_one_customer(store: Store) -> None:
    free = store.plan("free", store.monthly(100), auto_enable=True)
    for path in ("check", "balances.check"):
        new = f"{store.customer}_{path.replace('.', '_')}"
        body = {"customer_id": new, "feature_id": store.name("messages")}
        answers = store.at_once((path, body), (path, body), x_api_version="1.2")
        assert [one.status_code for one in answers] == [200, 200]
        assert [one.json()["allowed"] for one in answers] == [True, True]
        assert [one.json()["balance"] for one in answers] == [100, 100]
        customer = store.gateway.call("customers.get", customer_id=new)
        assert [one["plan_id"] for one in customer["subscriptions"]] == [free]
        store.gateway.wait_for_writer()
        rows = store.gateway.sql("SELECT count(*) FROM customers WHERE id = ?", new)
        assert rows == [(1,)]


def test_a_trial_is_left_out_for_one_customer(store: Store) -> None:
    """Cold-path section 3.8: a null ``customize.free_trial`` skips the trial."""
    trial = {"duration_length": 7, "duration_type": "day"}
    without = {"customize": {"free_trial": None}}
    store.plan("pro", store.monthly(500), free_trial=trial)
    store.plan("premium", store.monthly(1000), free_trial=trial)
    store.take("pro", **without)
    store.take("premium")
    store.change("premium", **without)
    body = {**store.scope(None), "expand": ["subscriptions.plan"]}
    (one,) = store.gateway.call("customers.get", **body)["subscriptions"]
    assert one["plan"].get("free_trial") is None
    assert store.not_changed("premium", **without) == (400, "invalid_request")
