"""What one scope sees of the reference ledger, found by walking over it.

The counterpart of ``read_customer`` and of ``gateway.engine.views``: rows in spending order, each
with the slots it shows, and the sums over what entities hold themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.rows import Kind
from tests.property.balances import Balance, Place
from tests.property.reference import Ledger


class Part(NamedTuple):
    """A row as one scope sees it."""

    row_id: str
    copies: int
    used: int
    over: int
    due_ms: int


class Held(NamedTuple):
    """What entities hold themselves, as the customer level sees it."""

    granted: int
    used: int
    over: int
    rows: int
    unlimited: int
    sunk: int


class View(NamedTuple):
    """A feature as one scope sees it; ``held`` is None where no entity holds a row of it, and so is
    ``rolled`` where none holds a rollover.
    """

    parts: list[Part]
    held: Held | None
    rolled: Held | None = None


NOTHING = View([], None)


def portrait(ledger: Ledger, now_ms: int, scope: str) -> dict[str, View]:
    """Return every feature the scope has anything of."""
    ledger.arrive(now_ms)
    features = {*ledger.shared}.union(*(entity.own for entity in ledger.entities.values()))
    views = {feature: _view(ledger, now_ms, feature, scope) for feature in sorted(features)}
    return {feature: view for feature, view in views.items() if view != NOTHING}


def _view(ledger: Ledger, now_ms: int, feature: str, scope: str) -> View:
    own: list[tuple[str, Part]] = []
    shared: list[Part] = []
    for one in ledger.shared.get(feature, []):
        if one.expired(now_ms):
            continue
        members = ledger.members(one.row.entity_feature)
        if one.row.kind is not Kind.PER_ENTITY:
            shared.append(_part(one, [""]))
        elif not scope:
            shared.append(_part(one, members))
        elif scope in members:
            own.append((one.row.rank, _part(one, [scope])))
    if not scope:
        return View(
            shared, _held(ledger, feature, rolled=False), _held(ledger, feature, rolled=True)
        )
    own += [(one.row.rank, _part(one, [""])) for one in ledger.entities[scope].own.get(feature, [])]
    return View([part for _, part in sorted(own)] + shared, None)


def _held(ledger: Ledger, feature: str, *, rolled: bool) -> Held | None:
    everything = [one for it in ledger.entities.values() for one in it.own.get(feature, [])]
    owned = [one for one in everything if one.row.rollover is rolled]
    limited = [one for one in owned if not one.row.unlimited]
    free = [one for one in owned if one.row.unlimited]
    if not owned:
        return None
    return Held(
        granted=sum(one.row.grant for one in limited),
        used=sum(one.of("") for one in limited),
        over=sum(Place(one, "").over for one in limited),
        rows=len(owned),
        unlimited=len(free),
        sunk=sum(one.of("") for one in free),
    )


def _part(one: Balance, names: Sequence[str]) -> Part:
    over = sum(Place(one, name).over for name in names)
    used = sum(one.of(name) for name in names)
    return Part(one.row.id, len(names), used, over, one.due_ms)
