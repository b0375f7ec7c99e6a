"""The checker finds what it is for: each difference between the clients' ledger and SQL."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from tests.torture.checker import Found, Occurrence, check_operations
from tests.torture.ledger import Kind, Ledger, Operation, Outcome, Use

DONE, REFUSED, UNKNOWN = Outcome


def _track(outcome: Outcome = DONE) -> Operation:
    return Operation(
        Kind.TRACK, "t1", "org", "seat", uses=(Use("messages", "1.50"),), outcome=outcome
    )


def _event(value: str = "1.5", customer: str = "org") -> Occurrence:
    return Occurrence(customer, "seat", "messages", Decimal(value))


def _found(*events: Occurrence, **more: object) -> Found:
    empty: dict[str, object] = {
        "events": {"t1": list(events)} if events else {},
        "seats": {},
        "customers": Counter(),
        "ended_customers": Counter(),
        "entities": {},
        "subscriptions": Counter(),
        "balances": Counter(),
        "locks": {},
    }
    return Found(**(empty | more))  # type: ignore[arg-type]


def _faults(found: Found, *operations: Operation) -> int:
    return len(list(check_operations(Ledger(operations=list(operations)), found)))


@pytest.mark.parametrize(
    ("outcome", "times", "faults"),
    [
        (DONE, 0, 1),
        (DONE, 1, 0),
        (DONE, 2, 1),
        (REFUSED, 0, 0),
        (REFUSED, 1, 1),
        (UNKNOWN, 0, 0),
        (UNKNOWN, 1, 0),
        (UNKNOWN, 2, 1),
    ],
)
def test_an_event_is_there_once_never_or_either(outcome: Outcome, times: int, faults: int) -> None:
    assert _faults(_found(*[_event()] * times), _track(outcome)) == faults


def test_an_event_has_the_value_and_the_owner_that_were_sent() -> None:
    assert _faults(_found(_event("1.51")), _track()) == 1
    assert _faults(_found(_event(customer="other")), _track()) == 1


def test_an_event_of_two_features_is_there_for_both_or_for_none() -> None:
    two = (Use("messages", "2"), Use("tokens", "2"))
    track = Operation(Kind.TRACK, "t1", "org", uses=two, outcome=UNKNOWN)
    both = [Occurrence("org", "", name, Decimal(2)) for name in ("tokens", "messages")]
    assert [_faults(_found(*events), track) for events in ([], both[:1], both)] == [0, 1, 0]


def test_an_event_nobody_asked_for_is_found() -> None:
    assert _faults(_found(_event())) == 1


def test_an_entity_is_there_once_with_the_event_of_its_seat() -> None:
    seats = (Use("seats", "1"),)
    birth = Operation(Kind.ENTITY, "e1", "org", "e", "e", uses=seats, outcome=DONE)
    there: dict[str, object] = {"entities": {("org", "e"): [False]}}
    counted = {("entity", "org", "e"): [Decimal(1)]}
    assert _faults(_found(**there, seats=counted), birth) == 0
    assert _faults(_found(**there), birth) == 1
    assert _faults(_found(), birth) == 1


def test_a_finalized_lock_has_ended_as_asked() -> None:
    hold = Operation(Kind.HOLD, "t1", "org", "seat", "lock", "", (Use("messages", "1.5"),), DONE)
    end = Operation(Kind.FINALIZE, "f1", "org", "seat", "lock", "confirm", (), DONE)
    for state, faults in (("confirmed", 0), ("open", 1), ("released", 1)):
        assert _faults(_found(_event(), locks={"lock": [state]}), hold, end) == faults
    assert _faults(_found(_event(), locks={"lock": ["open"]}), hold) == 0
    assert _faults(_found(_event()), hold) == 1


@pytest.mark.parametrize(("ends", "faults"), [(0, 1), (1, 0), (2, 0), (3, 1)])
def test_a_customer_is_ended_by_each_of_its_deletes(ends: int, faults: int) -> None:
    deletes = [Operation(Kind.CUSTOMER_END, f"d{one}", "org", outcome=one) for one in Outcome]
    found = _found(ended_customers=Counter({"org": ends}))
    assert _faults(found, *deletes) == faults
