"""Answers that differ from one given before in a single number.

Who asks the same again is mostly told the same again, but for how much of one row was used by now.
So the last answer to a use is kept as a form, with the reply it was made of: where the next reply
differs from that in nothing but the units used, what is left and what was used are filled in, and
the rest need not be read. ``gateway.api.pieces`` decides all others, and these bytes are those it
would have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.api.forms import Scope, opened
from gateway.api.pieces import Lone, Pieces

_CHECK_DESCRIPTION, _TRACK_DESCRIPTION = 4, 2
"""Which text of a reply describes the feature."""


class Repeat(NamedTuple):
    """A reply but for the units used, which stand between ``before`` and ``after``, and the answer
    to it; ``end`` is where they end, counted from the end of the reply.
    """

    before: bytes
    after: bytes
    begin: int
    end: int
    grant: int
    pieces: Pieces
    form: bytes


def repeated(repeat: Repeat, reply: bytes) -> bytes | None:
    """Return the answer to a reply that differs in the units used alone; None for any other."""
    before, after, begin, end, grant, pieces, form = repeat
    used = reply[begin:end]
    if used.isdigit() and reply.startswith(before) and reply.endswith(after):
        return form % (pieces.left_and_used(grant, int(used)) * 2)
    return None


def repeat_of_check(pieces: Pieces, scope: Scope, reply: Sequence[bytes]) -> Repeat | None:
    """Return what the answer to a check has in common with later ones, if it can have anything.

    ``reply`` has the texts of a reply that ``Pieces.checked`` answers, below those of a track.
    """
    lone = pieces.open_balance(reply[_CHECK_DESCRIPTION], entity_level=bool(scope.entity))
    if lone is None:
        return None
    answer = pieces.check_answer(scope, reply, lone.balance)
    return _repeat(pieces, reply, _CHECK_DESCRIPTION, lone, answer)


def repeat_of_track(
    pieces: Pieces, scope: Scope, units: int, reply: Sequence[bytes]
) -> Repeat | None:
    """Return the same of a track of so many units."""
    lone = pieces.open_balance(reply[_TRACK_DESCRIPTION], entity_level=bool(scope.entity))
    answer = lone and pieces.track_answer(scope, units, reply, lone.balance)
    return _repeat(pieces, reply, _TRACK_DESCRIPTION, lone, answer) if lone and answer else None


def _repeat(pieces: Pieces, reply: Sequence[bytes], at: int, lone: Lone, answer: bytes) -> Repeat:
    whole = b"\x01".join(reply)
    begin = sum(map(len, reply[:at])) + at
    before, after = whole[: begin + lone.begin], whole[begin + lone.end :]
    return Repeat(before, after, len(before), -len(after), lone.grant, pieces, opened(answer))
