"""Answers written into forms are, byte for byte, those the encoder makes of the full answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.plain.forms import COMPLETE, TODAY, Forms, Scope
from gateway.api.plain.pieces import Answer, Memory, Pieces
from gateway.api.plain.pooled import Pooled
from gateway.api.plain.repeats import repeat_of_check, repeat_of_track, repeated
from gateway.engine.subject import Subject
from gateway.engine.verdicts import Asked, checked, tracked
from gateway.keys import customer_keys
from gateway.ports import FeatureRecord
from gateway.rows import Kind, Live, Row, RowDocument, encode_live, encode_rows
from gateway.scripts import Part, Pool, Use, check_reply, track_reply

ENV, CUSTOMER, NOW_MS = "sandbox", "ada", 1_700_000_000_000
ENTITY = 'se"at %s é'

_encode = msgspec.json.Encoder().encode

versions = st.sampled_from([TODAY, COMPLETE])
names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
amounts = st.integers(0, 10**12)
used = st.integers(-(10**12), 10**12)
prices = st.sampled_from(
    ['{"amount":1,"billing_units":1,"billing_method":"usage_based","max_purchase":null}']
)
documents = st.builds(
    RowDocument,
    plan_id=st.none() | names,
    included=amounts,
    prepaid=amounts,
    interval=st.none() | st.sampled_from(["month", "day"]),
    interval_count=st.integers(1, 3),
    price=st.none() | prices,
    max_purchase=st.none() | amounts,
)


def rows(**odd: Any) -> st.SearchStrategy[Row]:  # noqa: ANN401 - strategies of columns
    """Return rows that are plain but for the columns given."""
    columns: dict[str, Any] = {
        "id": names,
        "kind": st.sampled_from([Kind.SHARED, Kind.PER_ENTITY]),
        "grant": amounts,
        "flags": st.sampled_from(["", "o", "a", "f", "k", "oa"]),
        "expires_ms": st.sampled_from([0, NOW_MS + 1]),
        "rank": names,
        "entity_feature": st.just("seats"),
        "document": documents,
    }
    return st.builds(Row, **columns | odd)


def plain_rows() -> st.SearchStrategy[Row]:
    """Return rows that answers are written of: those, unlimited ones that are one number, those of
    which something rolls over and what did.
    """
    shared = st.just(Kind.SHARED)
    rolling = rows(roll=st.just("10:3")) | rows(kind=shared, flags=st.just("r"), roll=names)
    return rows() | rows(kind=shared, flags=st.just("u")) | rolling


lives = st.builds(
    Live,
    used=used,
    over=st.integers(0, 9),
    credit=st.integers(0, 9),
    due_ms=st.sampled_from([0, NOW_MS + 5, NOW_MS + 9]),
)
binding = st.sampled_from(["", "", "o\t1", "o\t0\ns\t5\t0", "w\t\t9\tm\t1\t0\t{}\na\tusage\t5\t"])
counters = st.sampled_from(
    ["", "", "w\t\t1700000000009\t3", "k\t5", "k\t1500000\nw\t\t1700000000009\t3"]
)
strange = rows(
    kind=st.sampled_from(list(Kind)),
    flags=st.sampled_from(["", "u", "r", "o"]),
    expires_ms=st.sampled_from([0, 1, NOW_MS, NOW_MS + 1]),
    roll=st.sampled_from(["", "10:3"]),
)


@st.composite
def seen(draw: st.DrawFn, row: st.SearchStrategy[Row], *, entity_level: bool) -> list[bytes]:
    """Return a description as the scripts send it."""
    held = st.lists(row, max_size=3)
    shared = draw(held)
    own = draw(held) if entity_level else []
    own = [msgspec.structs.replace(one, kind=Kind.SHARED) for one in own]
    slots = [
        str(draw(used))
        if entity_level and one.kind is Kind.PER_ENTITY and draw(st.booleans())
        else "-"
        for one in shared
    ]
    own_rules, own_extras = (draw(binding), draw(counters)) if entity_level else ("", "")
    texts = [
        "calls",
        encode_rows(shared),
        encode_live([draw(lives) for _ in shared]),
        draw(st.sampled_from(["", "1 5 2 0 0 1 0 0", "1 9 12 4 0 2 0 0", "1 0 0 0 0 0 0 0"])),
        " ".join("2" if one.kind is Kind.PER_ENTITY else "0" for one in shared),
        encode_rows(own),
        encode_live([draw(lives) for _ in own]),
        " ".join(slots),
        draw(binding),
        draw(counters),
        own_rules,
        own_extras,
        "",
    ]
    return [text.encode() for text in texts]


def read(text: bytes | None) -> Any:  # noqa: ANN401 - decoded JSON
    """Return what an answer says, its keys in their order: 2.1 may write 1E-7 for 0.0000001."""
    return text and (msgspec.json.decode(text), re.findall(rb'"(\w+)":', text))


def body_of(answer: Answer | None) -> bytes | None:
    return answer and answer.body


def both_checks(
    text: list[bytes],
    precision: int,
    units: int,
    forms: Forms,
    *,
    allowed: bool,
    entity_level: bool,
) -> tuple[bytes | None, bytes]:
    reply = b"1\x01%d\x011\x01%d\x01%b\x01" % (allowed, units, b"\x04".join(text))
    told = reply.split(b"\x01")
    pieces = Pieces("calls", precision, Memory(), forms)
    written = body_of(pieces.checked(scope_of(entity_level), told, NOW_MS))
    asked = Asked([feature_of(precision)], Part("calls", units))
    full = checked(subject_of(entity_level), asked, check_reply(reply), NOW_MS)
    return written, forms.encode(full)


def both_tracks(
    text: list[bytes],
    precision: int,
    units: int,
    moves: list[Any],
    forms: Forms,
    *,
    entity_level: bool,
) -> tuple[bytes | None, bytes]:
    moved = b"\x03".join(b"%b\x04%b\x04%d\x04%d" % tuple(move) for move in moves)
    reply = b"1\x01%d\x01%b\x01%b" % (units, b"\x04".join(text), moved)
    told = reply.split(b"\x01")
    pieces = Pieces("calls", precision, Memory(), forms)
    written = body_of(pieces.tracked(scope_of(entity_level), units, told, NOW_MS))
    asked = Asked([feature_of(precision)], Part("calls", units))
    subject = subject_of(entity_level)
    use = Use(subject.entity_id, [asked.part], NOW_MS)
    return written, forms.encode(tracked(subject, use, [asked], track_reply(reply), NOW_MS))


def feature_of(precision: int, feature_id: str = "calls") -> FeatureRecord:
    return FeatureRecord(
        env=ENV,
        id=feature_id,
        name="Calls",
        type="metered",
        consumable=True,
        precision=precision,
        in_use=True,
        archived=False,
    )


def scope_of(entity_level: bool) -> Scope:
    return Scope(_encode(CUSTOMER), _encode(ENTITY) if entity_level else b"")


def subject_of(entity_level: bool) -> Subject:
    keys = customer_keys(ENV, CUSTOMER, 1)
    return Subject(ENV, CUSTOMER, keys, 0, ENTITY if entity_level else "")


@given(
    data=st.data(), precision=st.integers(0, 9), units=used, forms=versions, allowed=st.booleans()
)
def test_plain_answers_are_those_of_the_encoder(
    data: st.DataObject, precision: int, units: int, forms: Forms, *, allowed: bool
) -> None:
    entity_level = data.draw(st.booleans())
    text = data.draw(seen(plain_rows(), entity_level=entity_level))
    written, full = both_checks(
        text, precision, units, forms, allowed=allowed, entity_level=entity_level
    )
    shown = msgspec.json.decode(full)["balance"]
    assert read(written) == (None if shown is None else read(full))
    assert forms is COMPLETE or written in (None, full)


@given(data=st.data(), precision=st.integers(0, 9), units=used, forms=versions)
def test_plain_answers_of_tracks_are_those_of_the_encoder(
    data: st.DataObject, precision: int, units: int, forms: Forms
) -> None:
    entity_level = data.draw(st.booleans())
    text = data.draw(seen(plain_rows(), entity_level=entity_level))
    lines = [line for line in (*text[1].split(b"\n"), *text[5].split(b"\n")) if line]
    due = st.sampled_from([0, NOW_MS + 5])
    moves = [[b"calls", line, data.draw(used), data.draw(due)] for line in lines]
    written, full = both_tracks(text, precision, units, moves, forms, entity_level=entity_level)
    shown = msgspec.json.decode(full)["balance"]
    assert read(written) == (None if shown is None else read(full))
    assert forms is COMPLETE or written in (None, full)


@given(data=st.data(), precision=st.integers(0, 9), forms=versions)
def test_what_is_not_plain_is_left_alone_or_answered_alike(
    data: st.DataObject, precision: int, forms: Forms
) -> None:
    entity_level = data.draw(st.booleans())
    text = data.draw(seen(strange, entity_level=entity_level))
    for at in (8, 9, 10, 11) if entity_level else (8, 9):
        text[at] = data.draw(st.sampled_from([b"", b"o\t1", b"k\t5", b"o\t1\nd\t1"]))
    text[3] = data.draw(st.sampled_from([b"", b"1 5 2 0 0 1 0 0", b"1 5 2 0 0 1 1 2"]))
    text[12] = data.draw(st.sampled_from([b"", b"1 5 2 0 0 1 0 0", b"1 0 0 0 0 0 0 0"]))
    written, full = both_checks(text, precision, 10, forms, allowed=True, entity_level=entity_level)
    assert read(written) in (None, read(full))


def replies_of(text: list[bytes], units: int) -> tuple[list[bytes], list[bytes]]:
    """Return the texts of a check's reply and of a track's in which every row gave so much."""
    lines = [line for line in (*text[1].split(b"\n"), *text[5].split(b"\n")) if line]
    moved = b"\x03".join(b"calls\x04%b\x04%d\x045" % (line, units) for line in lines)
    described = b"\x04".join(text)
    return (
        [b"1", b"1", b"1", b"%d" % units, described, b""],
        [b"1", b"%d" % units, described, moved],
    )


def both_repeats(
    pieces: Pieces, scope: Scope, units: int, first: list[bytes], then: list[bytes]
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Answer a check and a track after a first one: what is filled in, and what would be made."""
    check, track = replies_of(first, units)
    answer = pieces.checked(scope, check, NOW_MS)
    lone = answer and answer.lone
    repeats = (
        lone and repeat_of_check(pieces, scope, check, lone),
        lone and repeat_of_track(pieces, scope, units, track, lone),
    )
    check, track = replies_of(then, units)
    made = pieces.checked(scope, check, NOW_MS), pieces.tracked(scope, units, track, NOW_MS)
    for repeat, reply, answer in zip(repeats, (check, track), made, strict=True):
        told = repeated(repeat, b"\x01".join(reply)) if repeat else None
        yield told, body_of(answer)


