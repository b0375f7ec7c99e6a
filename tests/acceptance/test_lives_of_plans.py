"""Plans of a customer and of its entities through months of any life: attached, canceled, bought
more of, in any order, while time passes. What holds of all of them holds after each step, and a
preview says what is then done.
"""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.test_verify import verify_one
from tests.fixtures.gateways import Json

MINUTES_MS = 7 * 60_000
"""What each wait is longer than whole days: no step then meets the boundary of an earlier one."""

MAINS = ("free", "starter", "pro", "premium", "annual", "payg")
SEATS = ("basic", "plus")
PREPAID = {
    "starter": "words",
    "pro": "words",
    "premium": "words",
    "annual": "words",
    "plus": "notes",
}
TERMS: tuple[Json, ...] = (
    {},
    {},
    {},
    {"carry_over_usages": {"enabled": True}},
    {"carry_over_balances": {"enabled": True}},
    {"plan_schedule": "end_of_cycle"},
    {"plan_schedule": "immediate"},
    {"billing_cycle_anchor": "now"},
    {"starts_at": 1},
    {"starts_at": 20},
    {"ends_at": 10},
    {"ends_at": 40},
    {"free_trial": {"duration_length": 12, "duration_type": "day", "on_end": "revert"}},
    {"free_trial": {"duration_length": 2, "duration_type": "month", "on_end": "revert"}},
)
"""How a plan is attached; dates are days from now."""

ANCHORS = (None, None, "now", 3, 40)
"""Where cycles are counted from; numbers are days from now."""

ACTIONS = ("cancel_end_of_cycle", "cancel_end_of_cycle", "uncancel", "cancel_immediately")


SCOPES = (None, "e1", "e2")

scopes = st.sampled_from((None, None, None, "e1"))
quantities = st.sampled_from((None, None, 0, 120, 300, 700))
anchors = st.sampled_from(ANCHORS)


def rolls(most: float, months: int = 1) -> Json:
    return {"rollover": {"max": most, "expiry_duration_length": months}}


def sell(store: Store) -> None:
    """Define plans of two groups, an add-on and one that is bought once."""
    store.feature("notes", type="metered", consumable=True)
    group, monthly = store.name("seat"), {"interval": "month"}
    waits: Json = {"proration": {"on_decrease": "none"}}
    pooled = store.item("words", 7, reset=monthly, pooled=True)
    each = store.monthly(5, "notes", **store.each, **rolls(8, 2))
    yearly = store.prepaid_pack("words", interval="year")
    store.plan("free", store.monthly(10), store.item("users", 1), auto_enable=True)
    store.plan("starter", store.monthly(40, **rolls(60)), store.prepaid_pack("words"))
    packs = store.prepaid_pack("words", **waits, **rolls(500, 2))
    store.plan("pro", store.monthly(100, **rolls(150)), packs, store.seats(2), each)
    packs = store.prepaid_pack("words", included=50, pack=250)
    store.plan("premium", store.monthly(500), packs, store.monthly(10, "notes", **store.each))
    weekly = store.item("messages", 200, reset={"interval": "week"})
    price = {"amount": 300, "interval": "year"}
    store.plan("annual", weekly, yearly | {"reset": monthly}, price=price)
    store.plan("payg", store.payg(30), store.monthly(6, "notes", **store.each))
    price = {"amount": 3, "interval": "month"}
    store.plan("addon", store.monthly(30, "words", **rolls(20)), add_on=True, price=price)
    store.plan("once", store.lifetime(50), price=price | {"interval": "one_off"})
    store.plan("basic", store.monthly(20, **rolls(30)), pooled, group=group, price=price)
    items = [store.monthly(60, **rolls(90, 3)), store.prepaid_pack("notes", pack=10), pooled]
    store.plan("plus", *items, group=group, price=price | {"amount": 9})


