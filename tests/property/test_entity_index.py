"""The index of entities as scripts write and walk it, against plain sets.

The includes themselves run, on the fields of one hash. Numbers lie around the borders of blocks.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, rule
from lupa.lua51 import LuaRuntime

from gateway.entity_index import EntityIndex, Set, decode_index
from gateway.scripts.composition import source

INCLUDES = (
    "index_set",
    "read_index",
    "write_index",
    "close_index",
    "entity_at",
    "name_number",
    "mark",
    "drop_marks",
    "first_member",
)
BORDERS = (0, 63, 64, 1023, 1024, 2047, 2048, 16_777_215 - 1023, 16_777_215)
BANDS, CLASSES = (3, 12), 5
ALL = Set(7, 0)

numbers = st.one_of(
    st.integers(0, 40),
    st.builds(
        lambda border, beside: min(max(border + beside, 0), 16_777_215),
        st.sampled_from(BORDERS),
        st.integers(-2, 2),
    ),
)
marked = st.builds(Set, st.sampled_from(BANDS), st.integers(0, CLASSES - 1))
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)


class Hash:
    """The commands of a hash that scripts use here."""

    def __init__(self, lua: Any) -> None:  # noqa: ANN401 - lupa has no types
        self.fields: dict[str, str] = {}
        self._lua = lua

    def call(self, command: str, _: str, *words: str) -> Any:  # noqa: ANN401 - a reply
        if command == "HGET":
            return self.fields.get(words[0], False)
        if command == "HMGET":
            return self._lua.table(*(self.fields.get(word, False) for word in words))
        if command == "HSET":
            self.fields |= dict(zip(words[::2], words[1::2], strict=True))
        else:
            assert command == "HDEL"
            for word in words:
                self.fields.pop(word, None)
        return 1


def functions(store: Hash, lua: Any) -> dict[str, Any]:  # noqa: ANN401 - lupa has no types
    """Return the includes, bound to a hash."""
    text = "\n".join(source(f"include/{name}") for name in INCLUDES)
    named = ", ".join(f"{name} = {name}" for name in INCLUDES)
    made = lua.eval(
        f"function(call) local redis = {{ call = call }}\n{text}\nreturn {{ {named} }} end"
    )
    return dict(made(store.call))


class Walks(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        lua: Any = LuaRuntime(unpack_returned_tuples=True)
        self.runtime, self.store = lua, Hash(lua)
        self.lua = functions(self.store, lua)
        self.index = EntityIndex({}, {ALL: set()})
        self.begin_call()

    def begin_call(self) -> None:
        self.opened = self.runtime.table(key="index")

    @property
    def there(self) -> set[int]:
        return self.index.members[ALL]

    def first(self, found: set[int], start: int) -> tuple[str, int] | None:
        number = min((one for one in found if one >= start), default=None)
        return None if number is None else (self.index.names[number], number)

    @rule(number=numbers, name=ids)
    def create(self, number: int, name: str) -> None:
        self.lua["mark"](self.opened, ALL.band, ALL.place, number, number in self.there, True)
        self.lua["name_number"](self.opened, number, name)
        self.there.add(number)
        self.index.names[number] = name

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        for named, members in self.index.members.items():
            self.lua["mark"](self.opened, *named, str(number), number in members, False)
            members.discard(number)
        self.lua["name_number"](self.opened, str(number), None)
        self.index.names.pop(number, None)

    @rule(named=marked, number=numbers, is_in=st.booleans(), known=st.booleans())
    def mark(self, named: Set, number: int, *, is_in: bool, known: bool) -> None:
        members = self.index.members.setdefault(named, set())
        if number in self.there:
            before = (
                number in members if known else not is_in
            )  # one that is there is not counted twice
            self.lua["mark"](self.opened, *named, number, before, is_in)
            (members.add if is_in else members.discard)(number)

    @rule(band=st.sampled_from(BANDS))
    def drop(self, band: int) -> None:
        self.lua["drop_marks"](self.opened, band)
        for named, members in self.index.members.items():
            if named.band == band:
                members.clear()

    @rule(named=marked, start=numbers)
    def walk(self, named: Set, start: int) -> None:
        members = self.index.members.get(named, set())
        one, all_of = self.lua["index_set"](*named), self.lua["index_set"](*ALL)
        first_member = self.lua["first_member"]
        assert first_member(self.opened, all_of, None, start) == self.first(self.there, start)
        assert first_member(self.opened, one, None, start) == self.first(members, start)
        beyond = self.first(self.there - members, start)
        assert first_member(self.opened, all_of, one, start) == beyond

    @rule(ends=st.booleans())
    def close(self, *, ends: bool) -> None:
        self.check_fields()
        if ends:
            self.begin_call()

    def teardown(self) -> None:
        self.check_fields()

    def check_fields(self) -> None:
        """What is closed says what was done, whether the call ends or goes on."""
        self.lua["close_index"](self.opened)
        found = decode_index(self.store.fields)
        assert found.names == self.index.names
        assert found.members == {one: found for one, found in self.index.members.items() if found}


TestWalks = Walks.TestCase


@given(st.sets(st.integers(0, 5000), min_size=1), st.data())
def test_a_restored_index_is_walked_like_one_that_grew(
    members: set[int], data: st.DataObject
) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(members))))
    lua: Any = LuaRuntime(unpack_returned_tuples=True)
    store = Hash(lua)
    index = EntityIndex(
        {number: f"e{number}" for number in members}, {ALL: members, Set(3, 0): some}
    )
    store.fields = index.fields()
    first_member = functions(store, lua)["first_member"]
    opened, found, number = lua.table(key="index"), set(), -1
    while step := first_member(opened, "7:0", "3:0", number + 1):
        name, number = step
        assert name == f"e{number}"
        found.add(number)
    assert found == members - some
