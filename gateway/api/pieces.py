"""The JSON of a plain answer, written into forms that were encoded before.

Most of what an answer shows never changes between two calls: names, ids, grants, intervals. A form
is what the encoder makes of an answer whose changing values are left open, so its fields and their
order are those of ``gateway.messages``; filling it in costs a few numbers. Forms of rows are made
when their text is seen first, and remembered by it.

Plain are the rows that customers, entities or slots hold, with or without a reset or a price. What
is not (flags, unlimited rows, rollovers, controls, holds, rows that have expired) is left to
``gateway.engine.verdicts``, whose bytes these are otherwise: a property test
compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.amounts import format_units
from gateway.engine.views import Part, breakdown_of, reset_of
from gateway.messages.balances import (
    Balance,
    Breakdown,
    CheckResponse,
    DeductionView,
    TrackResponse,
)
from gateway.rows import Kind, Row, decode_rows

TEXTS_MAX = 20_000
"""Texts of rows remembered for a feature, about 2 KiB each; beyond it the memory starts anew."""

_OPEN: Any = msgspec.Raw(b"\x00")
"""Stands for a value left open; in JSON the byte can be nothing else."""

_LIVE = 6
"""Numbers of a row in a live text."""

_encode = msgspec.json.Encoder().encode


def _form(answer: msgspec.Struct) -> bytes:
    """Return a format string with one ``%b`` for each value left open."""
    return _encode(answer).replace(b"%", b"%%").replace(b"\x00", b"%b")


def _forms_of_answers(entity_id: Any) -> tuple[bytes, bytes]:  # noqa: ANN401 - open or unset
    check = CheckResponse(
        allowed=_OPEN,
        customer_id=_OPEN,
        entity_id=entity_id,
        required_balance=_OPEN,
        balance=_OPEN,
        flag=None,
    )
    track = TrackResponse(
        customer_id=_OPEN,
        entity_id=entity_id,
        value=_OPEN,
        balance=_OPEN,
        deductions=[_OPEN],
    )
    return _form(check), _form(track)


_CHECK, _TRACK = _forms_of_answers(UNSET)
_CHECK_ENTITY, _TRACK_ENTITY = _forms_of_answers(_OPEN)


class Scope(NamedTuple):
    """Whom an answer is about, as JSON; the entity is empty at the customer's level."""

    customer: bytes
    entity: bytes = b""


class Source(NamedTuple):
    """A row: what decides how it is added up, and its forms.

    ``cap`` is its ``max_purchase`` in units, None without one. With ``resets``, the time of the
    next reset is open in both forms: in ``item``, an element of a breakdown, after what remains and
    what was used, in ``deduction`` before the units.
    """

    is_slot: bool
    grant: int
    rank: str
    expires_ms: int
    overage: bool
    is_priced: bool
    cap: int | None
    resets: bool
    item: bytes
    deduction: bytes


class Rows(NamedTuple):
    """The rows of one text; whether any of them is per entity, and whether any expires, permits
    overage or has a price. ``alone`` is the form of a balance of which a single row is everything,
    with its next reset open once more if it ``resets``; empty for any other rows.
    """

    sources: tuple[Source, ...] = ()
    has_slots: bool = False
    is_special: bool = False
    alone: bytes = b""
    resets: bool = False


_NO_ROWS = Rows()


Shown = tuple[Source, int, int, int]
"""A source with what was used of it and what is left, and when it resets next (0: never)."""


class Together(NamedTuple):
    """What entities hold themselves, as the customer's level adds it up, and in how many rows."""

    granted: int = 0
    remaining: int = 0
    usage: int = 0
    rows: int = 0


_NOTHING = Together()


