"""The outbox entry: what is written is read back, and what cannot be read is told apart."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import outbox
from gateway.outbox import (
    LINE_END,
    AlertKind,
    AlertRaised,
    CustomerDeleted,
    CustomerSet,
    Deduction,
    Denied,
    EntityDeleted,
    EntitySet,
    EntryKind,
    Event,
    LockSet,
    LockState,
    OutboxError,
    Reset,
    RowAdded,
    RowEnded,
    RowUpdated,
    SubscriptionSet,
    WindowSet,
    customer_of,
    decode,
    join,
)

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
receipts = st.lists(names, max_size=3).map("\n".join)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30)
units = st.integers(-(2**53), 2**53)
numbers = st.integers(0, 2**53)

changes = st.one_of(
    st.builds(Event, names, names, names, units, units, numbers, texts),
    st.builds(Deduction, names, names, names, numbers, units, units, units),
    st.builds(Reset, names, names, names, numbers, numbers),
    st.builds(RowAdded, names, names, units, numbers, numbers, texts),
    st.builds(RowUpdated, names, names, numbers, texts),
    st.builds(RowEnded, names, names),
    st.builds(WindowSet, names, names, names, numbers, units),
    st.builds(LockSet, names, names, names, st.sampled_from(LockState), numbers, units, receipts),
    st.builds(AlertRaised, st.sampled_from(AlertKind), names, names, texts),
    st.builds(SubscriptionSet, names, texts),
    st.builds(CustomerSet, texts),
    st.just(CustomerDeleted()),
    st.builds(EntitySet, names, numbers, names, texts),
    st.builds(EntityDeleted, names),
    st.builds(Denied, names, names, names, names, numbers, numbers),
)
LETTERS: dict[type, str] = {
    Event: "E",
    Deduction: "D",
    Reset: "R",
    RowAdded: "B",
    RowUpdated: "U",
    RowEnded: "G",
    WindowSet: "W",
    LockSet: "L",
    AlertRaised: "A",
    SubscriptionSet: "S",
    CustomerSet: "C",
    CustomerDeleted: "X",
    EntitySet: "N",
    EntityDeleted: "Z",
    Denied: "Q",
}


def encode(kind: EntryKind, customer: str, seq: int, lines: list[outbox.Change]) -> bytes:
    header = "\t".join((kind, "live", customer, "cus_1", str(seq), "1700000000000", "req_1"))
    return "\n".join((header, *map(line_of, lines))).encode()


def line_of(change: outbox.Change) -> str:
    columns = [str(column).replace("\n", LINE_END) for column in change]
    return join(LETTERS[type(change)], *columns)


@given(st.sampled_from(EntryKind), names, numbers, st.lists(changes, max_size=5))
def test_what_is_written_is_read_back(
    kind: EntryKind, customer: str, seq: int, lines: list[outbox.Change]
) -> None:
    payload = encode(kind, customer, seq, lines)
    entry = decode(7, "1-2", payload)
    assert entry == outbox.Entry(
        7, "1-2", kind, "live", customer, "cus_1", seq, 1_700_000_000_000, "req_1", lines
    )
    assert customer_of(payload) == ("live", customer)


@given(st.binary(max_size=200))
def test_junk_raises_nothing_but_the_named_error(payload: bytes) -> None:
    with pytest.raises(OutboxError, match="of partition 3"):
        decode(3, "1-1", payload)


@given(st.lists(changes, min_size=1, max_size=3), st.data())
def test_a_damaged_entry_is_read_or_told_apart(
    lines: list[outbox.Change], data: st.DataObject
) -> None:
    payload = bytearray(encode(EntryKind.TRACK, "ada", 1, lines))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    with suppress(OutboxError):
        assert decode(3, "1-1", bytes(payload)).partition == 3


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Q\ta",
        "E\ta\tb",
        "D\tf\tb\te\tone\t1\t1\t1",
        "G\tf",
        "X\tmore",
        "R\tf\tb\te\t1\t",
        "U\tf\t\tsoon\trow",
        "W\tf\t\tkey\t1\t",
        "L\tid\tf\t\tlost\t1\t1\ttext",
        "A\tnews\tf\t\t{}",
    ],
)
def test_a_line_that_follows_no_contract_is_told_apart(line: str) -> None:
    payload = encode(EntryKind.TRACK, "ada", 1, []) + b"\n" + line.encode()
    with pytest.raises(OutboxError):
        decode(0, "1-1", payload)


def test_free_text_may_hold_tabs_because_it_comes_last() -> None:
    payload = encode(EntryKind.CUSTOMER, "ada", 1, [CustomerSet("a\tb")])
    assert decode(0, "1-1", payload).changes == [CustomerSet("a\tb")]


def test_a_receipt_has_its_lines_and_tabs_again() -> None:
    lock = LockSet("id", "calls", "zoe", LockState.OPEN, 9, 3, 'ada\tcalls\t{"a":1}\ncalls\trow\t3')
    assert "\n" not in line_of(lock)
    assert decode(0, "1-1", encode(EntryKind.LOCK, "ada", 1, [lock])).changes == [lock]
