"""The JSON of a plain answer, written into forms that were encoded before.

Most of what an answer shows never changes between two calls: names, ids, grants, intervals. A form
is what the encoder makes of an answer whose changing values are left open, so its fields and their
order are those of ``gateway.messages``; filling it in costs a few numbers. Forms of rows are made
when their text is seen first, and remembered by it.

Plain are the rows that customers, entities or slots hold, with or without a reset or a price, what
is unlimited as one number, and what rolled over. What is not (flags, rows that have expired, what
entities may not spend, what rolled over of theirs at the customer's level) is left to
``gateway.engine.verdicts``, whose bytes these are otherwise: a property test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.amounts import UNITS_MAX
from gateway.api.plain.forms import OPEN, Forms, Scope
from gateway.api.plain.sources import (
    COUNTED,
    NO_ROWS,
    NOTHING,
    Lone,
    Rows,
    Shown,
    Source,
    Together,
    control_of,
    is_odd,
    left_and_used,
    lone_of,
    number_of,
    on_hold,
    seen_by_entity,
    singles,
    together_of,
    with_slots,
)
from gateway.engine.views import NEVER_MS, Part, breakdown_of, reset_of
from gateway.messages.balances import Balance, Breakdown, DeductionView, LeftoverView
from gateway.rows import Kind, Row, decode_rows
from gateway.scripts import GAVE_ALL, lone_row

ROWS_MAX = 40_000
"""Rows remembered, 1 to 2 KiB each with their texts, of all features together; beyond it the memory
starts anew.
"""


class Answer(NamedTuple):
    """JSON, and the row that is all it shows, if there is such a row."""

    body: bytes
    lone: Lone | None = None


NO_BALANCE = Answer(b"null")


class Memory:
    """What the rows of all features may take of a process."""

    def __init__(self) -> None:
        self._shelves: list[dict[Any, Any]] = []
        self._rows = 0

    def shelf(self) -> dict[Any, Any]:
        """Return a dictionary that is emptied when there is no room."""
        shelf: dict[Any, Any] = {}
        self._shelves.append(shelf)
        return shelf

    def make_room(self, rows: int) -> None:
        """Have room for so many rows more."""
        if self._rows + rows > ROWS_MAX:
            for shelf in self._shelves:
                shelf.clear()
            self._rows = 0
        self._rows += rows


class Pieces:
    """Forms for one feature; ``memory`` is shared with all others."""

    def __init__(self, feature_id: str, precision: int, memory: Memory, forms: Forms) -> None:
        self.forms = forms
        self.feature_id = feature_id
        self.precision = precision
        self._scale = 10**precision
        self._memory = memory
        self._known: dict[bytes, Rows | None] = memory.shelf()
        self._copied: dict[tuple[bytes, bytes], tuple[Source, ...]] = memory.shelf()
        self._expiring: dict[bytes, bool] = memory.shelf()
        balance = self._shown(
            granted=OPEN,
            unlimited=OPEN,
            overage_allowed=OPEN,
            max_purchase=OPEN,
            breakdown=[OPEN],
        )
        self._balances = {
            (is_held, rolls): forms.form_of(
                msgspec.structs.replace(
                    balance,
                    held=OPEN if is_held else UNSET,
                    rollovers=[OPEN] if rolls else UNSET,
                )
            )
            for is_held in (False, True)
            for rolls in (False, True)
        }
        """By whether units are on hold, and whether something rolls over."""

    def _shown(self, **fields: Any) -> Balance:  # noqa: ANN401 - open or not
        return Balance(
            feature_id=self.feature_id,
            remaining=OPEN,
            usage=OPEN,
            next_reset_at=OPEN,
            **fields,
        )

    def number(self, units: int) -> bytes:
        """Return units as the number of an answer."""
        return number_of(units, self._scale)

    def checked(self, scope: Scope, reply: Sequence[bytes], now_ms: int) -> Answer | None:
        """Return the answer to a check that was carried out; None when it is not plain.

        ``reply`` has the texts of a ``gateway.scripts.CheckReply``, here and below.
        """
        balance = self.balance_of(reply[4], now_ms, entity_level=bool(scope.entity))
        if balance is None or balance is NO_BALANCE:
            return None
        return Answer(self.check_answer(scope, reply, balance.body), balance.lone)

    def check_answer(self, scope: Scope, reply: Sequence[bytes], balance: bytes) -> bytes:
        """Return the answer to a check that shows a balance."""
        _, allowed, _, required, _, _ = reply
        verdict = b"true" if allowed == b"1" else b"false"
        return self.forms.check_answer(scope, verdict, self.number(int(required)), balance)

    def is_timeless(self, described: bytes) -> bool:
        """Whether what is described looks the same at any time: no row of it expires."""
        for one in described.split(b"\x02"):
            texts = one.split(b"\x04")
            for text in (texts[1], texts[5]):
                if text and self._expires(text):
                    return False
        return True

    def _expires(self, text: bytes) -> bool:
        try:
            return self._expiring[text]
        except KeyError:
            rows = decode_rows(text.decode())
        self._memory.make_room(len(rows))
        self._expiring[text] = any(row.expires_ms for row in rows)
        return self._expiring[text]

    def tracked(
        self, scope: Scope, units: int, reply: Sequence[bytes], now_ms: int
    ) -> Answer | None:
        """Return the answer to a track of so many units; None when it is not plain."""
        balance = self.balance_of(reply[2], now_ms, entity_level=bool(scope.entity))
        if balance is None or balance is NO_BALANCE:
            return None
        body = self.track_answer(scope, units, reply, balance.body)
        return None if body is None else Answer(body, balance.lone)

    def track_answer(
        self, scope: Scope, units: int, reply: Sequence[bytes], balance: bytes
    ) -> bytes | None:
        """Return the answer to a track that shows a balance; None when a row that gave is not
        plain.
        """
        deductions = []
        for line, delta, due in _moves_of(reply):
            deduction = self.deduction(line, int(delta), int(due))
            if deduction is None:
                return None
            deductions.append(deduction)
        return self.forms.track_answer(scope, self.number(units), balance, b",".join(deductions))

    def deduction(self, line: bytes, delta: int, due_ms: int) -> bytes | None:
        """Return what a row gave; None where it is not plain."""
        rows = self._rows(line)
        if rows is None:
            return None
        source, value = rows.sources[0], self.number(delta)
        return source.deduction % ((_time(due_ms), value) if source.resets else value)

    def balance_of(self, described: bytes, now_ms: int, *, entity_level: bool) -> Answer | None:
        """Return the balance a description shows, ``NO_BALANCE`` for none; None where it is not
        plain.
        """
        texts = described.split(b"\x04")
        _, text, live, held, counts, own_text, own_live, slots, rules, _, own_rules, *_ = texts
        own = self._rows(own_text) if own_text else NO_ROWS
        rows = self._rows(text) if text else NO_ROWS
        if own is None or rows is None or is_odd(texts, entity_level=entity_level):
            return None
        is_ruled = rules or own_rules
        held_units = on_hold(texts, entity_level=entity_level)
        control = control_of(own_rules, rules) if is_ruled else None
        is_more = own_rules or control or held_units
        lone = None if is_more else lone_of(texts, own, rows, entity_level=entity_level)
        if lone is not None:
            lone = lone._replace(counted=COUNTED) if rules else lone
            told = left_and_used(lone.rows.sources[0].grant, lone.used, self._scale)
            return Answer(lone.rows.written(told, lone.due), lone)
        together: Together | None = NOTHING
        if entity_level:
            shown = seen_by_entity(own, own_live, rows, live, slots)
        else:
            sources = self._multiplied(text, counts) if rows.has_slots else rows.sources
            shown = with_slots(sources, live) if rows.has_slots else singles(sources, live)
            together = together_of(held)
        is_special = own.is_special or rows.is_special
        is_over = is_special and any(0 < one.expires_ms <= now_ms for one, _, _, _ in shown)
        if together is None or is_over:
            return None
        if not (shown or together.rows):
            return NO_BALANCE
        return Answer(self._written(shown, together, control, held_units, is_special=is_special))

    def _written(
        self,
        shown: Sequence[Shown],
        together: Together,
        control: bytes | None,
        held: bytes,
        *,
        is_special: bool,
    ) -> bytes:
        number = self.number
        granted, remaining, usage, _ = together
        next_reset, rolls = 0, False
        items, leftovers = [], []
        for source, used, left, due in shown:
            granted += source.grant
            remaining += left
            usage += used
            if source.leftover:
                leftovers.append(source.leftover % number(left))
                continue
            if due and (not next_reset or due < next_reset):
                next_reset = due
            told = (number(left), number(used))
            items.append(source.item % ((*told, _time(due)) if source.resets else told))
        unlimited, overage, cap = b"false", b"false", b"null"
        if is_special:
            if any(one.unlimited for one, _, _, _ in shown):
                granted, remaining, unlimited = 0, 0, b"true"
                usage = sum(used for one, used, _, _ in shown if one.unlimited)
            overage = b"true" if any(one.overage for one, _, _, _ in shown) else b"false"
            caps = [one.cap for one, _, _, _ in shown if one.is_priced]
            known = [one for one in caps if one is not None]
            if known and len(known) == len(caps):
                cap = number(sum(known))
            rolls = any(one.rolls for one, _, _, _ in shown)
        totals = (number(granted), number(remaining), number(usage))
        said: tuple[bytes, ...] = (*totals, unlimited, control or overage, cap, _time(next_reset))
        if held:
            said = (*said, number(int(held)))
        said = (*said, b",".join(items))
        if rolls:
            said = (*said, b",".join(leftovers))
        return self._balances[bool(held), rolls] % said

    def _rows(self, text: bytes) -> Rows | None:
        try:
            return self._known[text]
        except KeyError:
            rows = self._read(text)
        self._memory.make_room(1 + text.count(b"\n"))
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
        self._memory.make_room(len(sources))
        self._copied[text, counts] = sources
        return sources

    def _read(self, text: bytes) -> Rows | None:
        rows = decode_rows(text.decode())
        if not all(map(_is_plain, rows)):
            return None
        sources = tuple(self._source(row, 1) for row in rows)
        has_slots = any(one.is_slot for one in sources)
        special = any(
            one.expires_ms or one.unlimited or one.overage or one.is_priced or one.rolls
            for one in sources
        )
        source = sources[0]
        if len(sources) > 1 or source.expires_ms or source.rolls:
            return Rows(sources, has_slots, special)
        is_capped = source.is_priced and source.cap is not None
        alone = self._shown(
            granted=msgspec.Raw(self.number(0 if source.unlimited else source.grant)),
            unlimited=source.unlimited,
            overage_allowed=source.overage,
            max_purchase=msgspec.Raw(self.number(source.cap or 0)) if is_capped else None,
            breakdown=[self._item(rows[0], 1)],
        )
        return Rows(
            sources, has_slots, special, self.forms.form_of(alone), source.resets, self._scale
        )

    def _source(self, row: Row, copies: int) -> Source:
        document = row.document
        cap = document.max_purchase
        item = self._item(row, copies)
        deduction = DeductionView(
            balance_id=row.id,
            feature_id=self.feature_id,
            plan_id=document.plan_id,
            reset=item.reset,
            value=OPEN,
        )
        leftover = LeftoverView(
            granted=msgspec.Raw(self.number(row.grant * copies)),
            balance=OPEN,
            expires_at=row.expires_ms or NEVER_MS,
        )
        return Source(
            is_slot=row.kind is Kind.PER_ENTITY,
            grant=-UNITS_MAX - 1 if row.unlimited else row.grant * copies,
            rank=row.rank,
            expires_ms=row.expires_ms,
            unlimited=row.unlimited,
            overage=row.overage,
            is_priced=document.price is not None and not row.rollover,
            cap=None if cap is None else cap * copies,
            resets=item.reset is not None,
            item=self.forms.form_of(item),
            deduction=self.forms.form_of(deduction),
            leftover=self.forms.form_of(leftover) if row.rollover else b"",
            rolls=bool(row.rollover or row.roll),
        )

    def _item(self, row: Row, copies: int) -> Breakdown:
        item = breakdown_of(Part(row, copies, 0, 0, 0), self.precision)
        item.remaining = item.usage = OPEN
        item.reset = reset_of(row.document.interval, row.document.interval_count, OPEN)
        return item


def _is_plain(row: Row) -> bool:
    """Whether a row is one number, or slots that come to an end."""
    return row.kind is Kind.SHARED or (row.kind is Kind.PER_ENTITY and not row.unlimited)


def _moves_of(reply: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Return line, units moved and next reset of each row that gave."""
    _, applied, described, moved = reply
    if moved == GAVE_ALL:
        line, due = lone_row(described)
        return ((line, applied, due),)
    return [move.split(b"\x04")[1:] for move in moved.split(b"\x03")] if moved else ()


def _time(at_ms: int) -> bytes:
    return b"%d" % at_ms if at_ms else b"null"
