"""Rows that were read are remembered, in a bounded number of them for all features together."""

from __future__ import annotations

import pytest

from gateway.api.plain import pieces
from gateway.api.plain.pieces import Memory


def test_features_share_one_room_and_begin_anew_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "ROWS_MAX", 10)
    memory = Memory()
    calls, seats = memory.shelf(), memory.shelf()
    memory.make_room(6)
    calls["many"] = 1
    memory.make_room(4)
    seats["few"] = 1
    assert (calls, seats) == ({"many": 1}, {"few": 1})
    memory.make_room(1)
    seats["one"] = 1
    assert (calls, seats) == ({}, {"one": 1})


def test_what_was_forgotten_leaves_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "ROWS_MAX", 10)
    memory = Memory()
    shelf = memory.shelf()
    kept = []
    for text in range(25):
        memory.make_room(1)
        shelf[text] = text
        kept.append(len(shelf))
    assert kept == [*range(1, 11), *range(1, 11), *range(1, 6)]
