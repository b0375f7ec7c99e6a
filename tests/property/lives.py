"""Steps of the ledger machine that change what a customer has: plans, entities, controls."""

from __future__ import annotations

import json

import hypothesis.strategies as st
from hypothesis.stateful import initialize, precondition, rule
from msgspec import structs

from gateway import outbox
from gateway.rows import Row
from gateway.scripts import Ending, Status
from tests.property.balances import NewRow
from tests.property.holds import Holds
from tests.property.machine import Stage, part_of
from tests.property.plans import (
    CREDIT,
    SEAT,
    Plan,
    controlled,
    controls,
    entity_features,
    feature_rows,
    first_plans,
    fitting,
    in_order,
    make_row,
    plans,
)
from tests.property.reference import Ledger
from tests.property.rules import RuleText

ENTITIES_MAX = 4
NAMES = ("zoe", "bob", "eve", "kim", "adi", "mia")

# An entity by its place, or one that does not exist; the customer level is the empty one.
scopes = st.sampled_from(("", "", "", "1", "1", "2", "2", "3", "4", "nobody"))


class Lives(Stage):
    """Customers, plans, entities and controls come and go."""

    @initialize(
        plan=first_plans,
        entities=st.lists(entity_features, min_size=2, max_size=4),
        own=st.lists(plans, max_size=2),
    )
    def begin(self, plan: Plan, entities: list[str], own: list[Plan]) -> None:
        self.create_customer(plan, informed=True)
        for name, feature in zip(NAMES, entities, strict=False):
            self.create_entity(name, feature)
        for place, held in enumerate(own):
            self.apply_plan(held, str(place), keep=0, stale=1)

    @precondition(lambda self: self.ledger is None or self.made % 7 == 1)
    @rule(plan=plans, informed=st.booleans())
    def create_customer(self, plan: Plan, *, informed: bool) -> None:
        cursor = self.seen if informed else "0-0"
        rows = self.rows(plan, "", 0)
        status = self.run(
            self.scripts.create_customer(
                self.context,
                cursor,
                f"cus_{self.number()}",
                '{"created_at":1}',
                "[]",
                "",
                "",
                feature_rows(rows),
            )
        )
        refused = Status.BUSY if cursor != self.seen else None
        if self.expect(status, Status.EXISTS if self.ledger is not None else refused):
            self.ledger = Ledger(CREDIT)
            self.holds = Holds(self.ledger)
            for feature, made in rows.items():
                self.ledger.apply_plan(self.now_ms, "", feature, made, SEAT)

    @precondition(lambda self: self.made % 7 == 0)
    @rule()
    def delete_customer(self) -> None:
        status = self.run(self.scripts.delete_customer(self.context))
        self.expect(status, self.missing(""))
        for lock_id, lock in self.holds.open.items():
            ending = Ending(lock_id, "forget", 0)
            self.run(self.scripts.finalize(self.context, ending, part_of(lock.feature, 0)))
        self.ledger, self.holds = None, Holds(Ledger())

    @rule(
        plan=plans,
        scope=scopes,
        keep=st.sampled_from((255, 255, 254, 252, 5, 0)),
        stale=st.integers(0, 9),
    )
    def apply_plan(self, plan: Plan, scope: str, keep: int, stale: int) -> None:
        scope = self.named(scope)
        rows = self.rows(plan, scope, keep)
        texts = self.documents(scope)
        revision = "0" if stale == 0 else self.state.customer.get("rev", "1")
        apply_plan = self.scripts.apply_plan
        status = self.run(
            apply_plan(self.context, revision, scope, *texts, "", "", feature_rows(self.real(rows)))
        )
        stale_status = Status.STALE if stale == 0 and self.ledger is not None else None
        if self.expect(status, self.missing("") or stale_status or self.missing(scope)):
            for feature, made in rows.items():
                self.reference.apply_plan(self.now_ms, scope, feature, made, SEAT)

    def rows(self, plan: Plan, scope: str, keep: int) -> dict[str, list[NewRow]]:
        """Return the rows of a scope: those whose bit is set in ``keep``, and the new ones."""
        held: dict[str, list[NewRow]] = {}
        if self.ledger is not None and not self.missing(scope):
            self.ledger.arrive(self.now_ms)
            self.catch_up()
            balances = self.ledger.entities[scope].own if scope else self.ledger.shared
            for feature, kept in balances.items():
                held[feature] = [(one.row, one.due_ms) for one in kept]
        return {
            feature: in_order(
                [one for at, one in enumerate(held.get(feature, ())) if keep >> at & 1],
                [
                    make_row(fitting(feature, one), self.number(), scope, self.now_ms)
                    for one in drafts
                ],
                self.now_ms,
            )
            for feature, drafts in plan.items()
        }

    def real(self, rows: dict[str, list[NewRow]]) -> dict[str, list[NewRow]]:
        """Return rows with the ids and ranks Redis knows rollovers by."""
        ids = {label: row_id for row_id, label in self.labels.items()}

        def known(row: Row) -> Row:
            if row.id not in ids:
                return row
            return structs.replace(row, id=ids[row.id], rank=self.ranks[row.id])

        return {
            feature: [(known(row), due_ms) for row, due_ms in made]
            for feature, made in rows.items()
        }

    def documents(self, scope: str) -> tuple[str, str]:
        """Return a new document of a scope, and its outbox lines."""
        number = self.number()
        if not scope:
            made = f'{{"id":"sub_{number}","status":"active"}}'
            gone = [
                outbox.join("S", "", f'{{"id":"{one}","status":"expired"}}')
                for one in self.history.subscriptions
            ]
            return f"[{made}]", "\n".join((outbox.join("S", "", made), *gone))
        known = self.history.entities.get(scope)
        born = json.loads(known.document)["created_at"] if known else self.now_ms
        document = f'{{"created_at":{born},"name":"{number}"}}'
        place, feature = (known.number, known.feature_id) if known else (0, "")
        return document, outbox.join("N", scope, place, feature, document)

    @rule(name=st.sampled_from(NAMES), feature=entity_features)
    def create_entity(self, name: str, feature: str) -> None:
        status = self.verdict(
            lambda: self.scripts.create_entity(
                self.context,
                name,
                feature,
                f'{{"created_at":{self.now_ms}}}',
                SEAT,
                ENTITIES_MAX,
            )
        )
        expected = self.missing("")
        if expected is None:
            expected = self.reference.create_entity(self.now_ms, name, feature, SEAT, ENTITIES_MAX)
        self.expect(status, expected)

    @rule(scope=scopes.filter(bool))
    def delete_entity(self, scope: str) -> None:
        name = self.named(scope)
        status = self.verdict(lambda: self.scripts.delete_entity(self.context, name, SEAT))
        if self.expect(status, self.missing(name)):
            self.reference.delete_entity(self.now_ms, name, SEAT)
            self.holds.delete_entity(name)

    @rule(scope=scopes, feature=controlled, rules=controls)
    def set_controls(self, scope: str, feature: str, rules: RuleText) -> None:
        scope = self.named(scope)
        records = f"{feature}\x1f{rules.text}"
        document, _ = self.documents(scope)
        revision = self.state.customer.get("rev", "1")
        if scope:
            update = self.scripts.update_entity(self.context, revision, scope, document, records)
        else:
            update = self.scripts.update_customer(self.context, revision, "{}", records)
        if self.expect(self.run(update), self.missing("") or self.missing(scope)):
            self.reference.set_rules(feature, scope, rules)
