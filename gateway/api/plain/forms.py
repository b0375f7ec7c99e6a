"""Forms: the JSON of answers whose changing values are left open, made by the encoder itself.

A form is a format string with one ``%b`` for each value left open. While one is made those stand
as NUL bytes, which JSON has none of.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.messages.balances import CheckResponse, TrackResponse

HOLE = b"\x00"
"""A value left open."""

OPEN: Any = msgspec.Raw(HOLE)
"""The same, to be encoded."""

_encode = msgspec.json.Encoder().encode


def form_of(answer: msgspec.Struct) -> bytes:
    """Return the form of an answer."""
    return _encode(answer).replace(b"%", b"%%").replace(HOLE, b"%b")


class Scope(NamedTuple):
    """Whom an answer is about, as JSON; the entity is empty at the customer's level."""

    customer: bytes
    entity: bytes = b""


def check_answer(scope: Scope, verdict: bytes, required: bytes, balance: bytes) -> bytes:
    """Return the answer to a check, all of its values as JSON."""
    if scope.entity:
        return _CHECK_ENTITY % (verdict, *scope, required, balance)
    return _CHECK % (verdict, scope.customer, required, balance)


def track_answer(scope: Scope, used: bytes, balance: bytes, deductions: bytes) -> bytes:
    """Return the answer to a track, all of its values as JSON, deductions without brackets."""
    if scope.entity:
        return _TRACK_ENTITY % (*scope, used, balance, deductions)
    return _TRACK % (scope.customer, used, balance, deductions)


def _forms_of_answers(entity_id: Any) -> tuple[bytes, bytes]:  # noqa: ANN401 - open or unset
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
    return form_of(check), form_of(track)


_CHECK, _TRACK = _forms_of_answers(UNSET)
_CHECK_ENTITY, _TRACK_ENTITY = _forms_of_answers(OPEN)
