"""The answer of ``events.aggregate``, pure: which time is meant, its bins, and the sums in them.

All bins are in UTC: days begin at midnight, weeks on Monday. A range that ends now includes the
present millisecond, and its first bin may have begun before it: the bin shows only what falls into
the range. SQL sums by hour or by day; weeks and months are made of days here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec import UNSET, Raw

from gateway.cycles import DAY_MS, HOUR_MS, MONDAY_MS, WEEK_MS, last_boundary, next_boundary
from gateway.documents import Subscription
from gateway.engine.views import reset_of
from gateway.errors import InvalidInputsError
from gateway.messages.common import number_of
from gateway.messages.events import (
    BalanceDraw,
    DeductionBin,
    FeatureDraw,
    GroupDraw,
    UsageBin,
    UsageTotal,
)
from gateway.ports import DeductionCell, DrawCell, UsageCell

BINS_MAX = 5_000
"""Bins of one answer."""

CELLS_MAX = 100_000
"""Sums of one answer: one for each feature, bin and group, of weeks and months one for each day."""

RANGE_DEFAULT = "1bc"
"""What a customer's usage is asked for without a range: its current billing cycle."""

RANGE_DEFAULT_ALL = "30d"
"""The same without a customer, since only a customer has billing cycles."""


class Cycle(NamedTuple):
    """A billing cycle, as ``gateway.cycles`` counts it."""

    anchor_ms: int
    unit: str
    every: int


class Period(NamedTuple):
    """A stretch of time; the end is exclusive."""

    start_ms: int
    end_ms: int


class Measured(NamedTuple):
    """A feature as it is shown: how its units are printed, and what a member of it costs."""

    type: str
    precision: int
    costs: Mapping[str, str]
    """The credit cost of each member of a credit system, as decimal texts."""


