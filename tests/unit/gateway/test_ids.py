"""Ids: prefixed, unique, in the order of their making."""

from __future__ import annotations

import re
import time

import pytest

from gateway.api.resources.shapes import CUSTOMER_ID
from gateway.ids import nameless_id, new_id, public_id


def test_an_id_is_its_prefix_and_26_characters() -> None:
    assert re.fullmatch(r"cus_prod_[0-9a-hjkmnp-tv-z]{26}", new_id("cus_prod"))


def test_ids_differ() -> None:
    assert len({new_id("cus") for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("after_ns", [1, 1_000_000])
def test_ids_sort_by_the_nanosecond_they_were_made_in(
    monkeypatch: pytest.MonkeyPatch, after_ns: int
) -> None:
    def made(now_ns: int) -> list[str]:
        monkeypatch.setattr(time, "time_ns", lambda: now_ns)
        return [new_id("cus") for _ in range(100)]

    now_ns = 1_800_000_000_123_999_000
    assert max(made(now_ns)) < min(made(now_ns + after_ns))


def test_a_reserved_id_is_that_of_an_email_in_any_case_and_shown_to_nobody() -> None:
    reserved = nameless_id("Ada@Example.com")
    assert reserved == nameless_id("ada@EXAMPLE.com") != nameless_id("eve@example.com")
    assert CUSTOMER_ID.fullmatch(reserved) is None
    assert public_id(reserved) is None
    assert public_id("ada") == "ada"