class Life(RuleBasedStateMachine):
    """One customer with two entities."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.foretold: tuple[str | None, Json] = (None, None)
        """The scope of the last preview, and what it said of the next cycle."""

    @initialize(plan=st.sampled_from(MAINS[2:5]), quantity=st.sampled_from((300, 700)))
    def join(self, plan: str, quantity: int) -> None:
        self.store.join()
        self.store.entities("e1", "e2")
        self.store.take(plan, feature_quantities=self.store.quantities(words=quantity))
        self.store.take("plus", "e1")

    @rule(
        plan=st.sampled_from((*MAINS, *MAINS[1:4], *SEATS, "addon", "once")),
        scope=scopes,
        terms=st.sampled_from(TERMS),
        quantity=quantities,
    )
    def attach(self, plan: str, scope: str | None, terms: Json, quantity: int | None) -> None:
        body = {"plan_id": self.store.name(plan), **terms}
        if quantity is not None and plan in PREPAID:
            body["feature_quantities"] = self.store.quantities(**{PREPAID[plan]: quantity})
        for field in {"starts_at", "ends_at"} & terms.keys():
            body[field] = self.store.now() + terms[field] * DAY_MS
        self.change("attach", scope, body)

    @rule(scope=scopes, action=st.sampled_from(ACTIONS), place=st.integers(0, 3))
    def cancel(self, scope: str | None, action: str, place: int) -> None:
        held = self.own(scope)
        if held:
            named = held[place % len(held)]["plan_id"]
            body = {"plan_id": named, "cancel_action": action, "billing_cycle_anchor": "now"}
            self.change("update", scope, body)

    @rule(
        scope=scopes, feature=st.sampled_from(("words", "notes")), quantity=quantities, at=anchors
    )
    def buy(self, scope: str | None, feature: str, quantity: int | None, at: str | int) -> None:
        wanted = self.store.quantities(**{feature: quantity or 0})
        self.change("update", scope, {"feature_quantities": wanted, **self.anchor(at)})

    @rule(scope=scopes, amount=st.sampled_from((1, 30)), at=anchors)
    def customize(self, scope: str | None, amount: int, at: str | int) -> None:
        is_annual = self.store.name("annual") in [one["plan_id"] for one in self.own(scope)]
        price = {"amount": amount, "interval": "year" if is_annual else "month"}
        self.change("update", scope, {"customize": {"price": price}, **self.anchor(at)})

    @rule(scope=scopes, at=anchors, place=st.integers(0, 3), keeps=st.sampled_from((None, True)))
    def move(self, scope: str | None, at: str | int, place: int, *, keeps: bool | None) -> None:
        held = self.own(scope)
        if held and at:
            body = {"plan_id": held[place % len(held)]["plan_id"], **self.anchor(at)}
            if keeps:
                body["carry_over_usages"] = {"enabled": True}
            self.change("update", scope, body)

    def anchor(self, at: str | int | None) -> Json:
        if at is None:
            return {}
        days = at if isinstance(at, str) else self.store.now() + at * DAY_MS
        return {"billing_cycle_anchor": days}

    @rule(
        scope=scopes,
        feature=st.sampled_from(("messages", "words", "notes")),
        value=st.sampled_from((1, 7, 60, 200, -5)),
    )
    def track(self, scope: str | None, feature: str, value: float) -> None:
        self.store.gateway.post("balances.track", self.store.body(scope, feature, value=value))

    @rule(days=st.sampled_from((1, 10, 20, 31, 45)))
    def wait(self, days: int) -> None:
        self.foretold = None, None
        self.store.advance(f"{days * DAY_MS + MINUTES_MS}ms")

    @rule()
    def wait_for_the_next_end(self) -> None:
        ends = [
            one[field]
            for scope in SCOPES
            for one in self.own(scope)
            for field in ("current_period_end", "expires_at")
            if one[field] is not None
        ]
        near = [at_ms for at_ms in ends if at_ms - self.store.now() < 40 * DAY_MS]
        if near:
            self.foretold = None, None
            self.store.gateway.call("clock.advance", to=min(near) + MINUTES_MS)

    def own(self, scope: str | None) -> list[Json]:
        """Return the subscriptions of a scope, without those an entity has of its customer."""
        kind = "entity" if scope else "customer"
        return [one for one in self.store.view(scope)["subscriptions"] if one["scope"] == kind]

    def seen(self) -> list[Json]:
        return [self.store.view(scope) for scope in SCOPES]

    def change(self, verb: str, scope: str | None, body: Json) -> None:
        """Preview a change, carry it out, and compare."""
        gateway, body = self.store.gateway, {**self.store.scope(scope), **body}
        self.foretold = scope, None
        before = self.seen()
        foretold = gateway.post(f"billing.preview_{verb}", body)
        assert self.seen() == before
        held = Counter(one["plan_id"] for one in self.own(scope))
        done = gateway.post(f"billing.{verb}", body)
        assert (done.status_code, done.status_code < 500) == (foretold.status_code, True)
        if not done.is_success:
            assert done.json() == foretold.json()
            return
        preview, now = foretold.json(), Counter(one["plan_id"] for one in self.own(scope))
        for one in preview["incoming"]:
            self.is_there(one, scope)
        for one in preview["outgoing"]:
            if one["effective_at"] is not None:
                ends = [(each["plan_id"], each["expires_at"]) for each in self.own(scope)]
                assert (one["plan_id"], one["effective_at"]) in ends
        come = Counter(one["plan_id"] for one in preview["incoming"])
        gone = Counter(one["plan_id"] for one in preview["outgoing"] if not one["effective_at"])
        for plan_id in now | held if verb == "attach" else ():
            assert now[plan_id] == held[plan_id] - gone[plan_id] + come[plan_id]
        self.foretold = scope, preview.get("next_cycle")

    @rule()
    def wait_for_the_next_cycle(self) -> None:
        """Compare what the last preview said of the next cycle."""
        scope, following = self.foretold
        self.foretold = scope, None
        if following is None or following["starts_at"] - self.store.now() > 40 * DAY_MS:
            return
        self.store.gateway.call("clock.advance", to=following["starts_at"] + MINUTES_MS)
        view, paused = self.store.view(scope), self.paused()
        for line in following["line_items"]:
            if line["plan_id"] in paused:  # it is paid for, and not listed
                continue
            if line["feature_id"] is None:
                ends = [
                    one["current_period_end"] - line["period"]["end"]
                    for one in self.own(scope)
                    if one["plan_id"] == line["plan_id"] and one["status"] == "active"
                ]
                assert any(abs(late_ms) < MINUTES_MS for late_ms in ends)
            else:
                rows = view["balances"][line["feature_id"]]["breakdown"]
                bought = [row["prepaid_grant"] for row in rows if row["plan_id"] == line["plan_id"]]
                assert line["quantity"] in bought

    def paused(self) -> list[str]:
        """Return the plans that come back after a trial."""
        self.store.gateway.wait_for_writer()
        found = self.store.gateway.sql(
            "SELECT s.plan_id FROM subscriptions s JOIN customers c USING (internal_id)"
            " WHERE c.id = ? AND s.status = 'paused'",
            self.store.customer,
        )
        return [plan_id for (plan_id,) in found]

    def is_there(self, foretold: Json, scope: str | None) -> None:
        """Look for what was to come, with its dates and the units of it."""
        view, at_ms = self.store.view(scope), foretold["effective_at"]
        if foretold["plan_id"] == self.store.name("once"):
            assert foretold["plan_id"] in [one["plan_id"] for one in view["purchases"]]
            return
        found = [one for one in self.own(scope) if one["plan_id"] == foretold["plan_id"]]
        assert foretold["expires_at"] in [one["expires_at"] for one in found]
        if at_ms is not None:  # as a plan, or as a quantity of one that goes on
            assert any(one["status"] == "active" or one["started_at"] == at_ms for one in found)
            return
        for one in foretold["feature_quantities"]:
            granted = [
                row["included_grant"] + row["prepaid_grant"]
                for row in view["balances"][one["feature_id"]]["breakdown"]
                if row["plan_id"] == foretold["plan_id"] and row["price"] is not None
            ]
            assert one["quantity"] in granted

    @invariant()
    def everything_is_in_order(self) -> None:
        now = self.store.now()
        for scope, view in zip(SCOPES, self.seen(), strict=True):
            own = "entity" if scope else "customer"
            self.are_in_place([one for one in view["subscriptions"] if one["scope"] == own], now)
            for balance in view["balances"].values():
                add_up(balance, now, is_whole=scope is not None)

    def are_in_place(self, held: list[Json], now: int) -> None:
        """One main plan of a group at a time, and nothing that should have happened."""
        places: Counter[tuple[bool, str]] = Counter()
        for one in held:
            name = one["plan_id"].removesuffix(self.store.name(""))
            if not one["add_on"]:
                places[name in SEATS, one["status"]] += 1
            if one["status"] == "scheduled":
                assert one["started_at"] > now
                continue
            assert one["expires_at"] is None or one["expires_at"] > now
            if one["current_period_end"] is not None:
                assert one["current_period_start"] <= now < one["current_period_end"]
        assert all(count == 1 for count in places.values())

    def teardown(self) -> None:
        self.store.gateway.wait_for_writer()
        found = verify_one(self.store)
        assert found.code == 0, found.out


def add_up(balance: Json, now: int, *, is_whole: bool) -> None:
    """Compare a balance with its parts; entities hold more of a customer's than those show."""
    rows, rolled = balance["breakdown"], balance.get("rollovers", [])
    dates = [balance["next_reset_at"], *(row["reset"]["resets_at"] for row in rows if row["reset"])]
    assert all(at_ms is None or at_ms > now for at_ms in dates)
    for row in rows:
        assert min(row["included_grant"], row["prepaid_grant"], row["remaining"]) >= 0
    granted = sum(row["included_grant"] + row["prepaid_grant"] for row in rows)
    left = sum(row["remaining"] for row in rows)
    parts = (
        granted + sum(one["granted"] for one in rolled),
        left + sum(one["balance"] for one in rolled),
    )
    shown = (balance["granted"], balance["remaining"])
    assert shown == parts if is_whole else (shown[0] >= parts[0] and shown[1] >= parts[1])


def test_any_life_of_plans_is_as_previewed_and_adds_up(store: Store) -> None:
    sell(store)
    run_state_machine_as_test(
        lambda: Life(store),  # type: ignore[arg-type]  # any callable that makes a machine will do
        settings=settings(
            max_examples=6,
            stateful_step_count=15,
            deadline=None,
            phases=[Phase.generate],  # the clock has no time for many more tries
            suppress_health_check=list(HealthCheck),
        ),
    )
