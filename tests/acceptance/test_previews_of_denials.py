"""What the preview of a denied check suggests (hot-path section 1.1)."""

from __future__ import annotations

from tests.acceptance.store import Store
from tests.fixtures.gateways import Json


def denied(store: Store, feature: str = "messages", entity: str = "", **more: Json) -> Json:
    """Return the preview of a check that is denied."""
    asked = {"feature_id": store.name(feature), "with_preview": True, **more}
    answer = store.gateway.call("balances.check", **store.scope(entity), **asked)
    assert answer["allowed"] is False
    return answer["preview"]


def ids(preview: Json) -> list[str]:
    return [one["id"] for one in preview["products"]]


def test_a_plan_that_gives_more_is_suggested_as_the_reference_does(store: Store) -> None:
    store.plan("free", store.monthly(1000), group=store.name("free"))
    bench = store.plan("bench", store.monthly(1_000_000_000))
    store.take("free")

    preview = denied(store, required_balance=1001)

    (product,) = preview.pop("products")
    assert preview == {
        "scenario": "usage_limit",
        "title": "Upgrade to bench",
        "message": "You have reached the usage limit for messages. "
        "Please upgrade to bench to continue using this feature.",
        "feature_id": store.name("messages"),
        "feature_name": "messages",
        "upgrade_product_id": bench,
    }
    (item,) = product["items"]
    assert (product["id"], product["scenario"]) == (bench, "new")
    assert product["properties"]["is_free"] is True
    assert (item["included_usage"], item["interval"]) == (1_000_000_000, "month")


def test_steps_up_are_suggested_before_add_ons_and_in_the_order_of_plans(store: Store) -> None:
    store.plan("pack", store.lifetime(10), add_on=True)
    for name, included in (("free", 10), ("starter", 10), ("pro", 500), ("premium", 2000)):
        store.plan(name, store.monthly(included))
    store.take("free")

    at_first = denied(store, send_event=True, required_balance=11)
    store.take("pro")
    later = denied(store, required_balance=501)
    store.take("premium")
    at_last = denied(store, required_balance=2001)

    assert ids(at_first) == [store.name(name) for name in ("pro", "premium", "pack")]
    assert [one["scenario"] for one in at_first["products"]] == ["upgrade", "upgrade", "new"]
    assert ids(later) == [store.name("premium"), store.name("pack")]
    assert ids(at_last) == [store.name("pack")]
    assert at_last["title"] == "Add pack"
    assert at_last["message"].endswith("Please add pack to continue using this feature.")


def test_credits_that_pay_are_suggested(store: Store) -> None:
    store.actions()
    credits_plan = store.plan("pro", store.monthly(100, "credits"))
    store.plan("premium", store.monthly(100, "credits2"))

    assert ids(denied(store, "action1")) == [credits_plan]
    assert denied(store, "action1")["feature_id"] == store.name("action1")


def test_an_entity_is_suggested_what_neither_it_nor_its_customer_holds(store: Store) -> None:
    store.plan("free", store.lifetime(5, "users"), store.monthly(10))
    store.plan("pro", store.monthly(50))
    store.plan("premium", store.monthly(500))
    store.take("free")
    store.entities("e1")

    before = denied(store, entity="e1", required_balance=1000)
    store.take("pro", "e1")
    after = denied(store, entity="e1", required_balance=1000)

    assert ids(before) == [store.name("pro"), store.name("premium")]
    assert (ids(after), after["products"][0]["scenario"]) == ([store.name("premium")], "upgrade")


def test_a_flag_is_suggested_with_the_plan_that_has_it(store: Store) -> None:
    store.plan("free", store.monthly(10))
    store.plan("pro", store.item("dashboard"))
    store.take("free")

    preview = denied(store, "dashboard")

    assert ids(preview) == [store.name("pro")]
    assert (preview["scenario"], preview["title"]) == ("feature_flag", "Upgrade to pro")
    assert preview["message"] == (
        "dashboard is not part of the current plan. Please upgrade to pro to use this feature."
    )


def test_with_nothing_to_suggest_a_preview_says_so_alone(store: Store) -> None:
    store.plan("premium", store.monthly(500))
    store.take("premium")
    store.plan("pro", store.monthly(50))
    store.plan("gone", store.monthly(5000))
    store.gateway.call("plans.update", plan_id=store.name("gone"), archived=True)

    assert denied(store, required_balance=501) == {
        "scenario": "usage_limit",
        "title": "Limit reached",
        "message": "There is not enough messages left.",
        "feature_id": store.name("messages"),
        "feature_name": "messages",
        "products": [],
    }


def test_the_newest_version_of_a_plan_is_suggested(store: Store) -> None:
    store.plan("pro", store.monthly(50))
    store.take("pro")
    store.join()
    newer = {"items": [store.monthly(70)]}
    store.gateway.call("plans.update", plan_id=store.name("pro"), **newer)

    (product,) = denied(store)["products"]

    assert (product["version"], product["items"][-1]["included_usage"]) == (2, 70)
