"""What the operations on single balances change: a grant that comes, balances that get another
grant, reset or expiry, balances that end (hot-path section 1.5). Pure.

Only rows the scope of a call holds itself change their text; what is left or used of all that the
scope may spend is moved by ``adjust_balance``, in the step that applies the edits decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gateway.amounts import UNITS_MAX, fit_precision, fits, to_units
from gateway.cycles import next_boundary, span
from gateway.errors import (
    BalanceExistsError,
    BalanceNotFoundError,
    BalancePooledError,
    BalancePricedError,
    InvalidInputsError,
    InvalidRequestError,
)
from gateway.lifecycle.catalog import decimal_places, plain
from gateway.lifecycle.order import rank, rerank
from gateway.lifecycle.plan_items import number, rollover_rule
from gateway.lifecycle.precision import way_to
from gateway.lifecycle.rollover import roll_of
from gateway.lifecycle.room import ROWS_MAX
from gateway.messages.common import given
from gateway.messages.features import decode_feature_document
from gateway.messages.grants import BalanceCreateRequest, BalanceUpdateRequest
from gateway.ports import FeatureRecord
from gateway.rows import Flag, Kind, Row, RowDocument

ONE_OFF = "one_off"
"""How requests name the interval of a balance that never resets."""


class Holding(NamedTuple):
    """What one scope sees of a feature; rows that have expired are left out."""

    own: Sequence[Row]
    """Held by the scope itself, in spending order."""
    inherited: Sequence[Row] = ()
    """What an entity sees of its customer's."""
    held: bool = False
    """At the customer level: whether entities hold rows of their own."""
    entity_feature: str = ""
    """What the entity is one of; empty at the customer level."""
    rollovers: Sequence[Row] = ()
    """What its own rows had left at a reset."""
    copies: Mapping[str, int] = MappingProxyType({})
    """How often rows give what they grant that are one for each entity; all others do once."""

    @property
    def visible(self) -> list[Row]:
        """All rows the scope sees."""
        return [*self.own, *self.inherited]

    @property
    def spendable(self) -> list[Row]:
        """All rows the scope may spend from: of those for each entity none while there is none."""
        return [row for row in self.visible if self.copies.get(row.id, 1)]