class Pieces:
    """Forms for one feature."""

    def __init__(self, feature_id: str, precision: int) -> None:
        self.feature_id = feature_id
        self.precision = precision
        self._scale = 10**precision
        self._known: dict[bytes, Rows | None] = {}
        self._copied: dict[tuple[bytes, bytes], tuple[Source, ...]] = {}
        self._balance = _form(
            self._shown(granted=_OPEN, overage_allowed=_OPEN, max_purchase=_OPEN, breakdown=[_OPEN])
        )

    def _shown(self, **fields: Any) -> Balance:  # noqa: ANN401 - open or not
        return Balance(
            feature_id=self.feature_id,
            remaining=_OPEN,
            usage=_OPEN,
            unlimited=False,
            next_reset_at=_OPEN,
            **fields,
        )

    def number(self, units: int) -> bytes:
        """Return units as the number of an answer."""
        whole, fraction = divmod(units, self._scale)
        if fraction:
            return format_units(units, self.precision).encode()
        return b"%d" % whole

    def checked(self, scope: Scope, reply: Sequence[bytes], now_ms: int) -> bytes | None:
        """Return the answer to a check that was carried out; None when it is not plain.

        ``reply`` has the texts of a ``gateway.scripts.CheckReply``, here and below.
        """
        _, allowed, _, required, described, _ = reply
        balance = self.balance(described, now_ms, entity_level=bool(scope.entity))
        if balance is None:
            return None
        verdict = b"true" if allowed == b"1" else b"false"
        wanted = self.number(int(required))
        if scope.entity:
            return _CHECK_ENTITY % (verdict, *scope, wanted, balance)
        return _CHECK % (verdict, scope.customer, wanted, balance)

    def tracked(
        self, scope: Scope, units: int, reply: Sequence[bytes], now_ms: int
    ) -> bytes | None:
        """Return the answer to a track of so many units; None when it is not plain."""
        _, _, described, moved = reply
        balance = self.balance(described, now_ms, entity_level=bool(scope.entity))
        if balance is None:
            return None
        used = self.number(units)
        deductions = []
        for move in moved.split(b"\x03") if moved else ():
            _, line, delta, due = move.split(b"\x04")
            rows = self._rows(line)
            if rows is None:
                return None
            source = rows.sources[0]
            value = used if int(delta) == units else self.number(int(delta))
            more = (_time(int(due)), value) if source.resets else value
            deductions.append(source.deduction % more)
        customer, entity = scope
        if entity:
            return _TRACK_ENTITY % (customer, entity, used, balance, b",".join(deductions))
        return _TRACK % (customer, used, balance, b",".join(deductions))

    def balance(self, described: bytes, now_ms: int, *, entity_level: bool) -> bytes | None:
        """Return the balance a description shows; None where it is not plain, or none is there."""
        _, text, live, held, counts, own_text, own_live, slots, *rest = described.split(b"\x04")
        rules, extras, own_rules, own_extras, rolled = rest
        # The holds of all, and what rolled over of entities, the customer's level alone shows.
        if rules or (own_rules or own_extras if entity_level else extras or _some(rolled)):
            return None
        own = self._rows(own_text) if own_text else _NO_ROWS
        rows = self._rows(text) if text else _NO_ROWS
        if own is None or rows is None:
            return None
        one, numbers = (rows, live) if text else (own, own_live)
        if one.alone and not (text and own_text if entity_level else held or own_text):
            return self._alone(one, numbers)
        is_special = own.is_special or rows.is_special
        if entity_level:
            shown = _singles(own.sources, own_live) if own_text else []
            shared = _singles(rows.sources, live) if text else []
            if rows.has_slots:
                shown += _slots(shared, slots)
                shared = [one for one in shared if not one[0].is_slot]
            if len(shown) > 1:
                shown.sort(key=_rank)
            shown += shared
            together: Together | None = _NOTHING
        else:
            sources = self._multiplied(text, counts) if rows.has_slots else rows.sources
            shown = _all(sources, live) if rows.has_slots else _singles(sources, live)
            together = _together(held)
        if is_special and any(0 < one.expires_ms <= now_ms for one, _, _, _ in shown):
            return None
        if together is None or not (shown or together.rows):
            return None
        return self._written(shown, together, is_special=is_special)

    def _alone(self, rows: Rows, live: bytes) -> bytes:
        units, _, _, _, due, _ = live.split()
        used = int(units)
        told = (self.number(max(0, rows.sources[0].grant - used)), self.number(used))
        at = b"null" if due == b"0" else due
        return rows.alone % ((*told, at, *told, at) if rows.resets else (*told, at, *told))

    def _written(self, shown: Iterable[Shown], together: Together, *, is_special: bool) -> bytes:
        number = self.number
        granted, remaining, usage, _ = together
        next_reset = 0
        items = []
        for source, used, left, due in shown:
            granted += source.grant
            remaining += left
            usage += used
            if due and (not next_reset or due < next_reset):
                next_reset = due
            told = (number(left), number(used))
            items.append(source.item % ((*told, _time(due)) if source.resets else told))
        overage, cap = b"false", b"null"
        if is_special:
            overage = b"true" if any(one.overage for one, _, _, _ in shown) else b"false"
            caps = [one.cap for one, _, _, _ in shown if one.is_priced]
            known = [one for one in caps if one is not None]
            if known and len(known) == len(caps):
                cap = number(sum(known))
        return self._balance % (
            number(granted),
            number(remaining),
            number(usage),
            overage,
            cap,
            _time(next_reset),
            b",".join(items),
        )

    def _rows(self, text: bytes) -> Rows | None:
        try:
            return self._known[text]
        except KeyError:
            rows = self._read(text)
        if len(self._known) >= TEXTS_MAX:
            self._known = {}
        self._known[text] = rows
        return rows

    def _multiplied(self, text: bytes, counts: bytes) -> tuple[Source, ...]:
        """Return the rows as the customer sees them: a slot for each of its entities."""
        try:
            return self._copied[text, counts]
        except KeyError:
            rows = decode_rows(text.decode())
        sources = tuple(
            self._source(row, int(count) if row.kind is Kind.PER_ENTITY else 1)
            for row, count in zip(rows, counts.split(), strict=True)
        )
        if len(self._copied) >= TEXTS_MAX:
            self._copied = {}
        self._copied[text, counts] = sources
        return sources

    def _read(self, text: bytes) -> Rows | None:
        rows = decode_rows(text.decode())
        if any(row.kind is Kind.FLAG or row.unlimited or row.roll for row in rows):
            return None
        sources = tuple(self._source(row, 1) for row in rows)
        special = any(one.expires_ms or one.overage or one.is_priced for one in sources)
        has_slots = any(one.is_slot for one in sources)
        if len(sources) > 1 or special or has_slots:
            return Rows(sources, has_slots, special)
        alone = self._shown(
            granted=msgspec.Raw(self.number(sources[0].grant)),
            overage_allowed=False,
            max_purchase=None,
            breakdown=[self._item(rows[0], 1)],
        )
        return Rows(sources, alone=_form(alone), resets=sources[0].resets)

    def _source(self, row: Row, copies: int) -> Source:
        document = row.document
        cap = document.max_purchase
        item = self._item(row, copies)
        deduction = DeductionView(
            balance_id=row.id,
            feature_id=self.feature_id,
            plan_id=document.plan_id,
            reset=item.reset,
            value=_OPEN,
        )
        return Source(
            is_slot=row.kind is Kind.PER_ENTITY,
            grant=row.grant * copies,
            rank=row.rank,
            expires_ms=row.expires_ms,
            overage=row.overage,
            is_priced=document.price is not None,
            cap=None if cap is None else cap * copies,
            resets=item.reset is not None,
            item=_form(item),
            deduction=_form(deduction),
        )

    def _item(self, row: Row, copies: int) -> Breakdown:
        item = breakdown_of(Part(row, copies, 0, 0, 0), self.precision)
        item.remaining = item.usage = _OPEN
        item.reset = reset_of(row.document.interval, row.document.interval_count, _OPEN)
        return item


