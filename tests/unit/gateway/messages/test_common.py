"""Types every resource uses."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import InvalidInputsError
from gateway.messages.common import given, integer


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
