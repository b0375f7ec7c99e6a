"""What a change of plans would do, as previews show it (cold-path section 3.11). Pure; the amounts
are those of the plans' prices, and nothing is charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from gateway.cycles import last_boundary, next_boundary, span
from gateway.documents import ACTIVE, EXPIRED, PAUSED, SCHEDULED, Subscription
from gateway.lifecycle.catalog import plain
from gateway.lifecycle.lines import Charge, Part, cents, charges, rest_of, use_of
from gateway.lifecycle.scope import Change, Scope
from gateway.lifecycle.trials import is_trialing
from gateway.messages import billing as wire
from gateway.messages.plans import IN_NEXT_CYCLE, PlanDocument, raw
from gateway.rows import Kind, Live, Row

CURRENCY = "usd"

_PRORATED = "prorate_next_cycle"


class Preview(NamedTuple):
    """What ``billing.preview_attach`` and ``billing.preview_update`` have in common."""

    line_items: list[wire.PreviewLine]
    total: Decimal
    next_cycle: wire.NextCycle | None
    incoming: list[wire.PreviewPlan]
    outgoing: list[wire.PreviewPlan]


def intent_of(request: wire.SubscriptionUpdateRequest) -> str:
    """Return what kind of change an update is."""
    if request.cancel_action is not None:
        return request.cancel_action
    if request.version is not None or request.customize is not None:
        return "update_plan"
    return "none" if request.feature_quantities is None else "update_quantity"


def preview(
    scope: Scope,
    change: Change,
    documents: Mapping[str, PlanDocument],
    now_ms: int,
    *,
    prorates: bool = True,
    precisions: Mapping[str, int] | None = None,
    begun: Mapping[str, Subscription] | None = None,
) -> Preview:
    """Return what a change would do; ``documents`` are the plans of the subscriptions as it leaves
    them, by id. Unless it ``prorates``, cycles that have begun are neither paid for nor paid back.
    ``precisions`` of features say that use of a plan, or of a cycle, that ends now is paid for,
    which a cancel forgives. ``begun`` are the scheduled subscriptions as they will begin, by id.
    """
    begun = begun or {}
    before = {one.id: one for one in scope.subscriptions}
    anchors = {one.anchor_ms for one in (*scope.subscriptions, *scope.base)}
    incoming: list[wire.PreviewPlan] = []
    outgoing: list[wire.PreviewPlan] = []
    lines: list[wire.PreviewLine] = []
    deferred: list[wire.PreviewLine] = []
    for one in change.touched:
        known = before.get(one.id)
        if known is None or _terms(known) != _terms(one):
            old = _due(known, scope.documents, now_ms)
            new = _due(one, documents, now_ms)
            if known is None or known.anchor_ms != one.anchor_ms:  # a new cycle is paid as a whole
                new = [charge for charge in new if not charge.unit]
                old = [charge for charge in old if not charge.unit]
            due = [*_lines(one, documents, without=old, now_ms=now_ms, sign=1)]
            if prorates:
                due = [*_lines(known, scope.documents, without=new, now_ms=now_ms, sign=-1), *due]
            elif one.anchor_ms in anchors or one.anchor_ms > now_ms:
                due = [line for line in due if not line.period]
            later = _deferrals(known, one, documents)
            lines += [line for line in due if not line.period or line.feature_id not in later]
            deferred += [
                line for line in due if line.period and later.get(line.feature_id) == _PRORATED
            ]
        if known is not None and (one.status == EXPIRED or one.anchor_ms != known.anchor_ms):
            lines += _use(scope, change, known, precisions or {}, now_ms)
        if known is None:
            starts_ms = one.started_at if one.status == SCHEDULED else None
            incoming.append(_plan(begun.get(one.id, one), starts_ms))
        elif one.status in (EXPIRED, PAUSED):
            outgoing.append(_plan(one, None))
        elif one.expires_at is None or _becomes_another(known, one):
            incoming.append(_plan(one, one.pending_at))
        else:
            outgoing.append(_plan(one, one.expires_at))
    total = _total(lines)
    following = _next_cycle(change, documents, begun, deferred, now_ms)
    return Preview(lines, total, following, incoming, outgoing)


def named(seen: Preview, names: Mapping[str, str]) -> Preview:
    """Return a preview whose lines about a feature have its name instead of that of the plan."""
    following = seen.next_cycle
    lines: list[wire.PreviewLine | wire.UsageLine] = [*seen.line_items]
    if following is not None:
        lines += [*following.line_items, *following.usage_line_items]
    for line in lines:
        line.display_name = names.get(line.feature_id or "", line.display_name)
    return seen


def _deferrals(
    known: Subscription | None, one: Subscription, documents: Mapping[str, PlanDocument]
) -> dict[str | None, str]:
    """Return the features whose new quantity is not paid for before the next cycle (cold-path
    sections 3.9 and 5.4): what their plan says about it.
    """
    if known is None or _offer(known) != _offer(one):
        return {}
    found: dict[str | None, str] = {}
    for item in documents[one.id].items if one.id in documents else ():
        if item.feature_id not in one.quantities:
            continue
        before = Decimal(known.quantities.get(item.feature_id, item.included))
        said = item.on_increase
        if Decimal(one.quantities[item.feature_id]) < before:
            follows = item.on_decrease == "prorate" and item.on_increase is not None
            said = _PRORATED if follows else item.on_decrease
        if said in IN_NEXT_CYCLE:
            found[item.feature_id] = said
    return found


def _terms(one: Subscription) -> tuple[object, ...]:
    """Return what the price of a subscription depends on."""
    return one.status, one.quantities, one.trial_ends_at, *_offer(one)


def _offer(one: Subscription) -> tuple[object, ...]:
    """Return which plan a subscription is of, and where its cycles are counted from."""
    return one.version, one.custom, one.anchor_ms


def _becomes_another(known: Subscription, one: Subscription) -> bool:
    """Whether a subscription changes beside its end."""
    return (_terms(known), known.pending) != (_terms(one), one.pending)


def _plan(one: Subscription, effective_at: int | None) -> wire.PreviewPlan:
    quantities = one.quantities | one.pending
    return wire.PreviewPlan(
        plan_id=one.plan_id,
        feature_quantities=[
            wire.FeatureQuantity(feature_id=feature, quantity=raw(text))
            for feature, text in quantities.items()
        ],
        effective_at=effective_at,
        canceled_at=one.canceled_at,
        expires_at=one.expires_at,
    )


def _due(
    one: Subscription | None, documents: Mapping[str, PlanDocument], now_ms: int
) -> list[Charge]:
    """Return the charges of a subscription that is there and active: in its trial only what is
    bought once. One that is paused goes on being paid for, since its cycles go on.
    """
    if one is None or one.status not in (ACTIVE, PAUSED) or one.id not in documents:
        return []
    is_free = is_trialing(one, now_ms)
    due = charges(documents[one.id], one.quantities)
    return [charge for charge in due if not (is_free and charge.unit)]


def _lines(
    one: Subscription | None,
    documents: Mapping[str, PlanDocument],
    *,
    without: Sequence[Charge],
    now_ms: int,
    sign: int,
) -> Iterator[wire.PreviewLine]:
    """Yield what a subscription costs from now on, or gives back of what was not used, ``without``
    the charges that go on as they are.
    """
    for charge in _due(one, documents, now_ms):
        if one is None or charge in without:
            continue
        part = rest_of(charge, one.anchor_ms, now_ms)
        if part is None and sign < 0:
            continue  # what was bought once is kept
        due = charge if part is not None else _added(charge, without)
        yield _line(one, documents[one.id], due, part, sign=sign)


def _use(
    scope: Scope,
    change: Change,
    ended: Subscription,
    precisions: Mapping[str, int],
    now_ms: int,
) -> Iterator[wire.PreviewLine]:
    """Yield what was used of a plan beyond what it includes, where that is paid for and does not
    move on (cold-path section 3.10); of entities all together (section 2.8).
    """
    carried = {carry.row_id for carry in change.carries}
    carried |= {row_id for row_id, due_ms in change.moves.items() if due_ms > now_ms}
    document = scope.documents.get(ended.id)
    for item in document.items if document is not None else ():
        price, cycle = item.paid_by_use, span(item.reset_interval, item.reset_interval_count)
        if price is None or item.feature_id not in precisions:
            continue
        over = sum(
            _over(row, scope.lives[row.id])
            for row in scope.held(ended).get(item.feature_id, ())
            if row.overage
            and not row.allocated
            and (row.unit, row.every) == cycle
            and row.id not in carried
            and row.id in scope.lives
        )
        units, amount = use_of(item, price, Decimal(over).scaleb(-precisions[item.feature_id]))
        if document is not None and amount:
            charge = Charge(item.feature_id, units, amount, "", 0)
            yield _line(ended, document, charge, None, sign=1)


def _over(row: Row, live: Live) -> int:
    """Return what was used beyond the grant of a row, or of each of its slots."""
    return live.over if row.kind is Kind.PER_ENTITY else max(0, live.used - row.grant)


def _added(charge: Charge, before: Sequence[Charge]) -> Charge:
    """Return a charge for what is bought once, less what was bought before."""
    for known in before:
        if (known.feature_id, known.unit) == (charge.feature_id, charge.unit):
            charge = charge._replace(
                quantity=charge.quantity - known.quantity, amount=charge.amount - known.amount
            )
    return charge


def _line(
    one: Subscription, document: PlanDocument, charge: Charge, part: Part | None, *, sign: int
) -> wire.PreviewLine:
    share = Fraction(1) if part is None else part.share
    amount = raw(plain(cents(sign * charge.amount * share)))
    what = document.name if charge.feature_id is None else charge.feature_id
    line = wire.PreviewLine(
        display_name=document.name,
        description=what if sign > 0 else f"Unused {what}",
        subtotal=amount,
        total=amount,
        plan_id=one.plan_id,
        feature_id=charge.feature_id,
        quantity=raw(plain(charge.quantity)),
    )
    if part is not None:
        line.period = wire.Period(start=part.start_ms, end=part.end_ms)
    return line


def _total(lines: Iterable[wire.PreviewLine]) -> Decimal:
    return cents(sum((Fraction(bytes(line.total).decode()) for line in lines), Fraction(0)))


def _next_cycle(
    change: Change,
    documents: Mapping[str, PlanDocument],
    begun: Mapping[str, Subscription],
    deferred: Sequence[wire.PreviewLine],
    now_ms: int,
) -> wire.NextCycle | None:
    """Return what begins next of all that is held then, and what of this cycle is paid with it;
    None when nothing is ever due again.
    """
    starts_ms = min(_moments(change.subscriptions, documents, now_ms), default=None)
    if starts_ms is None:
        return None
    lines = list(deferred)
    for one in change.subscriptions:
        document = documents.get(one.id)
        is_over = one.ends_at is not None and one.ends_at <= starts_ms
        if document is None or is_over or one.started_at > starts_ms:
            continue
        lines += _beginning(begun.get(one.id, one), document, starts_ms)
    total = raw(plain(_total(lines)))
    return wire.NextCycle(
        starts_at=starts_ms,
        subtotal=total,
        total=total,
        line_items=lines,
        usage_line_items=[
            line
            for one in change.subscriptions
            for line in _usage_of(one, documents, starts_ms, now_ms)
        ],
    )


def _usage_of(
    one: Subscription, documents: Mapping[str, PlanDocument], at_ms: int, now_ms: int
) -> Iterator[wire.UsageLine]:
    """Yield the features of a subscription whose use is paid for at a time: with each of its
    cycles, and when it ends.
    """
    document, ends_ms = documents.get(one.id), one.ends_at or at_ms
    if document is None or one.status != ACTIVE or ends_ms < at_ms or is_trialing(one, now_ms):
        return
    for item in document.items:
        price = item.paid_by_use
        if price is None:
            continue
        cycle = (one.anchor_ms, *span(price.interval, price.interval_count))
        if one.ends_at == at_ms or last_boundary(*cycle, at_ms) == at_ms:
            start_ms = max(last_boundary(*cycle, at_ms - 1), one.started_at)
            yield wire.UsageLine(
                display_name=document.name,
                plan_id=one.plan_id,
                feature_id=item.feature_id,
                period=wire.Period(start=start_ms, end=at_ms),
            )


def _beginning(one: Subscription, document: PlanDocument, at_ms: int) -> Iterator[wire.PreviewLine]:
    """Yield the charges of a subscription whose cycles begin at a time; where it begins itself, all
    of them, of a cycle that has begun the rest.
    """
    for charge in charges(document, one.quantities | one.pending):
        part = rest_of(charge, one.anchor_ms, at_ms)
        is_due = part is not None and part.share == 1
        if is_due or one.started_at == at_ms:
            yield _line(one, document, charge, part, sign=1)


def _moments(
    subscriptions: Sequence[Subscription], documents: Mapping[str, PlanDocument], now_ms: int
) -> Iterator[int]:
    """Yield when something begins: what is scheduled, and the next cycle of each price."""
    for one in subscriptions:
        if one.status == SCHEDULED:
            yield one.started_at
            continue
        cycles = {(one.cycle_unit, one.cycle_every)}
        cycles |= {(charge.unit, charge.every) for charge in _due(one, documents, now_ms)}
        for unit, every in cycles:
            ends_ms = next_boundary(one.anchor_ms, unit, every, now_ms)
            if is_trialing(one, now_ms):
                ends_ms = one.trial_ends_at or ends_ms
            if unit and (one.ends_at is None or one.ends_at > ends_ms):
                yield ends_ms