LENGTHS = {"24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS, "90d": 90 * DAY_MS}
BILLING_RANGES = ("last_cycle", "1bc", "3bc")
_BINS = {
    "hour": Cycle(0, "f", HOUR_MS),
    "day": Cycle(0, "f", DAY_MS),
    "week": Cycle(MONDAY_MS, "f", WEEK_MS),
    "month": Cycle(0, "m", 1),
}
BIN_SIZES = tuple(_BINS)


def billing_cycle(subscriptions: Iterable[Subscription], otherwise_ms: int) -> Cycle:
    """Return the billing cycle of the main plan with a recurring price, else of an add-on; without
    any, months from ``otherwise_ms``.
    """
    paid = [one for one in subscriptions if one.cycle_unit and one.status == "active"]
    for one in sorted(paid, key=lambda each: (each.add_on, each.started_at)):
        return Cycle(one.anchor_ms, one.cycle_unit, one.cycle_every)
    return Cycle(otherwise_ms, "m", 1)


def range_period(name: str, now_ms: int, cycle: Cycle | None) -> Period:
    """Return the period of a named range; ``cycle`` is needed for those of billing only.

    ``1bc`` is the current cycle up to now, ``3bc`` that and the two before it, ``last_cycle`` the
    whole one before it.
    """
    if name in LENGTHS:
        return Period(now_ms - LENGTHS[name], now_ms + 1)
    if cycle is None:
        raise InvalidInputsError(f"range: {name} needs customer_id")
    current = last_boundary(*cycle, now_ms)
    if name == "1bc":
        return Period(current, now_ms + 1)
    last = last_boundary(*cycle, current - 1)
    if name == "last_cycle":
        return Period(last, current)
    return Period(last_boundary(*cycle, last - 1), now_ms + 1)


def step_ms(bin_size: str) -> int:
    """Return the step SQL has to sum by for bins of a size."""
    return HOUR_MS if bin_size == "hour" else DAY_MS


def bins_of(period: Period, bin_size: str, features: int) -> list[int]:
    """Return when each bin begins. Raises ``InvalidInputsError`` for more than the limits."""
    cycle = _BINS[bin_size]
    begins = [last_boundary(*cycle, period.start_ms)]
    while (following := next_boundary(*cycle, begins[-1])) < period.end_ms:
        begins.append(following)
        if len(begins) > BINS_MAX:
            raise InvalidInputsError(
                f"bin_size: the range has more than {BINS_MAX} bins; choose a larger size"
            )
    if len(begins) * features > CELLS_MAX:
        raise _too_many()
    return begins


def check_cells(*cells: Sequence[object]) -> None:
    """Refuse sums that were cut off because there were too many."""
    if any(len(part) > CELLS_MAX for part in cells):
        raise _too_many()


def _too_many() -> InvalidInputsError:
    return InvalidInputsError(
        f"bin_size: the answer has more than {CELLS_MAX} sums; choose a shorter range, a larger "
        "size, or fewer features or groups"
    )


def usage_bins(
    cells: Iterable[UsageCell],
    begins: list[int],
    features: Mapping[str, Measured],
    *,
    grouped: bool,
    counted: bool,
) -> list[UsageBin]:
    """Return the bins; ``counted`` shows events instead of sums."""
    values: dict[tuple[int, str], int] = defaultdict(int)
    groups: dict[tuple[int, str, str], int] = defaultdict(int)
    for cell in cells:
        begin, amount = _begin(begins, cell.at_ms), cell.events if counted else cell.units
        values[begin, cell.feature_id] += amount
        groups[begin, cell.feature_id, cell.group] += amount

    def shown(feature_id: str, amount: int) -> Raw:
        return number_of(amount, 0 if counted else features[feature_id].precision)

    bins = {
        begin: UsageBin(
            period=begin,
            values={each: shown(each, values.get((begin, each), 0)) for each in features},
            grouped_values={each: {} for each in features} if grouped else UNSET,
        )
        for begin in begins
    }
    for (begin, feature_id, group), amount in groups.items():
        by_group = bins[begin].grouped_values
        if by_group is not UNSET:
            by_group[feature_id][group] = shown(feature_id, amount)
    return list(bins.values())


def usage_totals(
    cells: Iterable[UsageCell], features: Mapping[str, Measured]
) -> dict[str, UsageTotal]:
    """Return events and sum of each feature over the whole range."""
    events = dict.fromkeys(features, 0)
    units = dict.fromkeys(features, 0)
    for cell in cells:
        events[cell.feature_id] += cell.events
        units[cell.feature_id] += cell.units
    return {
        each: UsageTotal(count=events[each], sum=number_of(units[each], features[each].precision))
        for each in features
    }


def deduction_bins(
    cells: Iterable[DeductionCell],
    draws: Iterable[DrawCell],
    begins: list[int],
    features: Mapping[str, Measured],
    *,
    grouped: bool,
) -> list[DeductionBin]:
    """Return what balances gave in each bin; ``features`` has every owner of a balance."""
    events: dict[tuple[int, str], int] = defaultdict(int)
    for draw in draws:
        events[_begin(begins, draw.at_ms), draw.feature_id] += draw.events
    balances: dict[tuple[int, str], dict[str, list[DeductionCell]]] = {}
    for cell in cells:
        drawn = balances.setdefault((_begin(begins, cell.at_ms), cell.feature_id), {})
        drawn.setdefault(cell.balance_id, []).append(cell)
    bins = {
        begin: DeductionBin(period=begin, values={}, grouped_values={} if grouped else UNSET)
        for begin in begins
    }
    for (begin, feature_id), drawn in balances.items():
        owner = features[feature_id]
        bins[begin].values[feature_id] = FeatureDraw(
            feature_type=owner.type,
            deducted=_sum(owner, [cell for part in drawn.values() for cell in part]),
            events=events[begin, feature_id],
            balances=[_balance(owner, part) for part in drawn.values()],
        )
        by_group = bins[begin].grouped_values
        if by_group is not UNSET:
            by_group |= {each: _groups(owner, part) for each, part in drawn.items()}
    return list(bins.values())


def _begin(begins: list[int], at_ms: int) -> int:
    return begins[bisect_right(begins, at_ms) - 1]


def _sum(owner: Measured, cells: Iterable[DeductionCell]) -> Raw:
    return number_of(sum(cell.units for cell in cells), owner.precision)


def _balance(owner: Measured, cells: list[DeductionCell]) -> BalanceDraw:
    newest = max(cells, key=lambda cell: cell.resets_at or 0)
    return BalanceDraw(
        balance_id=newest.balance_id,
        entity_id=newest.entity_id,
        plan_id=newest.plan_id,
        reset=reset_of(newest.interval, newest.interval_count, newest.resets_at),
        credit_cost=_cost(owner, cells),
        deducted=_sum(owner, cells),
        events=sum(cell.events for cell in cells),
    )


def _groups(owner: Measured, cells: list[DeductionCell]) -> dict[str, GroupDraw]:
    by_group: dict[str, list[DeductionCell]] = {}
    for cell in cells:
        by_group.setdefault(cell.group, []).append(cell)
    return {
        group: GroupDraw(deducted=_sum(owner, part), credit_cost=_cost(owner, part))
        for group, part in by_group.items()
    }


def _cost(owner: Measured, cells: Iterable[DeductionCell]) -> Raw | None:
    costs = {owner.costs.get(cell.source_id) for cell in cells}
    (only,) = costs if len(costs) == 1 else (None,)
    if only is None or Decimal(only) == 1:
        return None
    return Raw(format(Decimal(only), "f").encode())
