"""Answers that differ from one given before in a single number.

Who asks the same again is mostly told the same again, but for how much of one row was used by now.
So the last answer to a use is kept as a form, with the reply it was made of: where the next reply
differs from that in nothing but the units used, what is left and what was used are filled in, and
the rest need not be read. ``gateway.api.plain.pieces`` decides all others, and these bytes are
those it would have made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gateway.api.plain.forms import HOLE, Scope
from gateway.api.plain.pieces import Pieces
from gateway.api.plain.pooled import Pooled
from gateway.api.plain.sources import Lone, left_and_used

_SEPARATOR = b"\x04"
_WINDOW = re.compile(rb"(?:w\t[0-9a-f]*\t\d+\t\d+)?")
"""What one usage limit has counted, and nothing that is on hold."""

_CHECK_DESCRIPTION, _TRACK_DESCRIPTION = 4, 2
"""Which text of a reply describes the feature."""


class Repeat(NamedTuple):
    """A reply but for the units used and a text that is not shown, which ends with ``ends``: that
    one follows ``before``, the units stand between ``between`` and ``after``; where a limit counts,
    between ``between`` and ``until``, and then what it has counted before ``after``. And the
    answer, with the grant and the units of the amount 1.
    """

    before: bytes
    ends: bytes
    between: bytes
    until: bytes
    after: bytes
    grant: int
    scale: int
    answer: list[bytes]
    """What stands before, between and behind what is left, used, left and used; or those twice."""


def repeated(repeat: Repeat, reply: object) -> bytes | None:
    """Return the answer to a reply that differs in nothing else; None for any other, or a fault."""
    if not isinstance(reply, bytes):
        return None
    before, ends, between, until, after, grant, scale, answer = repeat
    loose = len(before)
    at = reply.find(_SEPARATOR, loose)
    used = reply[at + len(between) : -len(after)]
    if until:
        used, found, counted = used.partition(until)
        if not found or _WINDOW.fullmatch(counted) is None:
            return None
    if (
        used.isdigit()
        and reply.startswith(before)
        and reply.startswith(between, at)
        and reply.endswith(after)
        and reply.endswith(ends, loose, at)
    ):
        left, used = left_and_used(grant, used, scale)
        one, two, three, four, five, *more = answer
        if not more:
            return b"".join((one, left, two, used, three, left, four, used, five))
        six, seven, eight, nine = more
        begun = (one, left, two, used, three, left, four, used, five)
        return b"".join((*begun, left, six, used, seven, left, eight, used, nine))
    return None


def repeat_of_check(
    pieces: Pieces | Pooled, scope: Scope, reply: Sequence[bytes], lone: Lone
) -> Repeat:
    """Return what the answer to a check has in common with later ones, where a row is all it shows.

    ``reply`` has the texts of a reply that ``Pieces.checked`` answers, below those of a track.
    """
    answer = pieces.check_answer(scope, reply, _open(lone))
    return _repeat(reply, _CHECK_DESCRIPTION, lone, answer)


def repeat_of_track(
    pieces: Pieces | Pooled, scope: Scope, units: int, reply: Sequence[bytes], lone: Lone
) -> Repeat | None:
    """Return the same of a track of so many units; None when a row that gave is not plain."""
    answer = pieces.track_answer(scope, units, reply, _open(lone))
    return _repeat(reply, _TRACK_DESCRIPTION, lone, answer) if answer else None


def repeat_of_spent(
    pieces: Pieces, scope: Scope, reply: Sequence[bytes], verdict: Sequence[bytes], lone: Lone
) -> Repeat:
    """Return the same of a check that used units, whose answer says what ``verdict`` does."""
    answer = pieces.check_answer(scope, verdict, _open(lone))
    return _repeat(reply, _TRACK_DESCRIPTION, lone, answer)


def _open(lone: Lone) -> bytes:
    return lone.rows.written((HOLE, HOLE), lone.due)


def _repeat(reply: Sequence[bytes], described: int, lone: Lone, answer: bytes) -> Repeat:
    texts = reply[described].split(_SEPARATOR)
    whole = b"\x01".join(reply)
    begin = sum(map(len, reply[:described])) + described

    def start(at: int) -> int:
        return begin + sum(map(len, texts[:at])) + at

    low = high = start(lone.at) - 1
    if lone.loose is not None:
        low = start(lone.loose)
        high = low + len(texts[lone.loose])
    at = start(lone.at)
    before, between, until = whole[:low], whole[high:at], b""
    stop = at + len(lone.used)
    if lone.counted is not None:
        at = start(lone.counted)
        until, stop = whole[stop:at], at + len(texts[lone.counted])
    rows, form = lone.rows, answer.split(HOLE)
    grant, scale = rows.sources[0].grant, rows.scale
    return Repeat(before, lone.ends, between, until, whole[stop:], grant, scale, form)
