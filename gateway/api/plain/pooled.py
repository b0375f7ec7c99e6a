"""Answers about a feature that credit systems pay for: each balance by its own ``Pieces``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.api.plain.forms import Scope
from gateway.api.plain.pieces import NO_BALANCE, Answer, Pieces

_encode = msgspec.json.Encoder().encode


class Pooled:
    """Pieces of a feature and then of the systems; asked like those of one feature."""

    def __init__(self, pieces: Sequence[Pieces]) -> None:
        self.forms = pieces[0].forms
        self.is_timeless = pieces[0].is_timeless
        self._pieces = pieces
        self._names = [_encode(one.feature_id) for one in pieces]
        self._places = {one.feature_id.encode(): place for place, one in enumerate(pieces)}

    def checked(self, scope: Scope, reply: Sequence[bytes], now_ms: int) -> Answer | None:
        """Return the answer to a check: it shows the balance that answers."""
        place = int(reply[2]) - 1
        described = reply[4].split(b"\x02")[place]
        entity_level = bool(scope.entity)
        balance = self._pieces[place].balance_of(described, now_ms, entity_level=entity_level)
        if balance is None or balance is NO_BALANCE:
            return None
        lone = balance.lone and balance.lone.behind(place)
        return Answer(self.check_answer(scope, reply, balance.body), lone)

    def check_answer(self, scope: Scope, reply: Sequence[bytes], balance: bytes) -> bytes:
        """Return the answer to a check that shows a balance."""
        return self._pieces[int(reply[2]) - 1].check_answer(scope, reply, balance)

    def tracked(
        self, scope: Scope, units: int, reply: Sequence[bytes], now_ms: int
    ) -> Answer | None:
        """Return the answer to a track: it shows all balances, and first one that gave."""
        balances = [
            pieces.balance_of(described, now_ms, entity_level=bool(scope.entity))
            for pieces, described in zip(self._pieces, reply[2].split(b"\x03"), strict=True)
        ]
        bodies = [one.body for one in balances if one is not None]
        if len(bodies) < len(balances):
            return None
        body = self._written(scope, units, reply, bodies)
        owned = [(place, one) for place, one in enumerate(balances) if one is not NO_BALANCE]
        if body is None or len(owned) != 1:
            return None if body is None else Answer(body)
        ((place, balance),) = owned
        lone = balance and balance.lone
        return Answer(body, lone and lone.behind(place))

    def track_answer(
        self, scope: Scope, units: int, reply: Sequence[bytes], balance: bytes
    ) -> bytes | None:
        """Return the answer to a track of which only one feature has a balance: this one."""
        texts = (described.split(b"\x04") for described in reply[2].split(b"\x03"))
        bodies = [balance if one[1] or one[5] else NO_BALANCE.body for one in texts]
        return self._written(scope, units, reply, bodies)

    def _written(
        self, scope: Scope, units: int, reply: Sequence[bytes], bodies: Sequence[bytes]
    ) -> bytes | None:
        touched, deductions = set(), []
        for move in reply[3].split(b"\x03") if reply[3] else ():
            feature, line, delta, due = move.split(b"\x04")
            place = self._places[feature]
            deduction = self._pieces[place].deduction(line, int(delta), int(due))
            if deduction is None:
                return None
            touched.add(place)
            deductions.append(deduction)
        null = NO_BALANCE.body
        owned = [place for place, body in enumerate(bodies) if body != null]
        shown = next((place for place in owned if place in touched), owned[0] if owned else None)
        named = zip(self._names, bodies, strict=True)
        balances = [b"%b:%b" % one for one in named if one[1] != null or self.forms.tells_nulls]
        return self.forms.pooled_answer(
            scope,
            self._pieces[0].number(units),
            null if shown is None else bodies[shown],
            b"{%b}" % b",".join(balances),
            b",".join(deductions),
        )
