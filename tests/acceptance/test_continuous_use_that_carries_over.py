"""Continuous use goes on whatever plan comes, also from what each entity has to what all share, and
back (cold-path section 3.5).
"""

from __future__ import annotations

from tests.acceptance.store import Store


def flows(store: Store, *entities: str | None) -> list[list[float]]:
    """Return granted, remaining and usage of workflows for each scope."""
    return [store.state(entity, "workflows") for entity in entities]


def test_continuous_use_of_entities_is_used_of_what_they_share_from_now_on(store: Store) -> None:
    """By a step up, a step down and a cancel."""
    store.plan("free", store.item("workflows", 4), auto_enable=True)
    store.plan("pro", store.item("workflows", 5, **store.each))
    store.plan("premium", store.item("workflows", 20))
    store.join()
    store.entities("a", "b")
    store.take("pro")
    store.track(3, "a", "workflows")
    store.track(1, "b", "workflows")
    store.take("premium")
    assert flows(store, None, "a", "b") == [[20, 16, 4]] * 3
    store.track(3, "b", "workflows")
    store.take("pro")
    store.end_of_cycle()
    assert flows(store, None, "a", "b") == [[10, 3, 7], [5, 0, 5], [5, 3, 2]]
    store.forget()
    assert flows(store, None, "a", "b") == [[10, 3, 7], [5, 0, 5], [5, 3, 2]]
    store.change("pro", cancel_action="cancel_immediately")
    assert flows(store, None) == [[4, 0, 7]]
    assert store.stored_usage("workflows") == 7


def test_continuous_use_goes_on_in_items_of_another_kind(store: Store) -> None:
    store.plan("pro", store.item("workflows", 5, **store.each))
    store.entities("a", "b")
    store.take("pro")
    store.track(3, "a", "workflows")
    store.track(1, "b", "workflows")
    store.change("pro", customize={"items": [store.item("workflows", 9)]})
    assert flows(store, None, "b") == [[9, 5, 4]] * 2
    store.change("pro", customize={"items": [store.item("workflows", 6, **store.each)]})
    assert flows(store, None, "a", "b") == [[12, 8, 4], [6, 2, 4], [6, 6, 0]]


def test_continuous_use_of_entities_is_used_in_a_trial_and_after_it(store: Store) -> None:
    trial = {"duration_length": 7, "duration_type": "day", "on_end": "revert"}
    store.plan("pro", store.item("workflows", 5, **store.each))
    store.plan("premium", store.item("workflows", 20), free_trial=trial)
    store.entities("a", "b")
    store.take("pro")
    store.track(3, "a", "workflows")
    store.track(1, "b", "workflows")
    store.take("premium")
    store.track(2, feature="workflows")
    assert flows(store, None) == [[20, 14, 6]]
    store.advance("8d")
    assert flows(store, None, "a", "b") == [[10, 4, 6], [5, 0, 5], [5, 4, 1]]


def test_entities_of_the_feature_are_counted_once_where_all_share_from_now_on(
    store: Store,
) -> None:
    store.plan("pro", store.item("workflows", 5, **store.each))
    store.plan("premium", store.item("workflows", 20))
    store.entities("a", "b")
    store.take("pro")
    for name in ("flow1", "flow2"):
        seat = {"entity_id": name, "feature_id": store.name("workflows")}
        store.gateway.call("entities.create", customer_id=store.customer, **seat)
    store.track(1, "b", "workflows")
    assert flows(store, None, "a", "b") == [[10, 7, 3], [5, 3, 2], [5, 4, 1]]
    store.take("premium")
    assert flows(store, None) == [[20, 17, 3]]
