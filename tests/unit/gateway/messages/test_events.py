"""What ``events.list`` and ``events.aggregate`` may ask for."""

from __future__ import annotations

import msgspec
import pytest

from gateway.messages.events import FEATURES_MAX, AggregateRequest, EventListRequest


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", ()),
        (b'{"feature_id": "a"}', ("a",)),
        (b'{"feature_id": ["a", "b"]}', ("a", "b")),
        (b'{"feature_id": ["b", "a", "b"]}', ("b", "a")),
        (b'{"feature_id": null}', ()),
    ],
)
def test_one_feature_or_many_may_be_asked_for(body: bytes, expected: tuple[str, ...]) -> None:
    assert msgspec.json.decode(body, type=EventListRequest).feature_ids == expected


def test_a_query_names_so_many_features_and_no_more() -> None:
    names = [str(number) for number in range(FEATURES_MAX + 1)]
    request = msgspec.convert({"feature_id": names[1:]}, AggregateRequest)
    assert len(request.feature_ids) == FEATURES_MAX
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"feature_id": names}, AggregateRequest)
