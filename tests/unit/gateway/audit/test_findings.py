"""What is told of drifts, and what is done about them."""

from __future__ import annotations

from typing import Any

from gateway.audit.auditor import Progress
from gateway.audit.findings import Findings, Plan, plan, tell, tell_plan, tell_summary
from gateway.audit.records import Drift, Kind, Move, Trail
from gateway.rows import Kind as RowKind
from gateway.rows import Row, encode_row
from gateway.scripts.residents import Name

ADA = Name("sandbox", "ada")
MOVE = Move("evt_p01_5-0", 1_770_000_000_123, 3, 3)
TRAIL = Trail(total=3, count=1, moves=[MOVE])


def drift(kind: Kind = Kind.EVENTS, **fields: Any) -> Drift:  # noqa: ANN401 - fields of a drift
    given: dict[str, Any] = {
        "kind": kind,
        "env": "sandbox",
        "customer_id": "ada",
        "internal_id": "cus_1",
        "what": "used",
        "feature_id": "calls",
        "balance_id": "bal_1",
        "sql": 9,
        "events": 3,
        "trail": TRAIL,
    }
    return Drift(**given | fields)


def test_what_differs_from_its_events_is_set_and_its_customer_taken_out() -> None:
    of_redis = drift(Kind.REDIS, redis=4)
    made = plan([drift(), drift(Kind.SUM), of_redis])
    assert made == Plan([drift()], [ADA], [])
    of = "ada (sandbox) calls balance bal_1"
    assert list(tell_plan(made)) == [
        f"SQL    set used of {of} from 9 to 3, what its 1 deductions add up to",
        "Redis  take ada (sandbox) out; it comes back as SQL has it",
    ]
    assert plan([]).is_empty


def test_a_customer_that_only_redis_has_whole_is_left_alone() -> None:
    lacking = [
        drift(Kind.REDIS, what="seq", sql="8", redis="11"),
        drift(Kind.REDIS, note="set aside by the writer: 5-0 of partition 1"),
        drift(Kind.REDIS, what="text", sql=None, redis="b\tc"),
    ]
    reasons = [
        "SQL lacks changes that Redis has",
        "set aside by the writer: 5-0 of partition 1",
        "SQL has no balance bal_1, Redis has",
    ]
    for one, reason in zip(lacking, reasons, strict=True):
        made = plan([drift(), one])
        assert made == Plan([], [], [(ADA, reason)])
        assert list(tell_plan(made)) == [f"leave  ada (sandbox) alone: {reason}"]


def test_a_redis_that_is_behind_or_unreadable_gives_way_to_sql() -> None:
    for seq in ("7", "", "junk"):
        assert plan([drift(Kind.REDIS, what="seq", sql="8", redis=seq)]).evictions == [ADA]


def test_a_drift_is_told_with_its_numbers_and_the_events_behind_them() -> None:
    assert list(tell(drift(entity_id="zoe", note="why"))) == [
        "events  ada (sandbox) calls balance bal_1 entity zoe: used: SQL 9, events 3",
        "        why",
        "        1 deductions add up to 3; the newest:",
        "          evt_p01_5-0  2026-02-02T02:40:00.123Z  +3  left 3",
    ]
    broken = Trail(total=3, count=1, moves=[MOVE], broken_at=MOVE)
    *_, last = tell(drift(trail=broken))
    assert last.strip().startswith("does not go on from the one before it: evt_p01_5-0")


def test_an_event_that_is_not_there_is_told_and_left_as_it_is() -> None:
    trail = Trail(total=3, count=2)
    lost = drift(Kind.EVENT, what="event", event_id="evt_p01_5-0", sql=None, trail=trail)
    of = "ada (sandbox) calls balance bal_1"
    assert list(tell(lost)) == [
        f"event   {of}: evt_p01_5-0: 2 deductions of it add up to 3, and there is no such event"
    ]
    made = plan([lost, drift()])
    assert made == Plan([drift()], [ADA], [], (lost,))
    *_, last = tell_plan(made)
    assert last == f"leave  {of}: evt_p01_5-0 cannot be brought back from deductions"
    assert plan([lost]).is_empty


def test_deductions_that_are_not_there_leave_their_customer_alone() -> None:
    half = drift(
        Kind.EVENT,
        what="deductions",
        event_id="evt_p01_5-0",
        balance_id="",
        events=None,
        trail=None,
    )
    said = "evt_p01_5-0: the event says that 9 were used, and there is no deduction of it"
    assert list(tell(half)) == [f"event   ada (sandbox) calls: {said}"]
    reason = "what evt_p01_5-0 moved is in no deduction: the others are not all there was"
    assert plan([half, drift()]) == Plan([], [], [(ADA, reason)])


def test_an_event_of_which_something_is_set_aside_is_told_with_it() -> None:
    half = drift(Kind.EVENT, what="event", event_id="evt_p01_5-0", note="set aside")
    assert list(tell(half))[1:] == ["        set aside"]
    assert plan([half]) == Plan([], [], [(ADA, "set aside")])


def test_the_two_sides_are_told_even_if_one_has_nothing() -> None:
    text = encode_row(Row(id="bal_1", kind=RowKind.SHARED, grant=70))
    missing = drift(Kind.REDIS, what="text", sql=text, redis=None, events=None, trail=None)
    (line,) = tell(missing)
    assert line.endswith("text: SQL shared of 70, Redis nothing")
    (line,) = tell(drift(Kind.REDIS, what="lock", sql="a\tb", events=None, trail=None))
    assert line.endswith("lock: SQL 'a\\tb', Redis nothing")


def test_findings_count_everything_and_keep_so_many(monkeypatch: Any) -> None:  # noqa: ANN401 - pytest's
    monkeypatch.setattr("gateway.audit.findings.LISTED_MAX", 2)
    found = Findings()
    assert (found.clean, tell_summary(found)) == (
        True,
        "no drift: 0 customers and 0 balances in SQL, 0 customers in Redis",
    )
    found.add_ledger(Progress(1200, 3000, [drift()], []))
    found.add_redis(Progress(1, 0, [drift(), drift()], [ADA, ADA, ADA]))
    assert (found.clean, found.drift_count, len(found.drifts)) == (False, 3, 2)
    assert found.unsettled == [ADA, ADA]
    expected = "3 drifts: 1,200 customers and 3,000 balances in SQL, 1 customers in Redis"
    assert tell_summary(found) == expected
