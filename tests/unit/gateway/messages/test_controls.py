"""The shape of billing controls: what is refused, and by which name."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.messages.common import JsonObject
from gateway.messages.controls import filter_text, shown_controls, take_document

FIELD = "customer_data.billing_controls"


def limit(**entry: object) -> JsonObject:
    return {"feature_id": "a", "limit": 1, "interval": "day", **entry}


def refused(controls: JsonObject) -> str:
    """Return the place a refusal names."""
    with pytest.raises(InvalidInputsError) as error:
        take_document(controls, FIELD)
    place, _, _ = error.value.message.partition(": ")
    return place.removeprefix(f"{FIELD}.")


@pytest.mark.parametrize("interval", ["day", "week", "month", "year"])
def test_usage_limits_have_four_intervals(interval: str) -> None:
    take_document({"usage_limits": [limit(interval=interval, anchor="utc")]}, FIELD)


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"feature_id": "a", "limit": 1}, "usage_limits.1"),
        ({"feature_id": "a", "interval": "day"}, "usage_limits.1"),
        ({"limit": 1, "interval": "day"}, "usage_limits.1"),
        (limit(interval="one_off"), "usage_limits.1.interval"),
        (limit(anchor="never"), "usage_limits.1.anchor"),
        (limit(limit=-1), "usage_limits.1.limit"),
        (limit(limit="5"), "usage_limits.1.limit"),
        (limit(filter="a"), "usage_limits.1.filter"),
        (limit(filter={}), "usage_limits.1.filter"),
        (limit(filter={"properties": {"a": 1}, "b": 1}), "usage_limits.1.filter"),
        (limit(filter={"properties": {}}), "usage_limits.1.filter.properties"),
        (
            limit(filter={"properties": dict.fromkeys("abcde", 1)}),
            "usage_limits.1.filter.properties",
        ),
        (limit(filter={"properties": {"a": None}}), "usage_limits.1.filter.properties"),
        (limit(filter={"properties": {"a": {"b": 1}}}), "usage_limits.1.filter.properties"),
        (limit(filter={"properties": {"a": []}}), "usage_limits.1.filter.properties"),
        (limit(filter={"properties": {"a": [[1]]}}), "usage_limits.1.filter.properties.0"),
    ],
)
def test_a_usage_limit_of_another_shape_is_refused(entry: JsonObject, place: str) -> None:
    assert refused({"usage_limits": [limit(feature_id="b"), entry]}) == place


@pytest.mark.parametrize(
    "array", ["auto_topups", "spend_limits", "usage_limits", "overage_allowed"]
)
def test_two_entries_of_one_feature_are_refused(array: str) -> None:
    entry = limit(threshold=1, quantity=1)
    assert refused({array: [entry, limit(feature_id="b", threshold=1, quantity=1), entry]}) == (
        f"{array}.2"
    )


@pytest.mark.parametrize("entry", [{"overage_limit": 5}, {"skip_overage_billing": True}])
def test_a_spend_limit_that_says_something_is_about_a_feature(entry: JsonObject) -> None:
    take_document({"spend_limits": [{"enabled": False}]}, FIELD)
    about_one = {"feature_id": "a", **entry}
    take_document({"spend_limits": [about_one]}, FIELD)
    controls: JsonObject = {"spend_limits": [about_one, {"enabled": True, **entry}]}
    assert refused(controls) == "spend_limits.1.feature_id"


def test_limits_of_one_feature_may_differ_in_their_filter() -> None:
    filters = [None, {"properties": {"a": 1}}, {"properties": {"a": 2}}]
    take_document({"usage_limits": [limit(filter=one) for one in filters]}, FIELD)
    same = [{"properties": {"a": [1, "x"], "b": 2}}, {"properties": {"b": 2.0, "a": ["x", 1, 1]}}]
    assert refused({"usage_limits": [limit(filter=one) for one in same]}) == "usage_limits.1"


def test_a_filter_compares_texts() -> None:
    sent = {"a": 1.0, "b": True, "c": 0.1, "d": "x", "e": [2, False, "y"], "f": 10**30}
    document = {"usage_limits": [limit(filter={"properties": sent})]}
    with pytest.raises(InvalidInputsError):  # at most four of them
        take_document(document, FIELD)
    del sent["d"], sent["f"]
    take_document(document, FIELD)
    assert sent == {"a": "1", "b": "true", "c": "0.1", "e": ["2", "false", "y"]}


@pytest.mark.parametrize("value", ["[", "[]", "[a]", "[[1]]", "[null]", " [1]"])
def test_a_text_that_is_no_list_stays_a_text(value: str) -> None:
    entry = limit(filter={"properties": {"a": value}})
    take_document({"usage_limits": [entry]}, FIELD)
    assert entry["filter"]["properties"]


def test_several_values_are_shown_as_one_text_and_taken_back() -> None:
    sent = {"usage_limits": [limit(filter={"properties": {"a": ["x", 2, True], "b": 1}}), limit()]}
    take_document(sent, FIELD)
    shown = shown_controls(sent)
    texts = {"a": '["x","2","true"]', "b": "1"}
    assert [one.get("filter") for one in shown["usage_limits"]] == [{"properties": texts}, None]
    kept = [filter_text(one) for one in sent["usage_limits"]]
    take_document(shown, FIELD)
    assert [filter_text(one) for one in shown["usage_limits"]] == kept


@pytest.mark.parametrize(
    ("controls", "place"),
    [
        ({"balance_allocations": [{"feature_id": "a"}]}, "balance_allocations"),
        ({"usage_alerts": [{"basis": "recurring"}]}, "usage_alerts.0.basis"),
        ({"usage_alerts": [{"filter": {"properties": {"a": 1}}}]}, "usage_alerts.0.filter"),
    ],
)
def test_what_nothing_goes_by_is_refused_by_name(controls: JsonObject, place: str) -> None:
    for alert in controls.get("usage_alerts", ()):
        alert.update(feature_id="a", threshold=1, threshold_type="usage")
    with pytest.raises(NotSupportedError) as error:
        take_document(controls, FIELD)
    assert error.value.message.startswith(f"{FIELD}.{place}: ")


def test_what_asks_for_nothing_is_taken() -> None:
    alert = {"threshold": 1, "threshold_type": "usage", "basis": "balance", "filter": None}
    take_document({"usage_alerts": [alert], "balance_allocations": []}, FIELD)


def test_alerts_of_one_feature_may_be_many() -> None:
    alert = {"feature_id": "a", "threshold": 1, "threshold_type": "usage"}
    take_document({"usage_alerts": [alert, alert]}, FIELD)


def test_a_filter_has_one_text_however_it_is_written() -> None:
    properties = {"b": True, "a": ["y", 2.0, "x", "y"]}
    assert filter_text({"filter": {"properties": properties}}) == '{"a":["x","y",2],"b":true}'
    assert filter_text({"filter": None}) == filter_text({}) == "{}"