@given(data=st.data(), precision=st.integers(0, 9), units=amounts)
def test_whatever_differs_a_repeated_answer_is_the_one_that_would_be_made(
    data: st.DataObject, precision: int, units: int
) -> None:
    entity_level = data.draw(st.booleans())
    first = data.draw(seen(plain_rows(), entity_level=entity_level))
    then = list(first)
    for place in data.draw(st.sets(st.sampled_from([2, 3, 6, 7, 8, 9, 10, 12]))):
        then[place] = {
            2: re.sub(rb"-?\d+", lambda _: b"%d" % data.draw(used), first[2]),
            3: b"1 5 2 0 0 1 0 0",
            6: first[6].replace(b"0", b"7"),
            7: first[7].replace(b"1", b"2"),
            9: data.draw(counters).encode(),
            12: b"1 5 2 0 0 1 0 0",
        }.get(place, b"o\t1")
    pieces = Pieces("calls", precision, Memory(), data.draw(versions))
    for told, made in both_repeats(pieces, scope_of(entity_level), units, first, then):
        assert told in (None, made)


@given(
    data=st.data(),
    precision=st.integers(0, 9),
    before=amounts,
    after=amounts,
    later=st.booleans(),
    kind=st.sampled_from(["customer", "entity", "slot"]),
    rules=st.sampled_from(["", "w\t\t9\tm\t1\t0\t{}", "s\t5\t0"]),
)
def test_one_row_that_at_most_a_limit_binds_is_repeated_until_its_next_reset_is_another(
    data: st.DataObject,
    precision: int,
    before: int,
    after: int,
    *,
    later: bool,
    kind: str,
    rules: str,
) -> None:
    held = Kind.PER_ENTITY if kind == "slot" else Kind.SHARED
    flags = st.sampled_from(["", "o"] if kind == "slot" else ["", "o", "u"])
    row = data.draw(rows(kind=st.just(held), flags=flags, expires_ms=st.just(0)))
    row = msgspec.structs.replace(
        row, document=msgspec.structs.replace(row.document, interval="month")
    )

    def description(units: int, due_ms: int) -> list[bytes]:
        line, live = encode_rows([row]), encode_live([Live(used=units, due_ms=due_ms)])
        sums = f"3 100 {units} 0 0 1 0 0"
        texts = {
            "customer": [line, live, "", "0", "", "", ""],
            "entity": ["", "", sums, "", line, live, ""],
            "slot": [line, live, "", "0", "", "", str(units)],
        }
        counted = f"w\t\t1700000000009\t{units}" if rules.startswith("w") else ""
        return [text.encode() for text in ("calls", *texts[kind], rules, counted, *[""] * 3)]

    first, then = description(before, NOW_MS), description(after, NOW_MS + later)
    pieces = Pieces("calls", precision, Memory(), data.draw(versions))
    found = both_repeats(pieces, scope_of(kind != "customer"), 1, first, then)
    for told, made in found:
        assert made is not None
        assert told == (None if later else made)


