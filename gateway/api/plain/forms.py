"""Forms: the JSON of answers whose changing values are left open, made by the encoder itself.

A form is a format string with one ``%b`` for each value left open. While one is made those stand
as NUL bytes, which JSON has none of, or, where it is decoded once more, as a string that is one,
which no name may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
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
    """Whom an answer is about, as JSON; the entity is empty at the customer's level. The event is
    what a track named instead of a feature, if it did.
    """

    customer: bytes
    entity: bytes = b""
    event: bytes = b""


class Forms:
    """How answers of a version are written; ``shapes`` says what they have more than today's."""

    def __init__(self, shapes: Mapping[type[msgspec.Struct], Shape] | None = None) -> None:
        """Make the forms of whole answers."""
        self._shapes = shapes or {}
        self.tells_nulls = TrackResponse not in self._shapes
        """Whether the balances a track names are told where there are none."""
        self._check, self._check_entity = (self.form_of(_check(one)) for one in (UNSET, OPEN))
        self._track, self._track_entity = (self.form_of(_track(one)) for one in (UNSET, OPEN))
        self._tracks = {
            shown: self.form_of(_track(*(OPEN if one else UNSET for one in shown)))
            for shown in product((False, True), repeat=3)
        }

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
            return self._check_entity % (verdict, scope.customer, scope.entity, required, balance)
        return self._check % (verdict, scope.customer, required, balance)

    def track_answer(self, scope: Scope, used: bytes, balance: bytes, deductions: bytes) -> bytes:
        """Return the answer to a track, all of its values as JSON, deductions without brackets."""
        if scope.event:
            return self._tracked(scope, used, balance, deductions)
        if scope.entity:
            return self._track_entity % (scope.customer, scope.entity, used, balance, deductions)
        return self._track % (scope.customer, used, balance, deductions)

    def pooled_answer(
        self, scope: Scope, used: bytes, balance: bytes, balances: bytes, deductions: bytes
    ) -> bytes:
        """Return the answer to a track of what credit systems pay for, with all balances."""
        return self._tracked(scope, used, balance, balances, deductions, is_pooled=True)

    def _tracked(self, scope: Scope, *values: bytes, is_pooled: bool = False) -> bytes:
        form = self._tracks[bool(scope.entity), bool(scope.event), is_pooled]
        return form % (*filter(None, scope), *values)


def _check(entity_id: Any) -> CheckResponse:  # noqa: ANN401 - open or unset
    return CheckResponse(
        allowed=OPEN,
        customer_id=OPEN,
        entity_id=entity_id,
        required_balance=OPEN,
        balance=OPEN,
        flag=None,
    )


def _track(
    entity_id: Any,  # noqa: ANN401 - as above
    event_name: Any = UNSET,  # noqa: ANN401 - as above
    balances: Any = UNSET,  # noqa: ANN401 - as above
) -> TrackResponse:
    return TrackResponse(
        customer_id=OPEN,
        entity_id=entity_id,
        event_name=event_name,
        value=OPEN,
        balance=OPEN,
        balances=balances,
        deductions=[OPEN],
    )


TODAY = Forms()
COMPLETE = Forms(
    {CheckResponse: CHECK, TrackResponse: TRACK, Balance: BALANCE, Breakdown: BREAKDOWN}
)
"""Those of versions 2.1 and 2.2, which leave no key out."""

FORMS = {Version.V2_1: COMPLETE, Version.V2_2: COMPLETE, Version.V2_3: TODAY}
"""Those of each version that plain calls answer."""
