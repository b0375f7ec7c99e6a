"""Texts with amounts in them at another precision: the same decimals, or a refusal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import UNITS_MAX, format_units
from gateway.documents import EntityDocument, PooledGrant, RestingRow, Subscription
from gateway.errors import StartError
from gateway.rescaling import Place, Rescaling, places_of
from gateway.rows import Flag, Kind, Row, RowDocument, decode_row, encode_row

amounts = st.integers(0, 10**9)
maybe = st.none() | amounts


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Rows with an amount wherever one may stand."""
    rolled = draw(st.booleans())
    most = draw(st.just("") | amounts.map(str))
    roll = draw(st.sampled_from(["", f"{most}:3", f"{most}:0"]))
    return Row(
        id="bal",
        kind=draw(st.sampled_from([Kind.SHARED, Kind.PER_ENTITY])),
        grant=draw(amounts),
        flags=Flag.ROLLOVER if rolled else "",
        floor=draw(maybe),
        rank="1000",
        roll="gift:5" if rolled else roll,
        document=RowDocument(
            included=draw(amounts),
            planned=draw(maybe),
            prepaid=draw(amounts),
            max_purchase=draw(maybe),
            price='{"amount":5}',
        ),
    )


def decimals(line: str, precision: int) -> list[str]:
    """Return all amounts of a row as people read them, and the rest as it is."""
    row = decode_row(line)
    document = row.document
    most, colon, months = row.roll.partition(":")
    roll = row.roll if row.rollover or not most else f"{shown(int(most), precision)}{colon}{months}"
    units = [row.grant, row.floor, document.included, document.planned, document.prepaid]
    rest = msgspec.structs.replace(row, grant=0, floor=None, roll="", document=RowDocument())
    told = [shown(one, precision) for one in (*units, document.max_purchase)]
    return [*told, roll, str(rest), str(document.price)]


def shown(units: int | None, precision: int) -> str:
    return "-" if units is None else format_units(units, precision)


@given(rows(), st.integers(0, 6), st.integers(1, 3))
def test_a_row_has_the_same_decimals_at_a_finer_precision_and_back(
    row: Row, old: int, more: int
) -> None:
    line = encode_row(row)
    finer = Rescaling("messages", old, old + more)
    raised = finer.row(line)
    assert decimals(raised, old + more) == decimals(line, old)
    coarser = Rescaling("messages", old + more, old)
    assert coarser.row(raised) == line
    coarser.check(str)
    finer.check(str)


@given(st.integers(-(10**15), 10**15), st.integers(0, 9))
def test_the_places_an_amount_needs_are_those_it_is_shown_with(units: int, precision: int) -> None:
    _, _, fraction = format_units(units, precision).partition(".")
    assert places_of(units, precision) == len(fraction)


RECEIPT = """
acme action ann 6500 99 2 cus_1 {}
action bal_1 _ 1 2500 2500
credits bal_2 ann 1 80000 4000
_ action _ _ 99 6500
_ credits _ fe 99 80000
_ _ overflow _ 0 0
"""


def lines_of(text: str) -> list[str]:
    """Return the lines of a receipt that is written with blanks, and ``_`` for an empty column."""
    return [
        "\t".join("" if column == "_" else column for column in line.split(" "))
        for line in text.strip().split("\n")
    ]


def test_of_a_receipt_each_number_is_of_the_feature_that_it_is_counted_in() -> None:
    text = "\n".join(lines_of(RECEIPT))
    held = Rescaling("action", 3, 2).receipt(text)
    assert held.split("\n") == lines_of("""
acme action ann 650 99 2 cus_1 {}
action bal_1 _ 1 250 250
credits bal_2 ann 1 80000 400
_ action _ _ 99 650
_ credits _ fe 99 80000
_ _ overflow _ 0 0
""")
    paid = Rescaling("credits", 4, 6).receipt(text)
    assert paid.split("\n") == lines_of("""
acme action ann 6500 99 2 cus_1 {}
action bal_1 _ 1 2500 2500
credits bal_2 ann 1 8000000 4000
_ action _ _ 99 6500
_ credits _ fe 99 8000000
_ _ overflow _ 0 0
""")
    assert Rescaling("other", 4, 6).receipt(text) == text
    assert Rescaling("action", 4, 6).receipt("") == ""


def test_of_an_alert_a_percentage_stays() -> None:
    rescaling = Rescaling("messages", 3, 5)
    body = '{"name":null,"threshold":12500,"threshold_type":"usage"}'
    assert rescaling.alert(body) == '{"name":null,"threshold":1250000,"threshold_type":"usage"}'
    for same in ('{"threshold":5000,"threshold_type":"usage_percentage"}', '{"limit_type":"x"}'):
        assert rescaling.alert(same) == same


