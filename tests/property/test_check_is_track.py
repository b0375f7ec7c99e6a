"""Promise 3: ``check`` allows exactly what a ``track`` that rejects would do at that moment.

Each example is a customer with plans, entities, controls, uses and time behind it, and a few
questions about it; a dry track tells what the real one would do. The profile ``full`` asks ten
thousand questions.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.engine.views import balance_of
from gateway.messages.balances import Balance
from gateway.scripts import Status, TrackReply, Use
from tests.property.direct import direct_client
from tests.property.lives import Lives
from tests.property.machine import KEYS, part_of
from tests.property.plans import (
    DAY_MS,
    HOUR_MS,
    Plan,
    controlled,
    controls,
    entity_features,
    first_plans,
    plans,
    properties,
    signed_amounts,
    used_features,
)
from tests.property.rules import Properties, RuleText

QUESTIONS = 5
scopes = st.sampled_from(("", "", "0", "1"))


class Amount(NamedTuple):
    """So much of a feature, at one scope."""

    scope: str
    feature: str
    units: int
    about: Properties


asked = st.builds(Amount, scopes, used_features, signed_amounts, properties)


class Past(NamedTuple):
    """What has happened to a customer before it is asked about."""

    plan: Plan
    entities: list[str]
    own: list[Plan]
    controls: list[tuple[str, str, RuleText]]
    used: list[Amount]
    modes: list[str]
    passed_ms: int


pasts = st.builds(
    Past,
    first_plans,
    st.lists(entity_features, min_size=2, max_size=3),
    st.lists(plans, max_size=2),
    st.lists(st.tuples(scopes, controlled, controls), max_size=4),
    st.lists(asked, max_size=5),
    st.lists(st.sampled_from(("cap", "overflow")), min_size=5, max_size=5),
    st.sampled_from((0, 0, HOUR_MS, 32 * DAY_MS, 400 * DAY_MS)),
)


class Customer(Lives):
    """A customer that is asked questions."""

    def live(self, past: Past) -> None:
        self.begin(past.plan, past.entities, past.own)
        for scope, feature, rules in past.controls:
            self.set_controls(scope, feature, rules)
        for amount, mode in zip(past.used, past.modes, strict=False):
            assert self.tracked(amount, mode).status is not Status.DENIED
        self.now_ms += past.passed_ms

    def existing(self, scope: str) -> str:
        """Return the entity a scope stands for; the customer where none could be created."""
        return self.named(scope) if self.reference.entities else ""

    def tracked(self, amount: Amount, mode: str, *, dry: bool = False) -> TrackReply:
        use = Use(
            entity=self.existing(amount.scope),
            parts=[part_of(amount.feature, amount.units)],
            timestamp_ms=self.now_ms,
            mode=mode,
            properties=json.dumps(amount.about),
            dry=dry,
        )
        return self.settled(lambda: self.scripts.track(self.context, use))

    def shown(self, amount: Amount, reply: TrackReply) -> list[Balance | None]:
        """Return the balances a reply shows."""
        is_entity = bool(self.existing(amount.scope))
        return [
            balance_of(one, 0, entity_level=is_entity, now_ms=self.now_ms)
            for described in reply.descriptions
            for one in described
        ]

    def checked(self, amount: Amount) -> bool:
        part, text = part_of(amount.feature, amount.units), json.dumps(amount.about)
        scope = self.existing(amount.scope)
        reply = self.settled(lambda: self.scripts.check(KEYS, self.now_ms, scope, part, text))
        assert reply.status is Status.DONE
        return reply.allowed


@pytest.mark.redis_kinds("embedded")
def test_check_allows_what_a_rejecting_track_would_do(redis_server_url: str) -> None:
    with direct_client(redis_server_url) as client:

        @given(pasts, st.lists(asked, min_size=QUESTIONS, max_size=QUESTIONS))
        def ask(past: Past, questions: list[Amount]) -> None:
            customer = Customer(client)
            customer.live(past)
            for question in questions:
                allowed = customer.checked(question)
                customer.look()
                dry = customer.tracked(question, "reject", dry=True)
                assert allowed is (dry.status is Status.DONE)
                customer.assert_nothing_written()
            # The last one for real: what a dry run says is what is done.
            allowed = customer.checked(questions[-1])
            assert allowed is (customer.tracked(questions[-1], "reject").status is Status.DONE)

        ask()


@pytest.mark.redis_kinds("embedded")
def test_a_dry_track_shows_what_the_real_one_does(redis_server_url: str) -> None:
    with direct_client(redis_server_url) as client:

        @given(pasts, asked, st.sampled_from(("cap", "overflow", "reject")))
        def ask(past: Past, amount: Amount, mode: str) -> None:
            customer = Customer(client)
            customer.live(past)
            dry, real = (customer.tracked(amount, mode, dry=is_dry) for is_dry in (True, False))
            assert (dry.status, dry.applied) == (real.status, real.applied)
            if real.status is Status.DONE:
                assert customer.shown(amount, dry) == customer.shown(amount, real)
                assert dry.moves == real.moves

        ask()
