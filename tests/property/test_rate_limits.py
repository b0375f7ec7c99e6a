"""``count_call`` however calls interleave: never more than the limit within a window, never fewer.

The include itself runs, on a store that forgets in time. Callers' clocks may differ by less than
half a window; a window begins when the first of them says so.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import given
from lupa.lua51 import LuaRuntime

from gateway.scripts.composition import source

SECOND, MINUTE = 1_000, 60_000
START_MS = 1_700_000_000_000
PLACES = ("first", "second")


class Store:
    """GET and SET of a server, by the time of no caller."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._held: dict[str, tuple[str, int]] = {}

    def get(self, key: str) -> str:
        text, stop = self._held.get(key, ("", 0))
        return text if self.now_ms < stop else ""

    def call(self, command: str, key: str, *words: object) -> str:
        if command == "GET":
            return self.get(key)
        text, how, *keep_ms = words
        kept = self._held[key][1] if how == "KEEPTTL" else self.now_ms + int(str(*keep_ms))
        self._held[key] = (str(text), kept)
        return "OK"


class Counted(NamedTuple):
    over: bool
    left: tuple[int, ...]
    resets_ms: tuple[int, ...]
    taken_off: bool


class Limiter:
    """The include, and what it keeps."""

    def __init__(self) -> None:
        self.store = Store()
        lua = LuaRuntime(unpack_returned_tuples=True)
        made: Any = lua.eval(
            f"function(call) local redis = {{ call = call }}\n{source('include/count_call')}\n"
            "return function(keys, values) local over, told = count_call(keys, values)\n"
            "return over, told, #keys, #values end end"
        )
        self._run = made(self.store.call)
        self._table = lua.table_from

    def count(self, now_ms: int, limits: dict[str, tuple[int, int]]) -> Counted:
        terms = "".join(f" {calls}/{window}" for calls, window in limits.values())
        keys, values = self._table(["own", *limits]), self._table(["own", f"{now_ms}{terms}"])
        over, told, *sizes = self._run(keys, values)
        numbers = tuple(told.values())
        return Counted(over, numbers[::2], numbers[1::2], sizes == [1, 1])

    def window_of(self, key: str) -> int:
        return int(self.store.get(key).split()[0])


limits = st.tuples(st.integers(1, 5), st.sampled_from((SECOND, MINUTE)))
steps = st.one_of(
    st.just(0), st.integers(0, 300), st.integers(0, 3_000), st.integers(0, 3 * MINUTE)
)
skews = st.integers(-SECOND // 2 + 1, 0)
calls = st.lists(
    st.tuples(steps, st.sampled_from((0, 1, 2)), st.sampled_from(((0,), (1,), (0, 1)))),
    max_size=60,
)


@given(first=limits, second=limits, behind=st.lists(skews, min_size=3, max_size=3), asked=calls)
def test_no_window_has_more_calls_than_the_limit(
    first: tuple[int, int],
    second: tuple[int, int],
    behind: list[int],
    asked: list[tuple[int, int, tuple[int, ...]]],
) -> None:
    limiter, bounds = Limiter(), dict(zip(PLACES, (first, second), strict=True))
    allowed: Counter[tuple[str, int]] = Counter()
    newest = dict.fromkeys(PLACES, 0)
    for step, process, chosen in asked:
        limiter.store.now_ms += step
        now_ms = limiter.store.now_ms + behind[process]
        binding = {PLACES[at]: bounds[PLACES[at]] for at in chosen}
        counted = limiter.count(now_ms, binding)
        assert counted.taken_off
        full = []
        for (place, (most, length)), left in zip(binding.items(), counted.left, strict=True):
            window = max(now_ms - now_ms % length + length, newest[place])
            before = allowed[place, window]
            full.append(before >= most)
            if not counted.over:
                assert limiter.window_of(place) == window
                newest[place] = window
                allowed[place, window] += 1
            assert left == most - allowed[place, window]
        assert counted.over is any(full)
        assert all(
            0 < resets <= length
            for resets, (_, length) in zip(counted.resets_ms, binding.values(), strict=True)
        )
    assert all(count <= bounds[place][0] for (place, _), count in allowed.items())


@given(most=st.integers(1, 5), moments=st.lists(st.integers(0, 4 * SECOND - 1), max_size=60))
def test_by_one_clock_every_window_has_as_many_as_were_asked_up_to_the_limit(
    most: int, moments: list[int]
) -> None:
    limiter = Limiter()
    allowed: Counter[int] = Counter()
    for moment in sorted(moments):
        limiter.store.now_ms = START_MS + moment
        counted = limiter.count(limiter.store.now_ms, {"first": (most, SECOND)})
        allowed[moment // SECOND] += not counted.over
        assert counted.resets_ms == (SECOND - moment % SECOND,)
    asked = Counter(moment // SECOND for moment in moments)
    assert allowed == {window: min(count, most) for window, count in asked.items()}


@given(ahead=st.integers(2 * MINUTE, 400 * MINUTE), most=st.integers(1, 3))
def test_a_clock_that_was_far_ahead_is_forgotten(ahead: int, most: int) -> None:
    limiter = Limiter()
    bounds = {"first": (most, MINUTE)}
    for _ in range(most):
        assert not limiter.count(START_MS + ahead, bounds).over
    assert limiter.count(START_MS, bounds).over
    limiter.store.now_ms += 2 * MINUTE
    assert not limiter.count(limiter.store.now_ms, bounds).over
