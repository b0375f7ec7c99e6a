"""What a check answers that cannot be decided."""

from __future__ import annotations

import msgspec
import pytest

from gateway.engine.outage import Outage, Policy
from gateway.engine.subject import Subject
from gateway.engine.verdicts import Asked
from gateway.errors import RedisUnavailableError, UnavailableError
from gateway.keys import customer_keys
from gateway.messages.balances import Balance, CheckResponse
from gateway.ports import FeatureRecord
from gateway.scripts import Part, Pool

GONE = RedisUnavailableError()
CALLS = FeatureRecord(
    env="live",
    id="calls",
    name="Calls",
    type="metered",
    consumable=True,
    precision=0,
    in_use=True,
    archived=False,
)
CREDITS = msgspec.structs.replace(CALLS, id="credits", type="credit_system", precision=1)


def subject(customer_id: str = "ada", entity_id: str = "") -> Subject:
    return Subject("live", customer_id, customer_keys("live", customer_id, 4), 1, entity_id)


def asked(amount: int = 1) -> Asked:
    return Asked([CALLS, CREDITS], Part("calls", amount, (Pool("credits", 2, 1),)))


def answer(*, allowed: bool, feature_id: str = "calls") -> CheckResponse:
    number = msgspec.Raw(b"5")
    balance = Balance(
        feature_id=feature_id,
        granted=number,
        remaining=number,
        usage=number,
        unlimited=False,
        overage_allowed=False,
        max_purchase=None,
        next_reset_at=None,
        breakdown=[],
    )
    return CheckResponse(
        allowed=allowed, customer_id="ada", required_balance=number, balance=balance, flag=None
    )


@pytest.mark.parametrize(("policy", "allowed"), [(Policy.CLOSED, False), (Policy.OPEN, True)])
def test_an_undecided_answer_has_every_key_a_client_needs(policy: Policy, allowed: bool) -> None:
    stand_in = Outage().stand_in(subject(entity_id="seat"), asked(3), policy, GONE)
    assert msgspec.json.decode(msgspec.json.encode(stand_in.response)) == {
        "allowed": allowed,
        "customer_id": "ada",
        "entity_id": "seat",
        "required_balance": 3,
        "balance": None,
        "flag": None,
    }


def test_the_answer_names_the_part_that_is_missing() -> None:
    parts = [
        Outage().stand_in(subject(), asked(), Policy.CLOSED, error).missing
        for error in (GONE, UnavailableError("SQL is unavailable"))
    ]
    assert parts == ["redis", "sql"]


def test_a_feature_without_a_policy_has_that_of_the_deployment() -> None:
    outage = Outage(Policy.LAST_KNOWN)
    assert outage.policy_of(None) is Policy.LAST_KNOWN
    assert outage.policy_of("open") is Policy.OPEN


@pytest.mark.parametrize(
    ("last", "then", "expected"),
    [
        ((5, True), 5, True),
        ((5, True), 4, True),
        ((5, True), 6, False),  # nobody knows: as closed
        ((5, False), 5, False),
        ((5, False), 6, False),
        ((5, False), 4, False),  # nobody knows: as closed
    ],
)
def test_the_last_answer_says_no_more_than_it_did(
    last: tuple[int, bool], then: int, expected: bool
) -> None:
    outage = Outage()
    outage.remember(subject(), asked(last[0]), answer(allowed=last[1]))
    response = outage.stand_in(subject(), asked(then), Policy.LAST_KNOWN, GONE).response
    assert response.allowed is expected
    is_known = then == last[0] or last[1] == (then < last[0])
    assert (response.balance is not None) is is_known


def test_a_last_answer_to_another_amount_asks_in_the_units_that_answered() -> None:
    outage = Outage()
    outage.remember(subject(), asked(9), answer(allowed=True, feature_id="credits"))
    response = outage.stand_in(subject(), asked(3), Policy.LAST_KNOWN, GONE).response
    assert response.required_balance == msgspec.Raw(b"0.6")


def test_nobody_gets_the_answer_of_another() -> None:
    outage = Outage()
    outage.remember(subject(), asked(), answer(allowed=True))
    for other in (subject("bob"), subject(entity_id="seat")):
        assert not outage.stand_in(other, asked(), Policy.LAST_KNOWN, GONE).response.allowed


def test_the_answer_longest_unused_is_forgotten_first() -> None:
    outage = Outage(answers_max=2)
    for name in ("ada", "bob", "ada", "eve"):
        outage.remember(subject(name), asked(), answer(allowed=True))
    known = {
        name: outage.stand_in(subject(name), asked(), Policy.LAST_KNOWN, GONE).response.allowed
        for name in ("ada", "bob", "eve")
    }
    assert known == {"ada": True, "bob": False, "eve": True}


def test_other_policies_never_answer_from_memory() -> None:
    outage = Outage()
    outage.remember(subject(), asked(), answer(allowed=True))
    for policy in (Policy.CLOSED, Policy.OPEN):
        assert outage.stand_in(subject(), asked(), policy, GONE).response.balance is None