class Filter(NamedTuple):
    """Which rows of a feature are meant; without a field all of them."""

    balance_id: str | None = None
    interval: str | None = None

    def select(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that fit."""
        return [
            row
            for row in rows
            if self.balance_id in (None, row.id)
            and self.interval in (None, row.document.interval or ONE_OFF)
        ]


class Edit(NamedTuple):
    """Another text for one row. ``due_ms`` is its next reset; None leaves a row's as it is."""

    row_id: str
    row: Row | None
    """None ends the row."""
    due_ms: int | None = None


def granted(request: BalanceCreateRequest, feature: FeatureRecord) -> Decimal:
    """Return the units a new balance gives, checked against the type of its feature.

    Raises ``InvalidInputsError`` naming the field that does not belong to the type.
    """
    if feature.type == "boolean":
        sent = {
            "included_grant": given(request.included_grant),
            "unlimited": bool(request.unlimited),
            "reset": request.reset is not None,
            "rollover": request.rollover is not None,
            "next_reset_at": request.next_reset_at is not None,
        }
        for field, is_sent in sent.items():
            if is_sent:
                raise InvalidInputsError(f"{field}: a boolean feature has none")
        return Decimal(0)
    if not feature.consumable:
        for field in ("rollover", "reset"):
            if getattr(request, field) is not None:
                raise InvalidInputsError(f"{field}: feature {feature.id} counts continuous use")
    if request.unlimited:
        return Decimal(0)
    amount = number(request.included_grant, "included_grant", feature.precision)
    if amount is None:
        raise InvalidInputsError("included_grant: is required, unless the balance is unlimited")
    return amount


def lowered_precision(amount: Decimal, feature: FeatureRecord) -> int | None:
    """Return the precision an unused feature needs to hold a grant; None where it may stay.

    Raises ``InvalidInputsError`` where it would have to change and must not.
    """
    if fits(amount, feature.precision):
        return None
    fitting = fit_precision(amount, feature.precision)
    if feature.in_use and fitting is not None:
        raise InvalidInputsError(
            f"included_grant: outside the range of precision {feature.precision}, with which "
            f"feature {feature.id} is in use, and {plain(amount)} needs precision {fitting}; "
            f"{way_to(feature, fitting)}"
        )
    chosen = decode_feature_document(feature.document).precision_chosen
    if fitting is None or chosen or decimal_places(amount) > fitting:
        to_units(amount, feature.precision, field="included_grant")  # says what the range is
    return fitting


def new_grant(
    request: BalanceCreateRequest,
    feature: FeatureRecord,
    holding: Holding,
    *,
    amount: Decimal,
    now_ms: int,
    row_id: str,
    keeps_overage: bool = False,
) -> Edit:
    """Return the row a new balance is; ``keeps_overage`` as that of ``RowMaker``.

    Raises ``BalanceExistsError`` for a flag that is on already, ``InvalidRequestError`` for an
    entity that would be granted its own feature or a scope that holds too many rows.
    """
    if holding.entity_feature == feature.id:
        raise InvalidRequestError(
            f"feature_id: an entity of {feature.id} cannot be granted {feature.id} itself"
        )
    if len(holding.own) >= ROWS_MAX:
        raise InvalidRequestError(
            f"feature_id: at most {ROWS_MAX} balances of one feature can be held side by side"
        )
    expires_ms = int(request.expires_at or 0)
    if feature.type == "boolean":
        if any(row.kind is Kind.FLAG for row in holding.own):
            raise BalanceExistsError(f"feature {feature.id} is granted already")
        flag = Row(id=row_id, kind=Kind.FLAG, expires_ms=expires_ms, rank=f"3{now_ms:014d}")
        return Edit(row_id, flag, 0)
    units = to_units(amount, feature.precision, field="included_grant")
    interval = request.reset.interval if request.reset else ONE_OFF
    count = int(request.reset.interval_count or 1) if request.reset else 1
    unit, every = span(interval, count)
    anchor_ms = int(request.next_reset_at or now_ms)
    due_ms = anchor_ms if request.next_reset_at else next_boundary(now_ms, unit, every, now_ms)
    is_counted = feature.consumable and not request.unlimited
    if request.rollover is not None and 0 < expires_ms <= due_ms:
        raise InvalidInputsError("expires_at: must be after the first reset, which rolls over")
    if expires_ms and not request.next_reset_at:  # what expires resets only where it is said when
        unit, every, due_ms = "", 0, 0
    rollover = rollover_rule(request.rollover, "rollover") if request.rollover else None
    row = Row(
        id=row_id,
        kind=Kind.SHARED,
        grant=units,
        flags=(Flag.UNLIMITED if request.unlimited else "")
        + ("" if feature.consumable else Flag.ALLOCATED + Flag.FREE_OVERAGE)
        + (Flag.KEEPS_OVERAGE if keeps_overage and unit else ""),
        unit=unit,
        every=every,
        anchor_ms=anchor_ms,
        expires_ms=expires_ms,
        rank=rank(
            created_ms=now_ms,
            position=len(holding.own),
            unlimited=bool(request.unlimited),
            unit=unit,
            every=every,
            expires_ms=expires_ms,
        ),
        roll=roll_of(rollover, units, feature.precision, field="rollover.max"),
        document=RowDocument(
            included=units, interval=interval if is_counted else None, interval_count=count
        ),
    )
    return Edit(row_id, row, due_ms)


def changed_rows(
    request: BalanceUpdateRequest,
    feature: FeatureRecord,
    matched: Sequence[Row],
    copies: Mapping[str, int] = MappingProxyType({}),
) -> list[Edit]:
    """Return what an update changes of the rows the scope holds; empty when it only moves usage.
    ``copies`` as those of ``Holding``.

    Raises ``InvalidInputsError`` for a field that does not belong to a row, and
    ``BalanceNotFoundError`` when there is no row to change.
    """
    changed = {row.id: row for row in matched}
    dues: dict[str, int] = {}
    if given(request.included_grant):
        _check_any(matched, "included_grant")
        changed |= _with_grant(matched, request.included_grant, feature, copies)
    if request.next_reset_at is not None:
        next_ms = int(request.next_reset_at)
        _check_any(matched, "next_reset_at")
        for row in matched:
            if not row.unit:
                raise InvalidInputsError(
                    f"next_reset_at: balance {row.id} never resets; "
                    "name the one that does with balance_id or interval"
                )
            changed[row.id] = msgspec.structs.replace(changed[row.id], anchor_ms=next_ms)
            dues[row.id] = next_ms
    if request.expires_at is not None:
        expires_ms = int(request.expires_at)
        _check_any(matched, "expires_at")
        for row in matched:
            if row.pooled:
                raise InvalidInputsError(
                    f"expires_at: balance {row.id} ends with the plans that give it"
                )
            if row.document.price is not None and row.unit:
                raise InvalidInputsError(
                    f"expires_at: balance {row.id} is paid for each {row.document.interval}"
                )
            changed[row.id] = msgspec.structs.replace(
                changed[row.id],
                expires_ms=expires_ms,
                rank=rerank(row.rank, unit=row.unit, every=row.every, expires_ms=expires_ms),
            )
    return [
        Edit(row.id, changed[row.id], dues.get(row.id))
        for row in matched
        if changed[row.id] != row or row.id in dues
    ]


def edited_rows(rows: Sequence[Row], edits: Sequence[Edit]) -> list[Row]:
    """Return the rows of a scope with edits made, new ones last."""
    changed = {edit.row_id: edit.row for edit in edits}
    kept = [changed.pop(row.id, row) for row in rows]
    return [row for row in (*kept, *changed.values()) if row is not None]


def ended_rows(holding: Holding, matched: Sequence[Row], *, recalculate: bool) -> list[Edit]:
    """Return how rows end, each with its rollovers: at once or, when what was used of them is to be
    taken from others and there are none, as a row without a grant that carries it.

    Raises ``BalancePricedError``, ``BalancePooledError``, and ``InvalidRequestError`` for a balance
    of each entity whose use cannot be carried.
    """
    for row in matched:
        if row.pooled:
            raise BalancePooledError(f"balance {row.id} is what plans of entities give together")
        if row.document.price is not None:
            raise BalancePricedError(
                f"balance {row.id} belongs to a price of plan {row.document.plan_id}"
            )
        if recalculate and row.kind is Kind.PER_ENTITY:
            raise InvalidRequestError(
                f"recalculate_balances: what entities used of balance {row.id} cannot be carried"
            )
    ends = {row.id for row in matched}
    survivors = holding.held or any(
        row.id not in ends and row.kind is not Kind.FLAG for row in holding.spendable
    )
    edits = [Edit(row.id, None) for row in matched]
    if recalculate and not survivors:
        edits = [
            Edit(row.id, None if row.kind is Kind.FLAG else _carrier(row), 0) for row in matched
        ]
    return edits + [Edit(row.id, None) for row in holding.rollovers if row.roll in ends]


def _check_any(matched: Sequence[Row], field: str) -> None:
    if not matched:
        raise BalanceNotFoundError(f"{field}: no balance held here fits the request")


def _with_grant(
    matched: Sequence[Row], sent: msgspec.Raw, feature: FeatureRecord, copies: Mapping[str, int]
) -> dict[str, Row]:
    """Let rows together include what was sent, beside what was bought: the first takes what they
    lack. What they have too much leaves them in order, since no row grants less than nothing.
    """
    _refuse_fixed(matched[0])
    amount = number(sent, "included_grant", feature.precision) or Decimal(0)
    included = to_units(amount, feature.precision, field="included_grant")
    lacking = included - sum(_included(row) * copies.get(row.id, 1) for row in matched)
    changed: dict[str, Row] = {}
    for row in matched:
        if not _is_fixed(row):
            share = max(lacking, -_included(row))
            lacking -= share
            changed[row.id] = _granting(row, _included(row) + share)
    if lacking:
        raise InvalidInputsError(
            "included_grant: balances that cannot be changed grant more; "
            "name the one that is meant with balance_id or interval"
        )
    return changed


def _included(row: Row) -> int:
    return row.grant - row.document.prepaid


def _granting(row: Row, included: int) -> Row:
    if included + row.document.prepaid > UNITS_MAX:
        raise InvalidInputsError("included_grant: is too large beside what was bought")
    # What a reset goes back to.
    planned = row.planned if row.unit and row.planned != included else None
    document = msgspec.structs.replace(row.document, included=included, planned=planned)
    return msgspec.structs.replace(row, grant=included + document.prepaid, document=document)


def _is_fixed(row: Row) -> bool:
    return row.unlimited or row.kind is not Kind.SHARED or row.pooled


def _refuse_fixed(row: Row) -> None:
    if row.unlimited:
        raise InvalidInputsError(f"included_grant: balance {row.id} is unlimited")
    if row.kind is Kind.PER_ENTITY:
        raise InvalidInputsError(
            f"included_grant: balance {row.id} is the same for each entity; its plan says how much"
        )
    if row.pooled:
        raise InvalidInputsError(
            f"included_grant: balance {row.id} is what plans of entities give together"
        )


def _carrier(row: Row) -> Row:
    order = rerank(row.rank, unit="", every=0, expires_ms=0)
    return msgspec.structs.replace(
        row,
        grant=0,
        flags=row.flags.replace(Flag.UNLIMITED, ""),
        unit="",
        every=0,
        expires_ms=0,
        roll="",
        rank="1" + order[1:],
        document=msgspec.structs.replace(
            row.document,
            included=0,
            prepaid=0,
            planned=None,
            interval=None if row.allocated else ONE_OFF,
            interval_count=1,
        ),
    )
