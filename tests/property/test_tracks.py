"""What the short way takes, the outbox reads the same; what it refuses is what the outbox refuses.

Entries here are nearly plain tracks: some with a column too many or too few, a number that is none
or is written as only ``int`` reads it, another letter or kind, or a byte that is another.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import Entry, OutboxError, decode
from persistence.sync.batch import Batch
from persistence.sync.fold import fold
from persistence.sync.tracks import Track, read_entry

names = st.sampled_from(["", "acme", "E", "D", "track", "a b", "ü", "\x1f", "é\u2028"])
numbers = st.integers(-(2**53), 2**53).map(str)
odd_numbers = st.sampled_from(["", "x", " 7", "7\r", "1_0", "+5", "-0", "٣", "1.0", "0x1"])
columns = names | numbers | odd_numbers
kinds = st.sampled_from(["track", "track", "track", "lock", "tracks", ""])
properties = st.sampled_from(["{}", "", '{"a":"b"}', "a\tb", "\t", "\t7"])


def _line(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("\t".join)


heads = _line(kinds, names, names, names, numbers, numbers, names)
events = _line(st.just("E"), names, names, names, numbers, numbers, numbers, properties)
moves = _line(st.just("D"), names, names, names, numbers, numbers, numbers, numbers)
odd_lines = st.lists(columns, max_size=10).map("\t".join)
plain = st.tuples(heads, events, moves).map(list)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a plain track of which one thing is another."""
    lines = draw(plain)
    at = draw(st.integers(0, 2))
    cut = lines[at].split("\t")
    place = draw(st.integers(0, len(cut) - 1))
    cut[place : place + draw(st.integers(0, 2))] = draw(st.lists(columns, max_size=2))
    lines[at] = "\t".join(cut)
    return "\n".join(lines).encode()


@st.composite
def with_another_byte(draw: st.DrawFn) -> bytes:
    """Draw a plain track with one byte that may be any."""
    text = bytearray("\n".join(draw(plain)).encode())
    text[draw(st.integers(0, len(text) - 1))] = draw(st.integers(0, 255))
    return bytes(text)


@st.composite
def of_any_lines(draw: st.DrawFn) -> bytes:
    """Draw lines that may belong together."""
    lines = [draw(heads | odd_lines), *draw(st.lists(events | moves | odd_lines, max_size=4))]
    return "\n".join(lines).encode()


def _batch(way: Callable[[int, str, bytes], Entry | Track], payload: bytes) -> Batch | str:
    try:
        return fold([way(7, "5-1", payload)])
    except OutboxError as error:
        return error.message


@given(plain.map(lambda lines: "\n".join(lines).encode()))
def test_a_plain_track_gives_the_same_batch(payload: bytes) -> None:
    assert _batch(read_entry, payload) == _batch(decode, payload)


@given(damaged() | with_another_byte() | of_any_lines())
def test_whatever_else_it_is_both_ways_say_the_same(payload: bytes) -> None:
    assert _batch(read_entry, payload) == _batch(decode, payload)
