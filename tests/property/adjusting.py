"""Steps of the ledger machine that change single balances by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule
from msgspec import structs

from gateway.rows import Kind, Row, encode_row
from gateway.scripts import RowEdit, Status, Target
from tests.property.balances import NewRow, Source
from tests.property.lives import scopes
from tests.property.locking import Locking
from tests.property.plans import (
    SEAT,
    Draft,
    amounts,
    drafts,
    fitting,
    in_order,
    make_row,
    used_features,
)
from tests.property.reference import Ledger
from tests.property.spending import Pool, Spending


class Edits(NamedTuple):
    """What becomes of the rows a scope holds of one feature."""

    rows: list[NewRow]
    """Those there are then, in order."""
    ended: set[str]
    """Ids of rows that are none; rollovers by their labels."""
    changed: dict[str, Row]


class Adjusting(Locking):
    """Balances are granted, resized and ended, and what is left or used of them is set."""

    @precondition(lambda self: self.ledger is not None)
    @rule(
        scope=scopes,
        feature=used_features,
        aim=st.sampled_from(Target),
        amount=amounts,
        made=st.none() | drafts,
        ends=st.sampled_from((0, 0, 0, 1, 2, 5)),
        grant=st.none() | amounts,
        place=st.none() | st.integers(0, 5),
        stale=st.integers(0, 9),
    )
    def adjust(
        self,
        *,
        scope: str,
        feature: str,
        aim: Target,
        amount: int,
        made: Draft | None,
        ends: int,
        grant: int | None,
        place: int | None,
        stale: int,
    ) -> None:
        scope = self.named(scope)
        edits = Edits([], set(), {})
        if not self.missing(scope):
            self.catch_up()
            edits = self.edited(scope, feature, made, ends, grant)
        spendable = [row.id for row, _ in edits.rows if not row.rollover]
        meant = [] if place is None or not spendable else [spendable[place % len(spendable)]]
        if aim is Target.CARRY:
            meant = []
        status = self.verdict(
            lambda: self.scripts.adjust_balance(
                self.context,
                "0" if stale == 0 else self.state.customer.get("rev", "1"),
                scope,
                feature,
                SEAT,
                "",
                aim,
                amount,
                "\t".join(meant),
                "",
                self.as_sent(feature, edits),
            )
        )
        if self.expect(status, self.missing(scope) or (Status.STALE if stale == 0 else None)):
            carried = edit(self.reference, self.now_ms, scope, feature, edits)
            goal = -carried if aim is Target.CARRY else amount
            sources = sources_of(self.reference, scope, feature, meant)
            units = units_to(aim, goal, sources)
            Spending([Pool(feature)], sources, "allow").spend(units)

    def edited(
        self, scope: str, feature: str, made: Draft | None, ends: int, grant: int | None
    ) -> Edits:
        """Return some rows that end, one that grants another amount, and one that comes."""
        self.reference.arrive(self.now_ms)
        held = self.reference.entities[scope].own if scope else self.reference.shared
        kept = [(one.row, one.due_ms) for one in held.get(feature, ())]
        mains = [row for row, _ in kept if not row.rollover]
        ended = {row.id for at, row in enumerate(mains) if ends >> at & 1}
        ended |= {row.id for row, _ in kept if row.rollover and row.roll in ended}
        changed: dict[str, Row] = {}
        for row in mains[:2] if grant is not None else ():
            if row.kind is Kind.SHARED and not row.unlimited and row.id not in ended:
                document = structs.replace(row.document, included=grant)
                changed[row.id] = structs.replace(row, grant=grant, document=document)
        stays = [(changed.get(row.id, row), due_ms) for row, due_ms in kept if row.id not in ended]
        new = []
        if made is not None:
            draft = fitting(feature, made._replace(entity_feature=""))
            new = [make_row(draft, self.number(), scope, self.now_ms)]
        return Edits(in_order(stays, new, self.now_ms), ended, changed)

    def as_sent(self, feature: str, edits: Edits) -> Sequence[RowEdit]:
        """Return edits with the ids Redis knows rollovers by."""
        ids = {label: row_id for row_id, label in self.labels.items()}
        known = set(self.history.rows)
        sent = [RowEdit(ids.get(one, one), "", "") for one in sorted(edits.ended)]
        sent += [RowEdit(row.id, "", encode_row(row)) for row in edits.changed.values()]
        return sent + [
            RowEdit(row.id, str(due_ms), encode_row(row))
            for row, due_ms in edits.rows
            if not row.rollover and row.id not in known
        ]


def edit(ledger: Ledger, now_ms: int, scope: str, feature: str, edits: Edits) -> int:
    """Change rows of a scope; return what was used of those that end, but for lasting use."""
    held = ledger.entities[scope].own if scope else ledger.shared
    carried = 0
    for one in held.get(feature, ()):
        one.row = edits.changed.get(one.row.id, one.row)
        if one.row.id in edits.ended and not one.row.rollover and not one.row.allocated:
            carried += sum(one.used.values())
    if edits.rows or edits.ended:
        ledger.apply_plan(now_ms, scope, feature, edits.rows, SEAT)
    return carried


def sources_of(ledger: Ledger, scope: str, feature: str, meant: Sequence[str]) -> list[Source]:
    """Return what a scope spends from, without rollovers: some rows, or all."""
    return [
        source
        for source in ledger.sources([feature], scope)
        if not source.rolled
        and (not meant or (not source.held and source.places[0].balance.row.id in meant))
    ]


def units_to(aim: Target, goal: int, sources: Sequence[Source]) -> int:
    """Return the units to use for so much to be left or used (hot-path section 3.10)."""
    places = [place for source in sources for place in source.places]
    free = [place for place in places if place.balance.row.unlimited]
    granted = 0 if free else sum(place.balance.row.grant for place in places)
    used = sum(place.used for place in free or places)
    if aim is Target.NONE:
        return 0
    if aim is Target.REMAINING:
        return granted - used - goal
    return goal - used if aim is Target.USAGE else -goal
