"""Balances one by one: what comes, what changes and what ends."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    BalanceExistsError,
    BalanceNotFoundError,
    BalancePooledError,
    BalancePricedError,
    GatewayError,
    InvalidInputsError,
    InvalidRequestError,
)
from gateway.lifecycle.grants import (
    Edit,
    Filter,
    Holding,
    changed_rows,
    ended_rows,
    granted,
    lowered_precision,
    new_grant,
)
from gateway.lifecycle.order import rank
from gateway.lifecycle.room import ROWS_MAX
from gateway.messages.grants import BalanceCreateRequest, BalanceUpdateRequest
from gateway.ports import FeatureRecord
from gateway.rows import Kind, Row, RowDocument
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
MONTH_LATER_MS = 1_702_592_000_000
MESSAGES = feature()


def request(**fields: object) -> BalanceCreateRequest:
    body = {"customer_id": "ada", "feature_id": "messages", **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=BalanceCreateRequest)


def change(**fields: object) -> BalanceUpdateRequest:
    body = {"customer_id": "ada", "feature_id": "messages", **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=BalanceUpdateRequest)


def create(
    wanted: BalanceCreateRequest, record: FeatureRecord = MESSAGES, holding: Holding | None = None
) -> tuple[Row, int | None]:
    edit = new_grant(
        wanted,
        record,
        holding or Holding(()),
        amount=granted(wanted, record),
        now_ms=NOW_MS,
        row_id="gift",
    )
    assert edit.row is not None
    assert edit.row.id == edit.row_id == "gift"
    return edit.row, edit.due_ms


def held(row_id: str = "a", interval: str | None = None, **columns: object) -> Row:
    unit, every = ("m", 1) if interval else ("", 0)
    document = RowDocument(
        included=100,
        interval=interval,
        price=columns.pop("price", None),  # type: ignore[arg-type]  # of a test
    )
    order = rank(
        unlimited=False,
        unit=unit,
        every=every,
        expires_ms=0,
        add_on=False,
        overage=False,
        created_ms=NOW_MS,
        position=0,
    )
    values = {"id": row_id, "kind": Kind.SHARED, "grant": 100, "unit": unit, "every": every}
    return Row(**{**values, "rank": order, "document": document, **columns})  # type: ignore[arg-type]  # as above


def test_a_grant_never_resets_unless_it_is_told_to() -> None:
    row, due_ms = create(request(included_grant=1.5))
    assert (row.grant, row.unit, row.every, due_ms) == (1_500_000, "", 0, 0)
    assert row.document == RowDocument(included=1_500_000, interval="one_off")
    named, due_ms = create(request(included_grant=1, reset={"interval": "one_off"}))
    assert (named.document.interval, due_ms) == ("one_off", 0)
    assert create(request(unlimited=True))[0].document.interval is None
    assert create(request(included_grant=1), SEATS)[0].document.interval is None


def test_a_grant_that_resets_does_so_an_interval_from_now() -> None:
    row, due_ms = create(request(included_grant=5, reset={"interval": "month"}))
    assert (row.unit, row.every, row.anchor_ms, due_ms) == ("m", 1, NOW_MS, MONTH_LATER_MS)
    row, due_ms = create(request(included_grant=5, reset={"interval": "day", "interval_count": 2}))
    assert (row.unit, row.every, due_ms) == ("f", 2 * DAY_MS, NOW_MS + 2 * DAY_MS)
    assert (row.document.interval, row.document.interval_count) == ("day", 2)


def test_a_first_reset_that_is_named_is_taken_as_it_is_and_later_ones_follow_it() -> None:
    first_ms = NOW_MS + 10 * DAY_MS
    row, due_ms = create(
        request(included_grant=5, reset={"interval": "month"}, next_reset_at=first_ms)
    )
    assert (row.anchor_ms, due_ms) == (first_ms, first_ms)


def test_a_grant_that_expires_resets_only_where_it_is_said_when() -> None:
    fields = {
        "included_grant": 5,
        "reset": {"interval": "month"},
        "expires_at": NOW_MS + 99 * DAY_MS,
    }
    row, due_ms = create(request(**fields))
    assert (row.unit, row.document.interval, due_ms) == ("", "month", 0)
    row, due_ms = create(request(**fields, next_reset_at=NOW_MS + DAY_MS))
    assert (row.unit, row.every, due_ms) == ("m", 1, NOW_MS + DAY_MS)


def test_a_grant_is_spent_by_its_reset_then_its_expiry() -> None:
    monthly, _ = create(request(included_grant=1, reset={"interval": "month"}))
    early, _ = create(request(included_grant=1, expires_at=NOW_MS + 1))
    late, _ = create(request(included_grant=1))
    endless, _ = create(request(unlimited=True))
    ranks = [row.rank for row in (endless, monthly, early, late)]
    assert ranks == sorted(ranks)
    assert endless.unlimited
    assert early.expires_ms == NOW_MS + 1


def test_a_rollover_says_how_much_is_kept_for_how_long() -> None:
    rolling = {"max_percentage": 50, "expiry_duration_length": 2}
    row, _ = create(request(included_grant=5, reset={"interval": "month"}, rollover=rolling))
    assert row.roll == "2000000:2"  # a percentage is rounded down to a whole unit


def test_a_rollover_that_would_expire_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidInputsError, match=r"^expires_at: must be after the first reset"):
        create(
            request(
                included_grant=5,
                reset={"interval": "month"},
                rollover={"expiry_duration_length": 1},
                expires_at=MONTH_LATER_MS,
            )
        )


def test_a_boolean_feature_is_switched_on_once() -> None:
    row, due_ms = create(request(expires_at=NOW_MS + 5), SSO)
    assert (row.kind, row.expires_ms, due_ms) == (Kind.FLAG, NOW_MS + 5, 0)
    with pytest.raises(BalanceExistsError, match="granted already"):
        create(request(), SSO, Holding([row]))


@pytest.mark.parametrize(
    ("record", "fields", "named"),
    [
        (MESSAGES, {}, "included_grant"),
        (MESSAGES, {"included_grant": -1}, "included_grant"),
        (MESSAGES, {"included_grant": 1e14}, "included_grant"),
        (SSO, {"included_grant": 1}, "included_grant"),
        (SSO, {"unlimited": True}, "unlimited"),
        (SSO, {"reset": {"interval": "month"}}, "reset"),
        (SSO, {"rollover": {}}, "rollover"),
        (SSO, {"next_reset_at": NOW_MS + 1}, "next_reset_at"),
        (SEATS, {"included_grant": 1, "reset": {"interval": "month"}}, "reset"),
        (SEATS, {"included_grant": 1, "rollover": {}}, "rollover"),
        (SEATS, {"unlimited": True, "reset": {"interval": "month"}}, "reset"),
    ],
)
def test_what_does_not_belong_to_the_type_of_the_feature_is_refused(
    record: FeatureRecord, fields: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidInputsError, match=f"^{named}: "):
        granted(request(**fields), record)


def test_continuous_use_of_a_grant_survives_and_may_go_beyond_it() -> None:
    row, _ = create(request(included_grant=3), SEATS)
    assert row.flags == "af"


def test_an_entity_is_not_granted_its_own_feature() -> None:
    with pytest.raises(InvalidRequestError, match=r"^feature_id: an entity of seats"):
        create(request(included_grant=3), SEATS, Holding((), entity_feature="seats"))


def test_balances_of_one_feature_are_limited() -> None:
    rows = [held(f"r{at}") for at in range(ROWS_MAX)]
    create(request(included_grant=1), holding=Holding(rows[1:]))
    with pytest.raises(InvalidRequestError, match="at most 200 balances"):
        create(request(included_grant=1), holding=Holding(rows))


def test_an_unused_feature_becomes_coarser_for_a_grant_it_could_not_hold() -> None:
    assert lowered_precision(Decimal(100), MESSAGES) is None
    assert lowered_precision(Decimal(10) ** 12, MESSAGES) == 3


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({"in_use": True}, Decimal(10) ** 12),
        ({"precision_chosen": True}, Decimal(10) ** 12),
        ({}, Decimal(10) ** 12 + Decimal("0.0001")),
    ],
)
def test_a_precision_that_must_not_change_refuses_the_grant(
    fields: dict[str, Any], amount: Decimal
) -> None:
    with pytest.raises(InvalidInputsError, match=r"^included_grant: outside the range"):
        lowered_precision(amount, feature(**fields))


def test_rows_are_chosen_by_id_and_by_interval() -> None:
    monthly, lifetime = held("a", "month"), held("b")
    rows = [monthly, lifetime]
    assert Filter().select(rows) == rows
    assert Filter(balance_id="b").select(rows) == [lifetime]
    assert Filter(interval="month").select(rows) == [monthly]
    assert Filter(interval="one_off").select(rows) == [lifetime]
    assert Filter("a", "one_off").select(rows) == []


def test_another_grant_goes_to_the_first_balance_beside_what_was_bought() -> None:
    first = held("a", grant=150, document=RowDocument(included=100, prepaid=50))
    (edit,) = changed_rows(change(included_grant=0.0003), MESSAGES, [first, held("b")])
    assert edit.row is not None
    assert (edit.row_id, edit.due_ms) == ("a", None)
    assert (edit.row.grant, edit.row.document.included, edit.row.document.prepaid) == (250, 200, 50)


@pytest.mark.parametrize(("interval", "planned"), [("month", 100), (None, None)])
def test_a_balance_that_resets_knows_what_it_goes_back_to(
    interval: str | None, planned: int | None
) -> None:
    row = held("a", interval)
    for included in (250, 40, 100):
        (edit,) = changed_rows(change(included_grant=included / 1_000_000), MESSAGES, [row])
        assert edit.row is not None
        row = edit.row
        expected = None if included == 100 else planned
        assert (row.document.included, row.document.planned) == (included, expected)
        assert row.planned == (included if planned is None else planned)


@pytest.mark.parametrize(("together", "left"), [(2, [80, 100]), (1.5, [30, 100]), (0.2, [0, 0])])
def test_balances_include_together_what_was_sent(together: float, left: list[int]) -> None:
    each = held("each", grant=10, kind=Kind.PER_ENTITY, document=RowDocument(included=10))
    rows = [held("a"), held("b"), each]
    edits = changed_rows(change(included_grant=together / 10_000), MESSAGES, rows, {"each": 2})
    changed = {edit.row_id: edit.row.grant for edit in edits if edit.row is not None}
    assert [changed.get(name, 100) for name in ("a", "b")] == left


def test_less_than_fixed_balances_include_is_refused() -> None:
    rows = [held("a"), held("each", kind=Kind.PER_ENTITY)]
    with pytest.raises(InvalidInputsError, match=r"^included_grant: .* balance_id or interval"):
        changed_rows(change(included_grant=0.0001), MESSAGES, rows, {"each": 2})


def test_another_reset_is_the_anchor_of_later_ones() -> None:
    (edit,) = changed_rows(change(next_reset_at=NOW_MS + 5), MESSAGES, [held("a", "month")])
    assert edit.row is not None
    assert (edit.row.anchor_ms, edit.due_ms) == (NOW_MS + 5, NOW_MS + 5)


def test_another_expiry_changes_the_order() -> None:
    rows = [held("a"), held("b")]
    edits = changed_rows(change(expires_at=NOW_MS + 5), MESSAGES, rows)
    assert [edit.row_id for edit in edits] == ["a", "b"]
    for edit in edits:
        assert edit.row is not None
        assert edit.row.expires_ms == NOW_MS + 5
        assert edit.row.rank < rows[0].rank
        assert len(edit.row.rank) == len(rows[0].rank)


def test_an_update_that_only_moves_usage_changes_no_row() -> None:
    assert changed_rows(change(remaining=5), MESSAGES, [held()]) == []
    assert changed_rows(change(included_grant=0.0001), MESSAGES, [held()]) == []


@pytest.mark.parametrize(
    ("fields", "rows", "error"),
    [
        ({"included_grant": 1}, [], BalanceNotFoundError),
        ({"next_reset_at": NOW_MS}, [], BalanceNotFoundError),
        ({"expires_at": NOW_MS}, [], BalanceNotFoundError),
        ({"included_grant": 1}, [held(flags="u")], InvalidInputsError),
        ({"included_grant": 1}, [held(kind=Kind.PER_ENTITY)], InvalidInputsError),
        ({"next_reset_at": NOW_MS}, [held("a", "month"), held("b")], InvalidInputsError),
        ({"expires_at": NOW_MS}, [held("a", "month", price="{}")], InvalidInputsError),
    ],
)
def test_a_field_a_balance_does_not_have_is_refused(
    fields: dict[str, object], rows: list[Row], error: type[GatewayError]
) -> None:
    with pytest.raises(error, match=f"^{next(iter(fields))}: "):
        changed_rows(change(**fields), MESSAGES, rows)


def test_rows_end() -> None:
    rows = [held("a"), held("b")]
    assert ended_rows(Holding(rows), rows[:1], recalculate=False) == [Edit("a", None)]
    assert ended_rows(Holding(rows), rows[:1], recalculate=True) == [Edit("a", None)]
    assert ended_rows(Holding(rows[:1], held=True), rows[:1], recalculate=True) == [Edit("a", None)]


def test_the_last_row_stays_without_a_grant_to_carry_what_was_used() -> None:
    row = held("a", "month", flags="ua", expires_ms=NOW_MS, roll=":1")
    (edit,) = ended_rows(Holding([row]), [row], recalculate=True)
    assert edit.row is not None
    assert edit.due_ms == 0
    assert (edit.row.grant, edit.row.flags, edit.row.unit, edit.row.roll) == (0, "a", "", "")
    assert (edit.row.expires_ms, edit.row.document) == (0, RowDocument())
    assert edit.row.rank == held("b").rank


def test_a_balance_that_is_paid_for_stays() -> None:
    row = held("a", "month", price="{}")
    with pytest.raises(BalancePricedError):
        ended_rows(Holding([row]), [row], recalculate=False)


def test_a_pooled_balance_is_changed_by_plans_alone() -> None:
    row = held("a", "month", document=RowDocument(givers=2))
    with pytest.raises(BalancePooledError):
        ended_rows(Holding([row]), [row], recalculate=False)
    for field, value in (("included_grant", 5), ("expires_at", NOW_MS + 1)):
        with pytest.raises(InvalidInputsError, match=rf"^{field}: "):
            changed_rows(change(**{field: value}), MESSAGES, [row])


def test_what_entities_used_of_a_shared_rule_is_not_carried() -> None:
    row = held("a", kind=Kind.PER_ENTITY)
    assert ended_rows(Holding([row]), [row], recalculate=False) == [Edit("a", None)]
    with pytest.raises(InvalidRequestError, match=r"^recalculate_balances: "):
        ended_rows(Holding([row]), [row], recalculate=True)
