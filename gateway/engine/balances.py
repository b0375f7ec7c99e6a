"""``balances.check`` and ``balances.track``: the hot operations. One script call each for a
customer that is in Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, Raw

from gateway.amounts import format_units, parse_units
from gateway.engine.creation import Creation
from gateway.engine.views import balance_of, flag_of, parts_of, reset_of
from gateway.errors import (
    InsufficientBalanceError,
    InvalidInputsError,
    InvalidRequestError,
)
from gateway.messages.balances import CheckResponse, DeductionView, TrackResponse
from gateway.messages.common import given, integer
from gateway.rows import decode_row
from gateway.scripts import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.engine.subject import Subject
    from gateway.messages.balances import Balance, CheckRequest, TrackRequest
    from gateway.ports import FeatureRecord
    from gateway.scripts import CheckReply, Description, Move, TrackReply

NO_PROPERTIES = "{}"


class Use(NamedTuple):
    """What a track asks for, feature by feature, in units."""

    amounts: list[tuple[FeatureRecord, int]]
    mode: str
    event_name: str
    timestamp_ms: int
    properties: str


class Balances(Creation):
    """Check and track."""

    async def check(self, env: str, request: CheckRequest, request_id: str) -> CheckResponse:
        """Say whether the amount may be spent; with ``send_event`` spend it, all or nothing.

        Raises the not-found errors of hot-path section 7, and ``InvalidRequestError`` for a boolean
        feature that is to be spent.
        """
        feature = await self.catalog.feature(env, request.feature_id)
        if request.send_event:
            feature = await self.catalog.use_feature(feature)
        amount = _units(request.required_balance, feature, "required_balance")
        subject = self.subjects.subject(
            env,
            request.customer_id,
            entity_id=request.entity_id,
            customer_data=request.customer_data,
            entity_data=request.entity_data,
            request_id=request_id,
        )
        now_ms = self.clock.now_ms()
        if request.send_event:
            reply = await self._spend_event(subject, feature, amount, request, now_ms)
            seen, allowed = reply.descriptions[0], reply.status is Status.DONE
        else:
            seen, allowed = await self._look(subject, feature, amount)
            if seen.granted and not feature.in_use:  # this process' catalog is from before the plan
                feature = await self.catalog.use_feature(feature)
                amount = _units(request.required_balance, feature, "required_balance")
                seen, allowed = await self._look(subject, feature, amount)
        return _verdict(subject, feature, amount, seen, now_ms, allowed=allowed)

    async def _look(
        self, subject: Subject, feature: FeatureRecord, amount: int
    ) -> tuple[Description, bool]:
        async def call() -> CheckReply:
            return await self.scripts.check(
                subject.keys, self.clock.now_ms(), feature.id, subject.entity_id, amount
            )

        reply = await self.run(subject, call)
        return reply.description, reply.allowed

    async def _spend_event(
        self,
        subject: Subject,
        feature: FeatureRecord,
        amount: int,
        request: CheckRequest,
        now_ms: int,
    ) -> TrackReply:
        if feature.type == "boolean":
            msg = f"send_event: feature {feature.id} is boolean, there is nothing to spend"
            raise InvalidRequestError(msg)
        properties = _properties(request.properties)
        return await self._spend(
            subject, Use([(feature, amount)], "reject", "", now_ms, properties)
        )

    async def track(self, env: str, request: TrackRequest, request_id: str) -> TrackResponse:
        """Record use. Raises ``InsufficientBalanceError`` in mode reject, and not-found errors."""
        now_ms = self.clock.now_ms()
        named: Sequence[FeatureRecord]
        if request.feature_id:
            named = (await self.catalog.feature(env, request.feature_id),)
        else:
            named = await self.catalog.features_by_event(env, request.event_name or "")
        features = [await self.catalog.use_feature(feature) for feature in named]
        timestamp = integer(request.timestamp, field="timestamp")
        counted = any(feature.type != "boolean" for feature in features)
        use = Use(
            [(feature, _units(request.value, feature, "value")) for feature in features],
            (counted and request.overage_behavior) or "cap",  # a flag has nothing to fall short of
            request.event_name or "",
            now_ms if timestamp is None else timestamp,
            _properties(request.properties),
        )
        subject = self.subjects.subject(
            env,
            request.customer_id,
            entity_id=request.entity_id,
            customer_data=request.customer_data,
            entity_data=request.entity_data,
            request_id=request_id,
        )
        reply = await self._spend(subject, use)
        feature, amount = use.amounts[0]
        if reply.status is Status.DENIED:
            wanted = format_units(amount, feature.precision)
            msg = f"Insufficient balance to deduct {wanted} from feature {feature.id}"
            raise InsufficientBalanceError(msg)
        return _tracked(subject, use, reply, now_ms)

    async def _spend(self, subject: Subject, use: Use) -> TrackReply:
        async def call() -> TrackReply:
            return await self.scripts.track(
                self.subjects.context(subject),
                subject.entity_id,
                use.mode,
                use.event_name,
                use.timestamp_ms,
                use.properties,
                [(feature.id, amount) for feature, amount in use.amounts],
            )

        reply = await self.run(subject, call)
        if reply.status is Status.OUT_OF_RANGE:
            feature = use.amounts[0][0]
            msg = (
                f"value: the balance of {feature.id} would leave "
                f"the range of precision {feature.precision}"
            )
            raise InvalidInputsError(msg)
        return reply


def _units(raw: Raw, feature: FeatureRecord, field: str) -> int:
    return (
        parse_units(bytes(raw), feature.precision, field=field)
        if given(raw)
        else 10**feature.precision
    )


def _properties(raw: Raw) -> str:
    return bytes(raw).decode() if given(raw) else NO_PROPERTIES


def _number(units: int, feature: FeatureRecord) -> Raw:
    return Raw(format_units(units, feature.precision).encode())


def _verdict(
    subject: Subject,
    feature: FeatureRecord,
    amount: int,
    seen: Description,
    now_ms: int,
    *,
    allowed: bool,
) -> CheckResponse:
    entity_level = bool(subject.entity_id)
    flag = None
    balance: Balance | None = None
    if feature.type == "boolean":
        flag = flag_of(feature.id, parts_of(seen, entity_level=entity_level, now_ms=now_ms))
        allowed = flag is not None
    else:
        balance = balance_of(seen, feature.precision, entity_level=entity_level, now_ms=now_ms)
    return CheckResponse(
        allowed=allowed,
        customer_id=subject.customer_id,
        entity_id=subject.entity_id or UNSET,
        required_balance=_number(amount, feature),
        balance=balance,
        flag=flag,
    )


def _tracked(subject: Subject, use: Use, reply: TrackReply, now_ms: int) -> TrackResponse:
    entity_level = bool(subject.entity_id)
    balances: dict[str, Balance | None] = {}
    deductions: list[DeductionView] = []
    for (feature, _), seen, moved in zip(use.amounts, reply.descriptions, reply.moves, strict=True):
        if feature.type == "boolean":
            balances[feature.id] = None
            continue
        balances[feature.id] = balance_of(
            seen, feature.precision, entity_level=entity_level, now_ms=now_ms
        )
        deductions += _deductions(feature, moved)
    owned = [balance for balance in balances.values() if balance is not None]
    feature, amount = use.amounts[0]
    return TrackResponse(
        customer_id=subject.customer_id,
        entity_id=subject.entity_id or UNSET,
        event_name=use.event_name or UNSET,
        value=_number(amount, feature),
        balance=owned[0] if len(owned) == 1 else None,
        balances=balances if len(balances) > 1 else UNSET,
        deductions=deductions,
    )


def _deductions(feature: FeatureRecord, moves: list[Move]) -> list[DeductionView]:
    views = []
    for move in moves:
        row = decode_row(move.line)
        document = row.document
        views.append(
            DeductionView(
                balance_id=row.id,
                feature_id=feature.id,
                plan_id=document.plan_id,
                reset=reset_of(document.interval, document.interval_count, move.due_ms or None),
                value=_number(move.delta, feature),
            )
        )
    return views
