"""Forms: the JSON of answers whose changing values are left open, made by the encoder itself.

A form is a format string with one ``%b`` for each value left open. While one is made those stand
as NUL bytes, which JSON has none of, or, where it is decoded once more, as a string that is one,
which no name may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.api.legacy.complete import BALANCE, BREAKDOWN, CHECK, TRACK, Shape
from gateway.api.versions import Version
from gateway.messages.balances import Balance, Breakdown, CheckResponse, TrackResponse

HOLE = b"\x00"
"""A value left open."""

OPEN: Any = msgspec.Raw(HOLE)
"""The same, to be encoded."""

_NAMELESS = b'"\\u0000"'

_encode = msgspec.json.Encoder().encode


class Scope(NamedTuple):
    """Whom an answer is about, as JSON; the entity is empty at the customer's level."""

    customer: bytes
    entity: bytes = b""


class Forms:
    """How answers of a version are written; ``shapes`` says what they have more than today's."""

    def __init__(self, shapes: Mapping[type[msgspec.Struct], Shape] | None = None) -> None:
        """Make the forms of whole answers."""
        self._shapes = shapes or {}
        self.tells_nulls = TrackResponse not in self._shapes
        """Whether the balances a track names are told where there are none."""
        self._check, self._track, self._pooled = self._of_answers(UNSET)
        self._check_entity, self._track_entity, self._pooled_entity = self._of_answers(OPEN)

    def encode(self, answer: msgspec.Struct) -> bytes:
        """Return an answer with nothing left open."""
        shape, text = self._shapes.get(type(answer)), _encode(answer)
        return text if shape is None else shape.completed(text)

    def form_of(self, part: msgspec.Struct) -> bytes:
        """Return the form of an answer, or of a part of one."""
        shape, text = self._shapes.get(type(part)), _encode(part)
        if shape is not None:
            text = shape.completed(text.replace(HOLE, _NAMELESS)).replace(_NAMELESS, HOLE)
        return text.replace(b"%", b"%%").replace(HOLE, b"%b")

    def check_answer(self, scope: Scope, verdict: bytes, required: bytes, balance: bytes) -> bytes:
        """Return the answer to a check, all of its values as JSON."""
        if scope.entity:
            return self._check_entity % (verdict, *scope, required, balance)
        return self._check % (verdict, scope.customer, required, balance)

    def track_answer(self, scope: Scope, used: bytes, balance: bytes, deductions: bytes) -> bytes:
        """Return the answer to a track, all of its values as JSON, deductions without brackets."""
        if scope.entity:
            return self._track_entity % (*scope, used, balance, deductions)
        return self._track % (scope.customer, used, balance, deductions)

    def pooled_answer(
        self, scope: Scope, used: bytes, balance: bytes, balances: bytes, deductions: bytes
    ) -> bytes:
        """Return the answer to a track of what credit systems pay for, with all balances."""
        if scope.entity:
            return self._pooled_entity % (*scope, used, balance, balances, deductions)
        return self._pooled % (scope.customer, used, balance, balances, deductions)

    def _of_answers(self, entity_id: Any) -> tuple[bytes, bytes, bytes]:  # noqa: ANN401 - open or unset
        check = CheckResponse(
            allowed=OPEN,
            customer_id=OPEN,
            entity_id=entity_id,
            required_balance=OPEN,
            balance=OPEN,
            flag=None,
        )
        track = TrackResponse(
            customer_id=OPEN,
            entity_id=entity_id,
            value=OPEN,
            balance=OPEN,
            deductions=[OPEN],
        )
        pooled = msgspec.structs.replace(track, balances=OPEN)
        return self.form_of(check), self.form_of(track), self.form_of(pooled)


TODAY = Forms()
COMPLETE = Forms(
    {CheckResponse: CHECK, TrackResponse: TRACK, Balance: BALANCE, Breakdown: BREAKDOWN}
)
"""Those of versions 2.1 and 2.2, which leave no key out."""

FORMS = {Version.V2_1: COMPLETE, Version.V2_2: COMPLETE, Version.V2_3: TODAY}
"""Those of each version that plain calls answer."""
