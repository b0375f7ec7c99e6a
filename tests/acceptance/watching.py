"""A customer whose balances are looked at after each call, at every level."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

from hypothesis.stateful import RuleBasedStateMachine

from tests.acceptance.store import Store
from tests.fixtures.gateways import Json

ROOM = "room"
"""An entity nothing is given to: it sees what the customer holds itself, and nothing else."""

SMALLEST = Decimal("0.000001")
"""A part of a unit, of all features but credits."""

Seen = dict[str | None, Json]
"""The customer, under None, and its entities as a get shows them."""


class View(NamedTuple):
    """The totals of a balance."""

    granted: Decimal = Decimal(0)
    remaining: Decimal = Decimal(0)
    usage: Decimal = Decimal(0)
    unlimited: bool = False


def differences(one: Any, other: Any, path: str = "") -> list[str]:  # noqa: ANN401 - of any answers
    """Return where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = {key: (one.get(key), other.get(key)) for key in {**one, **other}}
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = dict(enumerate(zip(one, other, strict=True)))
    else:
        return [] if one == other else [f"{path}: {one} is not {other}"]
    return [line for key, pair in pairs.items() for line in differences(*pair, f"{path}/{key}")]


class Watched(RuleBasedStateMachine):
    """One customer with entities; numbers of answers are decimals."""

    told: tuple[str, ...] = ()
    """Those whose balances have to add up."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.numbers = count(1)
        self.entities: list[str] = []
        self.seen: Seen = {}

    def ask(self, name: str, body: Json, /, **headers: str) -> tuple[int, Json]:
        sent = json.dumps(body, default=float).encode()
        typed = {"content-type": "application/json"}
        answer = self.store.gateway.raw(name, sent, **typed, **headers)
        assert answer.status_code < 500, (name, body, answer.text)
        return answer.status_code, json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)

    def done(self, name: str, body: Json) -> Json:
        """Send what must be a success."""
        status, answer = self.ask(name, body)
        assert status < 300, (name, body, answer)
        return answer

    def change(self, name: str, body: Json, /, **headers: str) -> tuple[int, Json]:
        """Do something; what was refused has changed nothing."""
        before = self.seen
        status, answer = self.ask(name, body, **headers)
        self.look()
        if status >= 400:
            self.is_as(before)
        return status, answer

    def twice(self, name: str, body: Json, other: Json) -> tuple[int, Json]:
        """Do something twice under one key; the second time, and another call, are none."""
        key = {"idempotency-key": f"{self.store.customer}-{next(self.numbers)}"}
        status, answer = self.change(name, body, **key)
        before = self.seen
        if status < 400:
            assert self.ask(name, body, **key) == (status, answer)
            assert self.ask(name, body | other, **key)[0] == 409
        self.look()
        self.is_as(before)
        return status, answer

    # -- what is there -------------------------------------------------------------------------

    @property
    def scopes(self) -> tuple[str | None, ...]:
        return None, ROOM, *self.entities

    def known(self, scope: str | None) -> str | None:
        """Return an entity that is there, else the customer level."""
        return scope if scope in self.entities else None

    def raw(self, scope: str | None, feature: str, seen: Seen | None = None) -> Json:
        """Return the balance a scope has of a feature, or None."""
        return (seen or self.seen)[scope]["balances"].get(self.store.name(feature))

    def of(self, scope: str | None, feature: str, seen: Seen | None = None) -> View:
        one = self.raw(scope, feature, seen)
        return View(*(one[field] for field in View._fields)) if one else View()

    def is_as(self, before: Seen) -> None:
        assert differences(self.seen, before) == []

    def look(self) -> None:
        """Look at the customer and its entities, whose balances must add up."""
        self.seen = {
            scope: self.done("entities.get" if scope else "customers.get", self.store.scope(scope))
            for scope in self.scopes
        }
        for feature in self.told:
            self.add_up(feature)

    def add_up(self, feature: str) -> None:
        """The customer has what it holds itself, and what each entity has beside that."""
        for scope in self.scopes:
            if one := self.raw(scope, feature):
                rows, rolled = one["breakdown"], one.get("rollovers", [])
                amounts = [one["remaining"], one["granted"]]
                amounts += [row[field] for row in rows for field in ("remaining", "prepaid_grant")]
                assert min(amounts, default=0) >= 0
                assert all(0 <= left["balance"] <= left["granted"] for left in rolled)
        top, shared = self.of(None, feature), self.of(ROOM, feature)
        views = [self.of(scope, feature) for scope in self.entities]
        if not any(one.unlimited for one in (top, shared, *views)):
            for at in range(3):
                assert top[at] == shared[at] + sum(one[at] - shared[at] for one in views), feature

    def shows(self, scope: str | None, answer: Json) -> None:
        """What an answer shows of balances is what a get shows."""
        shown = [*answer.get("balances", {}).values(), answer.get("balance")]
        for one in filter(None, shown):
            assert differences(one, self.seen[scope]["balances"].get(one["feature_id"])) == []