@given(
    data=st.data(), precisions=st.tuples(*[st.integers(0, 9)] * 2), units=amounts, forms=versions
)
def test_answers_that_show_several_balances_are_those_of_the_encoder(
    data: st.DataObject, precisions: tuple[int, int], units: int, forms: Forms
) -> None:
    entity_level = data.draw(st.booleans())
    features = [feature_of(precisions[0]), feature_of(precisions[1], "coins")]
    asked = Asked(features, Part("calls", units, (Pool("coins", 1, 5),)))
    memory, subject, scope = Memory(), subject_of(entity_level), scope_of(entity_level)
    pooled = Pooled([Pieces(one.id, one.precision, memory, forms) for one in features])
    use, repeat = Use(subject.entity_id, [asked.part], NOW_MS), None
    giving = data.draw(st.tuples(st.booleans(), st.booleans()))
    bare = [b""] * 12
    one_row = rows(kind=st.just(Kind.SHARED), expires_ms=st.just(0)).map(
        lambda row: [
            encode_rows([row]).encode(),
            b"7 0 0 1 9 0",
            b"",
            b"0",
            b"",
            b"",
            b"-",
            *bare[7:],
        ]
    )
    many = seen(plain_rows(), entity_level=entity_level).map(lambda texts: texts[1:])
    texts = [data.draw(st.just(bare) | one_row | many), data.draw(st.just(bare) | one_row | many)]
    for _ in range(2):  # the second reply may differ from the first in what was used
        described = [
            b"\x04".join((one.id.encode(), *text))
            for one, text in zip(features, texts, strict=True)
        ]
        moved = [
            b"%b\x04%b\x04%d\x047" % (one.id.encode(), line, units)
            for one, text, gave in zip(features, texts, giving, strict=True)
            for line in (*text[0].split(b"\n"), *text[4].split(b"\n"))
            if line and gave
        ]
        reply = b"1\x01%d\x01%b\x01%b" % (units, b"\x03".join(described), b"\x03".join(moved))
        full = forms.encode(tracked(subject, use, [asked], track_reply(reply), NOW_MS))
        answer = pooled.tracked(scope, units, reply.split(b"\x01"), NOW_MS)
        assert read(body_of(answer)) == read(full)
        assert repeat is None or repeated(repeat, reply) in (None, body_of(answer))
        if answer is not None and answer.lone is not None:
            repeat = repeat_of_track(pooled, scope, units, reply.split(b"\x01"), answer.lone)
        place = data.draw(st.integers(0, 1))
        check = b"1\x011\x01%d\x01%d\x01%b\x01" % (place + 1, units, b"\x02".join(described))
        shown = checked(subject, asked, check_reply(check), NOW_MS)
        answer = pooled.checked(scope, check.split(b"\x01"), NOW_MS)
        assert read(body_of(answer)) == (shown.balance and read(forms.encode(shown)))
        texts = [[text[0], re.sub(rb"^\d+", b"5", text[1]), *text[2:]] for text in texts]
