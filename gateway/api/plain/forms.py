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
        self._check, self._check_entity = map(self._of_checks, (UNSET, OPEN))
        self._tracks = {
            (entity is OPEN, event is OPEN): self._of_tracks(entity, event)
            for entity in (UNSET, OPEN)
            for event in (UNSET, OPEN)
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
        form, _ = self._tracks[bool(scope.entity), bool(scope.event)]
        return form % (*filter(None, scope), used, balance, deductions)

    def pooled_answer(
        self, scope: Scope, used: bytes, balance: bytes, balances: bytes, deductions: bytes
    ) -> bytes:
        """Return the answer to a track of what credit systems pay for, with all balances."""
        _, form = self._tracks[bool(scope.entity), bool(scope.event)]
        return form % (*filter(None, scope), used, balance, balances, deductions)

    def _of_checks(self, entity_id: Any) -> bytes:  # noqa: ANN401 - open or unset
        check = CheckResponse(
            allowed=OPEN,
            customer_id=OPEN,
            entity_id=entity_id,
            required_balance=OPEN,
            balance=OPEN,
            flag=None,
        )
        return self.form_of(check)

    def _of_tracks(self, entity_id: Any, event: Any) -> tuple[bytes, bytes]:  # noqa: ANN401 - as above
        track = TrackResponse(
            customer_id=OPEN,
            entity_id=entity_id,
            event_name=event,
            value=OPEN,
            balance=OPEN,
            deductions=[OPEN],
        )
        pooled = msgspec.structs.replace(track, balances=OPEN)
        return self.form_of(track), self.form_of(pooled)


TODAY = Forms()
COMPLETE = Forms(
    {CheckResponse: CHECK, TrackResponse: TRACK, Balance: BALANCE, Breakdown: BREAKDOWN}
)
"""Those of versions 2.1 and 2.2, which leave no key out."""

FORMS = {Version.V2_1: COMPLETE, Version.V2_2: COMPLETE, Version.V2_3: TODAY}
"""Those of each version that plain calls answer."""
