"""Request ids."""

from __future__ import annotations

import pytest

from gateway.api.exchange import request_id_of


def test_a_harmless_id_is_repeated() -> None:
    assert request_id_of(b"Root=1-67.a:b_c") != "Root=1-67.a:b_c"
    assert request_id_of(b"1-67.a:b_c") == "1-67.a:b_c"


@pytest.mark.parametrize("header", [None, b"", b"a b", b"a\tb", b"a\n", b"\xff", b"x" * 129])
def test_any_other_is_replaced(header: bytes | None) -> None:
    made = request_id_of(header)

    assert made.startswith("req_")
    assert made.isascii()


def test_ids_are_made_once() -> None:
    made = {request_id_of(None) for _ in range(1_000)}

    assert len(made) == 1_000
