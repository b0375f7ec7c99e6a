"""What a check answers when it cannot be decided: the feature's policy, or the deployment's.

``closed`` says no, ``open`` says yes, ``last_known`` says what this process answered last. None of
them is a 503, which the published clients turn into *allowed*; what decided is in the answer's
header and counted. Pure but for the memory of last answers, which is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from gateway.engine.verdicts import Asked, Whom, number
from gateway.errors import RedisUnavailableError, UnavailableError
from gateway.messages.balances import CheckResponse

ANSWERS_MAX = 50_000
"""Last answers kept, about 1 KiB each; beyond it the one longest unused is forgotten."""


class Policy(StrEnum):
    """Of a feature, or of the deployment."""

    CLOSED = "closed"
    OPEN = "open"
    LAST_KNOWN = "last_known"


class StandIn(NamedTuple):
    """An answer without a decision; ``missing`` is the part that did not answer."""

    response: CheckResponse
    policy: Policy
    missing: str


class Answer(NamedTuple):
    """What was answered last, and for how many units."""

    amount: int
    response: CheckResponse


class Outage:
    """Policies, and the memory ``last_known`` needs."""

    def __init__(self, default: Policy = Policy.CLOSED, answers_max: int = ANSWERS_MAX) -> None:
        self.default = default
        self._answers_max = answers_max
        self._answers: OrderedDict[tuple[str, str, str, str], Answer] = OrderedDict()

    def policy_of(self, chosen: str | None) -> Policy:
        """Return the policy of a feature whose document says ``chosen``."""
        return self.default if chosen is None else Policy(chosen)

    def remember(self, subject: Whom, asked: Asked, response: CheckResponse) -> None:
        """Keep an answer as the last one, without what explained it to one caller."""
        key = _key(subject, asked)
        kept = msgspec.structs.replace(response, explanation=UNSET)
        self._answers[key] = Answer(asked.part.amount, kept)
        self._answers.move_to_end(key)
        if len(self._answers) > self._answers_max:
            self._answers.popitem(last=False)

    def stand_in(
        self, subject: Whom, asked: Asked, policy: Policy, error: UnavailableError
    ) -> StandIn:
        """Return what is answered instead of ``error``; without a last answer, ``last_known`` is
        ``closed``.
        """
        missing = "redis" if isinstance(error, RedisUnavailableError) else "sql"
        response = None
        if policy is Policy.LAST_KNOWN and (last := self._answers.get(_key(subject, asked))):
            response = last_known(asked, last)
        if response is None:
            allowed = policy is Policy.OPEN
            response = undecided(subject, asked, allowed=allowed)
        return StandIn(response, policy, missing)


def undecided(subject: Whom, asked: Asked, *, allowed: bool) -> CheckResponse:
    """Return an answer that knows no balance."""
    return CheckResponse(
        allowed=allowed,
        customer_id=subject.customer_id,
        entity_id=subject.entity_id or UNSET,
        required_balance=number(asked.part.amount, asked.features[0]),
        balance=None,
        flag=None,
    )


def last_known(asked: Asked, last: Answer) -> CheckResponse | None:
    """Return the last answer as one to this amount; None where it says nothing about it.

    What was allowed for an amount was allowed for less, and what was denied was denied for more.
    """
    amount, response = asked.part.amount, last.response
    if amount == last.amount:
        return response
    if response.allowed != (amount < last.amount):
        return None
    places = {feature.id: at for at, feature in enumerate(asked.features)}
    at = 0 if response.balance is None else places.get(response.balance.feature_id, 0)
    required = number(asked.required_in(at), asked.features[at])
    return msgspec.structs.replace(response, required_balance=required)


def _key(subject: Whom, asked: Asked) -> tuple[str, str, str, str]:
    return subject.env, subject.customer_id, subject.entity_id, asked.features[0].id
