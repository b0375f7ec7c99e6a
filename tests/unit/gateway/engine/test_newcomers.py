"""Entities that SQL may not have yet."""

from __future__ import annotations

import pytest

from gateway.engine import newcomers
from gateway.engine.newcomers import Newcomers


def test_who_got_an_entity_is_remembered_until_it_is_forgotten() -> None:
    lately = Newcomers()
    assert lately.customers("live", "seat") == frozenset()
    lately.note("live", "seat", "ada")
    seen = lately.customers("live", "seat")
    lately.note("live", "seat", "bob")
    lately.forget("live", "seat", seen)
    assert lately.customers("live", "seat") == {"bob"}
    assert lately.customers("sandbox", "seat") == frozenset()
    lately.forget("live", "seat", frozenset({"bob"}))
    assert lately.customers("live", "seat") == frozenset()


def test_only_the_last_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "KEPT_MAX", 2)
    lately = Newcomers()
    for entity_id in ("a", "b", "a", "c"):
        lately.note("live", entity_id, "ada")
    assert [bool(lately.customers("live", one)) for one in ("a", "b", "c")] == [True, False, True]