def _singles(sources: tuple[Source, ...], live: bytes) -> list[Shown]:
    """Return rows that are one number each."""
    numbers = live.split()
    return [
        (source, used := int(numbers[at]), max(0, source.grant - used), int(numbers[at + 4]))
        for source, at in zip(sources, range(0, len(numbers), _LIVE), strict=True)
    ]


def _all(sources: tuple[Source, ...], live: bytes) -> list[Shown]:
    """Return rows of which some are the sum of slots, each of them floored at zero."""
    numbers = live.split()
    return [
        (
            source,
            used := int(numbers[at]),
            source.grant - used + int(numbers[at + 1])
            if source.is_slot
            else max(0, source.grant - used),
            int(numbers[at + 4]),
        )
        for source, at in zip(sources, range(0, len(numbers), _LIVE), strict=True)
    ]


def _slots(rows: list[Shown], slots: bytes) -> list[Shown]:
    """Return the slots of one entity."""
    return [
        (source, used := int(text), max(0, source.grant - used), due)
        for (source, _, _, due), text in zip(rows, slots.split(), strict=True)
        if source.is_slot and text != b"-"
    ]


def _together(held: bytes) -> Together | None:
    """Return what entities hold; None where some of it is unlimited."""
    if not held:
        return _NOTHING
    _, granted, used, over, _, rows, unlimited, _ = map(int, held.split())
    return None if unlimited else Together(granted, granted - used + over, used, rows)


def _some(rolled: bytes) -> bool:
    """Whether entities have anything that rolled over."""
    return bool(rolled) and rolled.split()[5] != b"0"


def _rank(shown: Shown) -> str:
    return shown[0].rank


def _time(at_ms: int) -> bytes:
    return b"%d" % at_ms if at_ms else b"null"
