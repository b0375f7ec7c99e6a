"""Which ranges, groups and filters of events are refused, and with which words."""

from __future__ import annotations

import msgspec
import pytest

from gateway.api.operation import Call
from gateway.api.resources import event_rules
from gateway.api.resources.event_rules import GROUPS, MAX_GROUPS_MAX, RANGES
from gateway.api.resources.shapes import TIME_MS_MAX
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.messages.events import FILTERS_MAX, AggregateRequest, EventListRequest

CALL = Call(request_id="r", env="sandbox", now_ms=1_000_000)
CUSTOM = {"start": 1, "end": 2}


def aggregate(**fields: object) -> AggregateRequest:
    request = msgspec.convert(
        {"feature_id": "messages", "customer_id": "c", **fields}, AggregateRequest
    )
    event_rules.event_aggregate(CALL, request)
    return request


def listed(**fields: object) -> None:
    event_rules.event_list(CALL, msgspec.convert(fields, EventListRequest))


@pytest.mark.parametrize(
    "fields",
    [
        *({"range": name} for name in RANGES),
        *({"group_by": name} for name in GROUPS if name != "$feature_id"),
        {"group_by": "$feature_id", "aggregate_on": "deducted"},
        {"group_by": "properties.a.b c", "max_groups": MAX_GROUPS_MAX},
        {"custom_range": {"start": 0.0, "end": TIME_MS_MAX}, "bin_size": "month"},
        {"filter_by": {f"p{number}": "" for number in range(FILTERS_MAX)}},
        {"feature_id": ["a", "b"], "timezone": "UTC", "measure": "count"},
        {"customer_id": None, "range": "90d", "entity_id": "seat_1"},
    ],
)
def test_what_is_allowed(fields: dict[str, object]) -> None:
    aggregate(**fields)


def test_numbers_of_the_python_client_become_integers() -> None:
    request = aggregate(custom_range={"start": 1.0, "end": 5.0}, max_groups=3.0)

    assert request.custom_range is not None
    numbers = (request.custom_range.start, request.custom_range.end, request.max_groups)
    assert numbers == (1, 5, 3)
    assert {type(number) for number in numbers} == {int}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"feature_id": []}, "feature_id: must name at least one"),
        ({"feature_id": ["a", "b\t"]}, "feature_id: must be 1 to 255"),
        ({"customer_id": "a b"}, "customer_id: must be 1 to 255"),
        ({"entity_id": ""}, "entity_id: must be 1 to 255"),
        ({"range": "2d"}, "range: must be one of 24h, 7d"),
        ({"range": "7d", "custom_range": CUSTOM}, "range: cannot be combined with custom_range"),
        ({"range": "3bc", "customer_id": None}, "range: 3bc needs customer_id"),
        ({"custom_range": {"start": 1}}, "custom_range: start and end are required"),
        ({"custom_range": {"start": 2, "end": 2}}, "custom_range: start must be before end"),
        ({"custom_range": {"start": -1, "end": 2}}, "custom_range.start: must be 0 to"),
        ({"custom_range": {"start": 1, "end": 10**14 + 1}}, "custom_range.end: must be 0 to"),
        ({"bin_size": "year"}, "bin_size: must be one of hour, day, week, month"),
        ({"measure": "max"}, "measure: must be one of sum, count"),
        ({"max_groups": 0}, "max_groups: must be 1 to 250"),
        ({"max_groups": 251}, "max_groups: must be 1 to 250"),
        ({"max_groups": 1.5}, "max_groups: must be an integer"),
        ({"group_by": "region"}, "group_by: must be properties.<name> or one of"),
        ({"group_by": "properties."}, "group_by: must be 1 to 255"),
        ({"group_by": "properties." + "p" * 256}, "group_by: must be 1 to 255"),
        ({"group_by": "$feature_id"}, "group_by: .feature_id needs aggregate_on"),
        ({"aggregate_on": "asked"}, "aggregate_on: must be one of deducted"),
        ({"aggregate_on": "deducted", "customer_id": None}, "aggregate_on: needs customer_id"),
        (
            {"aggregate_on": "deducted", "filter_by": {"a": "b"}},
            "aggregate_on: cannot be combined with filter_by",
        ),
        ({"filter_by": {str(number): "" for number in range(6)}}, "filter_by: must have at most 5"),
        ({"filter_by": {"": "a"}}, "filter_by: a property name has 1 to 255"),
        ({"filter_by": {"a" * 256: "a"}}, "filter_by: a property name has 1 to 255"),
        ({"filter_by": {"a": "v" * 1_025}}, "filter_by.a: must be 0 to 1024 characters"),
    ],
)
def test_what_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputsError, match=message):
        aggregate(**fields)


def test_bins_of_another_timezone_are_refused_rather_than_wrong() -> None:
    with pytest.raises(NotSupportedError, match="timezone"):
        aggregate(timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"range": "1bc"}, "range: 1bc needs customer_id"),
        ({"range": "24h", "custom_range": {}}, "range: cannot be combined"),
        ({"filter_by": {str(number): "" for number in range(6)}}, "filter_by: must have at most 5"),
        ({"limit": 5_001}, "limit: must be 1 to 5000"),
    ],
)
def test_lists_are_held_to_the_same(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputsError, match=message):
        listed(**fields)


def test_a_list_may_leave_out_what_it_likes() -> None:
    listed()
    listed(custom_range={"start": 5}, feature_id=[])
    listed(range="last_cycle", customer_id="c", filter_by={"a": "b"})
