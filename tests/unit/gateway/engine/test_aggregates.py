"""Ranges, bins and sums of ``events.aggregate``."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cycles import DAY_MS, HOUR_MS
from gateway.documents import Subscription
from gateway.engine.aggregates import (
    BIN_SIZES,
    BINS_MAX,
    CELLS_MAX,
    Cycle,
    Measured,
    Period,
    billing_cycle,
    bins_of,
    check_cells,
    deduction_bins,
    range_period,
    usage_bins,
    usage_totals,
)
from gateway.errors import InvalidInputsError
from gateway.ports import DeductionCell, DrawCell, UsageCell


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW = at("2026-03-18T15:30")
MONTHS = Cycle(at("2026-01-31"), "m", 1)
DAY = at("2026-03-18")
MESSAGES = Measured("metered", 3, {})
CREDITS = Measured("credit_system", 1, {"messages": "0.5", "images": "4", "plain": "1.0"})


def subscription(**fields: object) -> Subscription:
    whole = {"id": "s", "plan_id": "p", "version": 1, "anchor_ms": 7, "cycle_unit": "m"}
    return msgspec.convert({**whole, "cycle_every": 1, **fields}, Subscription)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("24h", "2026-03-17T15:30", None),
        ("7d", "2026-03-11T15:30", None),
        ("30d", "2026-02-16T15:30", None),
        ("90d", "2025-12-18T15:30", None),
        ("1bc", "2026-02-28", None),
        ("last_cycle", "2026-01-31", "2026-02-28"),
        ("3bc", "2025-12-31", None),
    ],
)
def test_a_range_ends_now_or_with_its_billing_cycle(name: str, start: str, end: str | None) -> None:
    period = range_period(name, NOW, MONTHS)

    assert period == Period(at(start), at(end) if end else NOW + 1)


def test_a_billing_range_needs_a_customer() -> None:
    with pytest.raises(InvalidInputsError, match="range: 1bc needs customer_id"):
        range_period("1bc", NOW, None)


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([], Cycle(5, "m", 1)),
        ([subscription(cycle_unit="", anchor_ms=0)], Cycle(5, "m", 1)),
        ([subscription(status="expired")], Cycle(5, "m", 1)),
        ([subscription(cycle_every=12)], Cycle(7, "m", 12)),
        ([subscription(add_on=True, anchor_ms=8), subscription()], Cycle(7, "m", 1)),
        ([subscription(add_on=True, anchor_ms=8)], Cycle(8, "m", 1)),
    ],
)
def test_the_main_paid_plan_has_the_billing_cycle(
    subscriptions: list[Subscription], expected: Cycle
) -> None:
    assert billing_cycle(subscriptions, 5) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("hour", ["2026-02-28T22:00", "2026-02-28T23:00", "2026-03-01T00:00"]),
        ("day", ["2026-02-28", "2026-03-01"]),
        ("week", ["2026-02-23"]),
        ("month", ["2026-02-01", "2026-03-01"]),
    ],
)
def test_bins_begin_where_clocks_and_calendars_say(size: str, expected: list[str]) -> None:
    period = Period(at("2026-02-28T22:59"), at("2026-03-01T00:01"))

    assert bins_of(period, size, 1) == [at(each) for each in expected]


def test_a_bin_that_only_the_end_touches_is_left_out() -> None:
    assert bins_of(Period(DAY, DAY + DAY_MS), "day", 1) == [DAY]


@given(st.integers(0, 10**13), st.integers(1, 200 * DAY_MS), st.sampled_from(BIN_SIZES))
def test_bins_cover_their_range_without_gap(start_ms: int, length: int, size: str) -> None:
    begins = bins_of(Period(start_ms, start_ms + length), size, 1)

    assert begins[0] <= start_ms
    assert begins[-1] < start_ms + length
    assert all(one < other for one, other in pairwise(begins))
    assert len(begins) <= length // HOUR_MS + 2


def test_bins_are_limited() -> None:
    bins_of(Period(0, BINS_MAX * HOUR_MS), "hour", 1)
    with pytest.raises(InvalidInputsError, match=f"bin_size: .* more than {BINS_MAX} bins"):
        bins_of(Period(0, BINS_MAX * HOUR_MS + 1), "hour", 1)
    with pytest.raises(InvalidInputsError, match=f"bin_size: .* more than {BINS_MAX} bins"):
        bins_of(Period(0, 10**14), "month", 1)


def test_sums_are_limited() -> None:
    features = CELLS_MAX // BINS_MAX
    bins_of(Period(0, BINS_MAX * HOUR_MS), "hour", features)
    with pytest.raises(InvalidInputsError, match=f"more than {CELLS_MAX} sums"):
        bins_of(Period(0, BINS_MAX * HOUR_MS), "hour", features + 1)
    check_cells([None] * CELLS_MAX)
    with pytest.raises(InvalidInputsError, match=f"more than {CELLS_MAX} sums"):
        check_cells([], [None] * (CELLS_MAX + 1))


CELLS = [
    UsageCell("messages", DAY, "eu", 1_500, 2),
    UsageCell("messages", DAY, "us", -500, 1),
    UsageCell("messages", DAY + DAY_MS, "eu", 250, 1),
]


def told(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_bins_show_every_feature_even_unused() -> None:
    features = {"messages": MESSAGES, "seats": Measured("metered", 0, {})}
    begins = [DAY, DAY + DAY_MS, DAY + 2 * DAY_MS]

    shown = usage_bins(CELLS, begins, features, grouped=False, counted=False)

    assert told(shown) == [
        {"period": DAY, "values": {"messages": 1, "seats": 0}},
        {"period": DAY + DAY_MS, "values": {"messages": 0.25, "seats": 0}},
        {"period": DAY + 2 * DAY_MS, "values": {"messages": 0, "seats": 0}},
    ]


def test_groups_stand_beside_the_values() -> None:
    shown = usage_bins(
        CELLS, [DAY, DAY + 3 * DAY_MS], {"messages": MESSAGES}, grouped=True, counted=False
    )

    assert told(shown) == [
        {
            "period": DAY,
            "values": {"messages": 1.25},
            "grouped_values": {"messages": {"eu": 1.75, "us": -0.5}},
        },
        {
            "period": DAY + 3 * DAY_MS,
            "values": {"messages": 0},
            "grouped_values": {"messages": {}},
        },
    ]


def test_counted_bins_show_events_and_totals_stay() -> None:
    shown = usage_bins(CELLS, [DAY], {"messages": MESSAGES}, grouped=True, counted=True)

    assert told(shown) == [
        {
            "period": DAY,
            "values": {"messages": 4},
            "grouped_values": {"messages": {"eu": 3, "us": 1}},
        }
    ]
    assert told(usage_totals(CELLS, {"messages": MESSAGES, "seats": MESSAGES})) == {
        "messages": {"count": 4, "sum": 1.25},
        "seats": {"count": 0, "sum": 0},
    }


def draw(
    balance: str, source: str, units: int, *, owner: str = "credits", group: str = ""
) -> DeductionCell:
    interval = "month" if owner == "messages" else None
    return DeductionCell(
        DAY, owner, balance, source, None, "pro", interval, 1, DAY if interval else None, group,
        units, 1,
    )  # fmt: skip


def test_deductions_are_in_units_of_the_feature_that_owns_the_balance() -> None:
    cells = [draw("own", "messages", 1_500, owner="messages"), draw("pool", "messages", 5)]
    draws = [DrawCell(DAY, "messages", 1), DrawCell(DAY, "credits", 1)]
    features = {"messages": MESSAGES, "credits": CREDITS}

    first, empty = deduction_bins(cells, draws, [DAY, DAY + DAY_MS], features, grouped=False)

    assert told(first) == {
        "period": DAY,
        "values": {
            "messages": {
                "feature_type": "metered",
                "deducted": 1.5,
                "events": 1,
                "balances": [
                    {
                        "balance_id": "own",
                        "entity_id": None,
                        "plan_id": "pro",
                        "reset": {"interval": "month", "resets_at": DAY},
                        "credit_cost": None,
                        "deducted": 1.5,
                        "events": 1,
                    }
                ],
            },
            "credits": {
                "feature_type": "credit_system",
                "deducted": 0.5,
                "events": 1,
                "balances": [
                    {
                        "balance_id": "pool",
                        "entity_id": None,
                        "plan_id": "pro",
                        "reset": None,
                        "credit_cost": 0.5,
                        "deducted": 0.5,
                        "events": 1,
                    }
                ],
            },
        },
    }
    assert told(empty) == {"period": DAY + DAY_MS, "values": {}}


def test_an_event_that_drew_on_two_balances_counts_once_for_the_feature() -> None:
    cells = [draw("one", "messages", 1), draw("two", "messages", 2)]

    (shown,) = deduction_bins(
        cells, [DrawCell(DAY, "credits", 1)], [DAY], {"credits": CREDITS}, grouped=False
    )

    assert shown.values["credits"].events == 1
    assert [each.events for each in shown.values["credits"].balances] == [1, 1]


@pytest.mark.parametrize(
    ("sources", "cost"),
    [(["messages"], 0.5), (["images"], 4), (["plain"], None), (["messages", "images"], None)],
)
def test_a_credit_cost_is_shown_where_there_is_one(sources: list[str], cost: float | None) -> None:
    cells = [draw("pool", source, 1, group=source) for source in sources]

    (shown,) = deduction_bins(cells, [], [DAY], {"credits": CREDITS}, grouped=True)

    assert told(shown.values["credits"].balances[0].credit_cost) == cost
    assert told(shown.grouped_values) == {
        "pool": {
            source: {
                "deducted": 0.1,
                "credit_cost": {"messages": 0.5, "images": 4, "plain": None}[source],
            }
            for source in sources
        }
    }
