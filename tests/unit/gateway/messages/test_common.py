"""Types every resource uses."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import InvalidInputsError
from gateway.messages.common import given, integer, one_of, whole


@pytest.mark.parametrize(("raw", "expected"), [(b"", False), (b"null", False), (b"0", True)])
def test_null_is_not_given(raw: bytes, *, expected: bool) -> None:
    assert given(msgspec.Raw(raw)) is expected


def test_an_integer_may_arrive_as_a_float() -> None:
    assert integer(2.0, field="limit") == 2
    assert integer(None, field="limit") is None


@pytest.mark.parametrize("value", [1.5, 1e300])
def test_a_fraction_is_no_integer(value: float) -> None:
    with pytest.raises(InvalidInputsError, match="limit: must be an integer"):
        integer(value, field="limit")


def test_a_whole_number_may_arrive_with_a_point() -> None:
    assert whole(2.0, "limit", 1, 5) == 2
    assert whole(None, "limit", 1, 5) is None
    for value in (0, 6, 2.5, 10**30):
        with pytest.raises(InvalidInputsError, match="limit: "):
            whole(value, "limit", 1, 5)


def test_a_text_is_one_of_those_allowed_or_was_not_sent() -> None:
    one_of(None, ("asc", "desc"), "sort_order")
    one_of("asc", ("asc", "desc"), "sort_order")
    with pytest.raises(InvalidInputsError, match="sort_order: must be one of asc, desc"):
        one_of("up", ("asc", "desc"), "sort_order")