def test_what_a_plan_of_an_entity_gives_to_a_pool_is_rescaled_in_both_documents() -> None:
    held = Subscription(id="s", plan_id="p", version=1)
    held.pooled = [
        PooledGrant(feature_id="messages", units=7250),
        PooledGrant(feature_id="o", units=5),
    ]
    entity = EntityDocument(created_at=1, subscriptions=[held])
    rescaling = Rescaling("messages", 3, 2)
    found = msgspec.json.decode(
        rescaling.entity(msgspec.json.encode(entity).decode()), type=EntityDocument
    )
    one = msgspec.json.decode(
        rescaling.subscription(msgspec.json.encode(held).decode()), type=Subscription
    )
    assert [grant.units for grant in one.pooled] == [725, 5]
    assert found.subscriptions == [one]
    rescaling.check(str)
    other = '{"id":"s",  "plan_id":"p","version":1}'
    assert rescaling.subscription(other) == other


def test_what_rests_of_a_paused_plan_is_rescaled_in_both_documents() -> None:
    line = "ent_1\tp\t500\t\t\t0\t0\t0\t\tr\tseats\t700:1\t{}"
    rolled = "ent_1~3~e1\tc\t50\tr\t\t0\t0\t0\t\t!r\t\tent_1\t{}"
    held = Subscription(id="s", plan_id="p", version=1, status="paused")
    held.resting = [
        RestingRow(
            feature_id=feature,
            line=line,
            used={7: 20, 9: -10},
            rolled=[f"7=30={rolled}"],
            id="ent_1",
        )
        for feature in ("messages", "other")
    ]
    entity = EntityDocument(created_at=1, subscriptions=[held])
    rescaling = Rescaling("messages", 3, 4)
    found = msgspec.json.decode(
        rescaling.entity(msgspec.json.encode(entity).decode()), type=EntityDocument
    )
    one = msgspec.json.decode(
        rescaling.subscription(msgspec.json.encode(held).decode()), type=Subscription
    )
    assert found.subscriptions == [one]
    row, other = one.resting
    assert (decode_row(row.line).grant, decode_row(row.line).roll) == (5000, "7000:1")
    assert row.used == {7: 200, 9: -100}
    assert row.rolled == [f"7=300={rolled.replace(chr(9) + '50', chr(9) + '500')}"]
    assert other == held.resting[1]
    rescaling.check(str)


CONTROLS = {
    "usage_limits": [{"feature_id": "messages", "limit": 0.125, "interval": "day"}],
    "spend_limits": [
        {"feature_id": "messages", "overage_limit": 33.3333, "limit_type": "usage_percentage"},
        {"feature_id": "other", "overage_limit": 0.33333},
        {"overage_limit": 0.33333},
    ],
}
ITEM = {"feature_id": "messages", "included": "1", "price": {"max_purchase": "0.125"}}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("customer", {"created_at": 1, "billing_controls": CONTROLS}),
        ("entity", {"created_at": 1, "billing_controls": CONTROLS}),
        ("subscription", {"billing_controls": CONTROLS}),
        ("subscription", {"quantities": {"messages": "5.125"}}),
        ("subscription", {"pending": {"messages": "5.125"}}),
        ("subscription", {"custom": {"name": "p", "items": [ITEM]}}),
        ("plan", {"items": [ITEM]}),
        ("plan", {"billing_controls": CONTROLS}),
    ],
)
def test_a_decimal_that_would_be_rounded_is_noted_and_stays(
    kind: str, document: dict[str, Any]
) -> None:
    named = {"id": "s", "plan_id": "p", "version": 1} if kind == "subscription" else {}
    text = msgspec.json.encode(named | document).decode()
    for new, fits in ((2, False), (3, True), (7, True)):
        rescaling = Rescaling("messages", 6, new)
        assert getattr(rescaling, kind)(text) == text
        assert rescaling.places == 3
        assert rescaling.fits(rescaling.places, 0) is fits


def test_digits_of_a_decimal_that_were_rounded_before_do_not_count() -> None:
    rescaling = Rescaling("messages", 2, 4)
    rescaling.note_decimal(Decimal("0.123456"))
    rescaling.note_decimal(Decimal(1000))
    assert rescaling.places == 2
    rescaling.check(str)


def test_the_first_place_and_the_lowest_precision_are_told() -> None:
    rescaling = Rescaling("messages", 6, 2)
    for table, units in (("balances", 10**6), ("events", 1_125_000), ("slots", 1_000_100)):
        rescaling.place = Place(table, "cus_1")
        rescaling.scaled(units)
    with pytest.raises(
        StartError, match=r"precision 2 does not hold .*, 4 does; .* in events of"
    ) as e:
        rescaling.check(lambda internal_id: f"{internal_id}!")
    assert "customer cus_1!; nothing was changed" in e.value.message


def test_an_amount_beyond_the_exact_range_is_told() -> None:
    rescaling = Rescaling("messages", 0, 2)
    rescaling.scaled(UNITS_MAX // 100)
    rescaling.check(str)
    rescaling.place = Place("plan pro", "")
    rescaling.scaled(-(UNITS_MAX // 100) - 1)
    with pytest.raises(StartError, match="leaves the exact range in plan pro"):
        rescaling.check(str)
