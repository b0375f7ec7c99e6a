"""What ``events.list`` may ask for."""

from __future__ import annotations

import msgspec
import pytest

from gateway.messages.events import EventListRequest


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", ()),
        (b'{"feature_id": "a"}', ("a",)),
        (b'{"feature_id": ["a", "b"]}', ("a", "b")),
        (b'{"feature_id": null}', ()),
    ],
)
def test_one_feature_or_many_may_be_asked_for(body: bytes, expected: tuple[str, ...]) -> None:
    assert msgspec.json.decode(body, type=EventListRequest).feature_ids == expected
