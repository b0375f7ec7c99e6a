"""From the replies of ``check`` and ``track`` to their responses (hot-path sections 1.1 and 1.2).
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import UNSET, Raw
from msgspec.structs import replace

from gateway.engine.views import balance_of, flag_of, parts_of, reset_of
from gateway.lifecycle.catalog import StoredPlan
from gateway.messages.balances import (
    Balance,
    CheckPreview,
    CheckResponse,
    DeductionView,
    ExplainedLimit,
    ExplainedSource,
    Explanation,
    TrackResponse,
)
from gateway.messages.common import number_of
from gateway.ports import FeatureRecord
from gateway.rows import decode_row
from gateway.scripts import CheckReply, Description, Move, Part, Pool, Status, TrackReply, Use

_SCOPES = {"c": "customer", "e": "entity", "s": "entity", "p": "entities", "h": "entities"}


class Asked(NamedTuple):
    """What is asked of one feature: the feature with the credit systems that pay for it."""

    features: list[FeatureRecord]
    part: Part

    def required_in(self, place: int) -> int:
        """Return the amount in the units of the feature or of one of its credit systems, rounded
        half up.
        """
        amount = self.part.amount
        if place == 0:
            return amount
        system = self.features[place].id  # one that has left the catalog of a replay has no ratio
        pool = next((one for one in self.part.pools if one.feature == system), Pool(system, 1, 1))
        units = (2 * abs(amount) * pool.num + pool.den) // (2 * pool.den)
        return units if amount >= 0 else -units


class Whom(Protocol):
    """Who is asked about."""

    @property
    def env(self) -> str: ...

    @property
    def customer_id(self) -> str: ...

    @property
    def entity_id(self) -> str: ...


class PlainUse(NamedTuple):
    """A check or a track of one feature that nothing else is asked of."""

    env: str
    customer_id: str
    entity_id: str
    feature: FeatureRecord
    units: int
    pools: Sequence[Pool] = ()


def checked(
    subject: Whom,
    asked: Asked,
    reply: CheckReply,
    now_ms: int,
    *,
    related: bool = False,
    explain: bool = False,
) -> CheckResponse:
    """Return the answer of a check; ``related`` shows the balances of all pools beside the one that
    answers.
    """
    entity_level = bool(subject.entity_id)
    feature = asked.features[0]
    if feature.type == "boolean":
        parts = parts_of(reply.descriptions[0], entity_level=entity_level, now_ms=now_ms)
        flag = flag_of(feature.id, parts)
        return CheckResponse(
            allowed=flag is not None,
            customer_id=subject.customer_id,
            entity_id=subject.entity_id or UNSET,
            required_balance=number(asked.part.amount, feature),
            balance=None,
            flag=flag,
        )
    balances = _balances(asked.features, reply.descriptions, now_ms, entity_level=entity_level)
    answering = asked.features[reply.answering]
    response = CheckResponse(
        allowed=reply.allowed,
        customer_id=subject.customer_id,
        entity_id=subject.entity_id or UNSET,
        required_balance=number(reply.required, answering),
        balance=balances[answering.id],
        flag=None,
    )
    if related and len(balances) > 1:
        response.balances = balances
    if explain:
        named = {one.id: one for one in asked.features}
        response.explanation = _explanation(reply.explanation, named)
    return response


def answering_of(subject: Whom, asked: Asked, reply: TrackReply, now_ms: int) -> int:
    """Return the place of the feature whose balance answers a check that uses or holds units: the
    one that gave some or, where none did, the one a check that only looks would name (hot-path
    section 2.3).
    """
    moved = {move.feature for move in (reply.moves or [[]])[0]}
    for place, feature in enumerate(asked.features):
        if feature.id in moved:
            return place
    if len(asked.features) == 1:
        return 0
    shown = _balances(
        asked.features, reply.descriptions[0], now_ms, entity_level=bool(subject.entity_id)
    )
    owned = [place for place, one in enumerate(asked.features) if shown[one.id] is not None]
    if reply.status is Status.DENIED:  # then none of them is enough by itself
        owned.sort(key=lambda place: place == 0)
    return owned[0] if owned else 1


def tracked(
    subject: Whom, use: Use, asked: Sequence[Asked], reply: TrackReply, now_ms: int
) -> TrackResponse:
    """Return the answer of a track. ``balance`` is that of the feature that was used, a named one
    before the credits that pay, and null when several named ones have balances.
    """
    entity_level = bool(subject.entity_id)
    balances: dict[str, Balance | None] = {}
    deductions: list[DeductionView] = []
    for one, seen, moved in zip(asked, reply.descriptions, reply.moves, strict=True):
        if one.features[0].type == "boolean":
            balances[one.features[0].id] = None
            continue
        balances |= _balances(one.features, seen, now_ms, entity_level=entity_level)
        named = {each.id: each for each in one.features}
        deductions += [_deduction(named[move.feature], move) for move in moved]
    tracked_ids = {one.features[0].id for one in asked}
    owned = [feature_id for feature_id, balance in balances.items() if balance is not None]
    owned.sort(key=lambda feature_id: feature_id not in tracked_ids)
    used = {deduction.feature_id for deduction in deductions}
    answer = next((each for each in owned if each in used), owned[0] if owned else "")
    if len(tracked_ids.intersection(owned)) > 1:
        answer = ""
    feature = asked[0].features[0]
    return TrackResponse(
        customer_id=subject.customer_id,
        entity_id=subject.entity_id or UNSET,
        event_name=use.event_name or UNSET,
        value=number(asked[0].part.amount, feature),
        balance=balances.get(answer),
        balances=balances if len(balances) > 1 else UNSET,
        deductions=deductions,
        dry_run=True if use.dry else UNSET,
    )


def preview_of(feature: FeatureRecord) -> CheckPreview:
    """Return what ``with_preview`` adds to a denial (hot-path section 1.1)."""
    if feature.type == "boolean":
        return CheckPreview(
            scenario="feature_flag",
            title="Feature unavailable",
            message=f"{feature.name} is not part of the current plan.",
            feature_id=feature.id,
            feature_name=feature.name,
        )
    return CheckPreview(
        scenario="usage_limit",
        title="Limit reached",
        message=f"There is not enough {feature.name} left.",
        feature_id=feature.id,
        feature_name=feature.name,
    )


def suggesting(
    preview: CheckPreview, plans: Sequence[StoredPlan], products: list[Raw]
) -> CheckPreview:
    """Return a preview with the plans it suggests, in the words of the reference for the first."""
    if not plans:
        return preview
    record, document = plans[0]
    step = f"{'add' if record.add_on else 'upgrade to'} {document.name}"
    if preview.scenario == "feature_flag":
        message = f"{preview.message} Please {step} to use this feature."
    else:
        name = preview.feature_name.lower()
        message = (
            f"You have reached the usage limit for {name}. "
            f"Please {step} to continue using this feature."
        )
    return replace(
        preview,
        title=f"{step[0].upper()}{step[1:]}",
        message=message,
        products=products,
        upgrade_product_id=record.id,
    )


def _balances(
    features: Sequence[FeatureRecord],
    descriptions: Sequence[Description],
    now_ms: int,
    *,
    entity_level: bool,
) -> dict[str, Balance | None]:
    return {
        feature.id: balance_of(seen, feature.precision, entity_level=entity_level, now_ms=now_ms)
        for feature, seen in zip(features, descriptions, strict=True)
    }


def number(units: int, feature: FeatureRecord) -> Raw:
    """Return units of a feature as the number of an answer."""
    return number_of(units, feature.precision)


def _deduction(feature: FeatureRecord, move: Move) -> DeductionView:
    row = decode_row(move.line)
    document = row.document
    return DeductionView(
        balance_id=row.id,
        feature_id=feature.id,
        plan_id=document.plan_id,
        reset=reset_of(document.interval, document.interval_count, move.due_ms or None),
        value=number(move.delta, feature),
    )


def _explanation(texts: Sequence[str], features: Mapping[str, FeatureRecord]) -> Explanation:
    sources: list[ExplainedSource] = []
    limits: list[ExplainedLimit] = []
    for text in texts:
        kind, feature_id, *rest = text.split("\t")
        feature = features[feature_id]
        if kind == "source":
            row, scope, *units = rest
            available, taken, overage = (number(int(one), feature) for one in units)
            sources.append(
                ExplainedSource(
                    feature_id=feature_id,
                    balance_id=row or None,
                    scope=_SCOPES[scope],
                    available=available,
                    taken=taken,
                    overage=overage,
                )
            )
            continue
        entity, left, resets, allowed = None, None, None, None
        if kind == "window":
            entity, _, limit, used, stop = rest
            left = number(max(0, int(limit) - int(used)), feature)
            resets = int(stop)
        elif kind == "spend":
            left = number(max(0, int(rest[0])), feature)
        else:
            allowed = rest[0] == "1"
        limits.append(
            ExplainedLimit(
                feature_id=feature_id,
                type={"window": "usage_limit", "spend": "spend_limit"}.get(kind, "overage_allowed"),
                entity_id=entity or None,
                left=left,
                resets_at=resets,
                allowed=allowed,
            )
        )
    return Explanation(sources=sources, limits=limits)
