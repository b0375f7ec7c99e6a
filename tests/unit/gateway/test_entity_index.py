"""The index of entities as fields of a hash, and back."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.entity_index import EntityIndex, Set, decode_index

numbers = st.sets(st.integers(0, 5000), min_size=1, max_size=40)
sets = st.dictionaries(st.builds(Set, st.integers(1, 30), st.integers(0, 4)), numbers, max_size=5)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)


@given(st.dictionaries(st.integers(0, 300), ids), sets)
def test_an_index_is_read_as_it_was_written(
    names: dict[int, str], members: dict[Set, set[int]]
) -> None:
    index = EntityIndex(names, members)
    assert decode_index(index.fields()) == index


def test_names_share_a_field_by_64_and_members_by_1024() -> None:
    index = EntityIndex({63: "zoe", 64: "bob", 2: "eve"}, {Set(7, 0): {0, 3, 1024, 1026, 4096}})
    assert index.fields() == {
        "n:0": "\n2\teve\n63\tzoe",
        "n:1": "\n64\tbob",
        "7:0": "002002000000001",
        "7:0:0": "1001",
        "7:0:1": "101",
        "7:0:4": "1",
    }


def test_without_entities_there_is_no_field() -> None:
    assert EntityIndex().fields() == {}
    assert EntityIndex({}, {Set(7, 0): set()}).fields() == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"7:0": "002", "7:0:0": "1"},
        {"7:0": "001"},
        {"7:0:0": "1"},
        {"7:0": "001001", "7:0:0": "1"},
    ],
)
def test_a_count_that_is_not_that_of_the_members_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="set 7:0 is counted wrongly"):
        decode_index(fields)
