"""Balances of a customer and its entities through any life: used, held, granted and set by hand,
switched by plans and let go by Redis, in any order. What holds of all of them holds after each
step, and of SQL in the end.
"""

from __future__ import annotations

from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.test_verify import verify_one
from tests.acceptance.watching import ROOM, SMALLEST, Watched, differences
from tests.acceptance.world import MONTHLY
from tests.fixtures.gateways import Json

MINUTES_MS = 7 * 60_000
"""What each wait is longer than whole days: no step then meets the boundary of an earlier one."""

ALONE = ("messages", "tokens", "words")
"""Features no credits pay for: what moves of them is what was asked for."""
ENTITIES = ("zoe", "bob", "eve")
MAINS = ("free", "pro", "team", "payg")
SEATS = ("basic", "plus")
PLANS = (*MAINS, *SEATS, "addon")
SETTERS = ("remaining", "usage", "add_to_balance", "included_grant", "value")

scopes = st.sampled_from((None, None, None, *ENTITIES))
features = st.sampled_from(("messages", "messages", *ALONE, "images", "actions", "credits", "gems"))
amounts = st.sampled_from(("1", "0.1", "2.5", "7", "33.333333", "60", "150", "1000"))
values = amounts | st.sampled_from(("0", "-3", "-0.25", "-80"))
modes = st.sampled_from(("cap", "cap", "reject", "overflow"))
TERMS: tuple[Json, ...] = (
    {},
    {},
    {"carry_over_usages": {"enabled": True}},
    {"carry_over_balances": {"enabled": True}},
    {"plan_schedule": "end_of_cycle"},
    {"billing_cycle_anchor": "now"},
)
GRANTS: tuple[Json, ...] = (
    {},
    {"reset": MONTHLY, "rollover": {"max": 20, "length": 2}},
    {"reset": {"interval": "day"}},
    {"unlimited": True},
)


def rolls(most: float, months: int = 1) -> Json:
    return {"rollover": {"max": most, "expiry_duration_length": months}}


def sell(store: Store) -> None:
    """Define two credit systems and plans of two groups with every kind of row."""
    for name, events in (("tokens", ["use"]), ("images", []), ("actions", ["use"])):
        named = [store.name(event) for event in events]
        store.feature(name, type="metered", consumable=True, event_names=named)
    store.feature("rooms", type="metered", consumable=False)
    for name, costs in (("credits", {"images": 0.7, "actions": 0.2}), ("gems", {"actions": 3})):
        schema = [
            {"metered_feature_id": store.name(one), "credit_cost": cost}
            for one, cost in costs.items()
        ]
        store.feature(name, type="credit_system", credit_schema=schema)
    each, group = store.each, store.name("seat")
    items = [store.monthly(100, **rolls(60, 2)), store.monthly(10, **each, **rolls(15))]
    items += [store.monthly(50, "credits"), store.lifetime(20, "tokens"), store.item("users", 2)]
    store.plan("free", *items)
    items = [store.monthly(100, **rolls(150)), store.prepaid_pack(), store.hourly(25, **each)]
    items += [store.lifetime(20, "actions"), store.monthly(30, "credits", **each)]
    items += [store.monthly(12, "gems", **rolls(30, 2)), store.monthly(40, "tokens")]
    store.plan("pro", *items)
    items = [store.pay_per_use(20, 50), store.monthly(12, "images", **each)]
    items += [store.payg(10, "credits"), store.monthly(9, "tokens", **each)]
    store.plan("team", *items, store.pay_per_use(3, feature="users"))
    free = store.item("tokens", unlimited=True)
    store.plan("payg", store.payg(30), free, store.monthly(5, "words"))
    daily = store.item("messages", 15, reset={"interval": "day"})
    store.plan("addon", daily, store.monthly(7, "images"), add_on=True)
    pooled = store.monthly(7, "words", pooled=True)
    items = [store.monthly(20, **rolls(30)), pooled, store.lifetime(5, "credits")]
    store.plan("basic", *items, group=group)
    items = [store.prepaid_pack(pack=10), store.payg(4, "gems"), pooled]
    store.plan("plus", *items, store.monthly(6, "tokens", **rolls(9, 3)), group=group)


class Life(Watched):
    """One customer with entities."""

    told = (*ALONE, "images", "actions", "credits", "gems", "users")

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.locks: list[str] = []
        self.controlled: set[str] = set()
        """Features that controls have been about."""

    @initialize(plan=st.sampled_from(MAINS), count=st.integers(0, 3), seat=st.sampled_from(SEATS))
    def join(self, plan: str, count: int, seat: str) -> None:
        self.store.join()
        room = {**self.store.scope(ROOM), "feature_id": self.store.name("rooms")}
        self.done("entities.create", room)
        self.attach(plan, None, {}, None)
        for name in ENTITIES[:count]:
            self.create_or_delete(name)
        self.attach(seat, ENTITIES[0], {}, 100)

    def plain(self, scope: str | None, feature: str) -> bool:
        """Whether nothing but what is left decides."""
        one = self.raw(scope, feature)
        is_open = one and (one["unlimited"] or one["overage_allowed"])
        return feature in ALONE and feature not in self.controlled and not is_open

    # -- use -----------------------------------------------------------------------------------

    @rule(scope=scopes, feature=features, value=values, mode=modes, once=st.booleans())
    def track(self, scope: str | None, feature: str, value: str, mode: str, *, once: bool) -> None:
        """What a dry run says, and a check of it, is what is done."""
        scope, amount, before = self.known(scope), Decimal(value), self.seen
        was, is_plain = self.of(scope, feature), self.plain(scope, feature)
        body = self.store.body(scope, feature, value=amount, overage_behavior=mode)
        asked = self.store.body(scope, feature, required_balance=amount)
        checked = self.done("balances.check", asked)
        self.shows(scope, checked)
        _, dry = self.ask("balances.track", body | {"dry_run": True})
        self.look()
        self.is_as(before)
        if once:
            status, told = self.change("balances.track", body)
        else:
            status, told = self.twice("balances.track", body, {"value": amount + 1})
        is_done = mode != "reject" or checked["allowed"] or amount <= 0
        assert (status == 200) is is_done
        if not is_done:
            return
        assert differences(told, {**dry, "dry_run": None}) == []
        self.shows(scope, told)
        now = self.of(scope, feature)
        if feature not in ALONE or now.unlimited:
            return
        used = now.usage - was.usage
        assert used == sum(one["value"] for one in told.get("deductions", ()))
        if is_plain and amount > 0 and self.raw(scope, feature):
            assert used == (min(amount, was.remaining) if mode == "cap" else amount)
            assert now.remaining == max(0, was.remaining - used)

    @rule(scope=scopes, value=values, mode=st.sampled_from(("cap", "overflow")))
    def track_event(self, scope: str | None, value: str, mode: str) -> None:
        """Use two features at once."""
        scope = self.known(scope)
        body = {**self.store.scope(scope), "event_name": self.store.name("use")}
        told = self.done(
            "balances.track", body | {"value": Decimal(value), "overage_behavior": mode}
        )
        self.look()
        self.shows(scope, told)

    @rule(scope=scopes, feature=st.sampled_from(ALONE))
    def use_up(self, scope: str | None, feature: str) -> None:
        """What is shown can be used, and no more than that."""
        scope = self.known(scope)
        left = self.of(scope, feature).remaining
        if self.plain(scope, feature) and left:
            for value, allowed in ((left + SMALLEST, False), (left, True)):
                body = self.store.body(scope, feature, required_balance=value, send_event=True)
                before = self.seen
                _, told = self.change("balances.check", body)
                assert told["allowed"] is allowed
                if not allowed:
                    self.is_as(before)
            assert self.of(scope, feature).remaining == 0

    # -- holds ---------------------------------------------------------------------------------

    @rule(
        scope=scopes,
        feature=features,
        value=values,
        mode=st.sampled_from(("reject", "reject", "cap", "overflow")),
        end=st.sampled_from((None, None, "release", "confirm", "half")),
    )
    def hold(self, scope: str | None, feature: str, value: str, mode: str, end: str | None) -> None:
        """What is released at once was never there; what is confirmed stays."""
        scope, before, amount = self.known(scope), self.seen, Decimal(value)
        lock_id = f"{self.store.customer}-{next(self.numbers)}"
        lock = {"lock_id": lock_id, "enabled": True, "overage_behavior": mode}
        body = self.store.body(scope, feature, required_balance=amount, lock=lock)
        _, told = self.change("balances.check", body)
        if not told.get("allowed"):
            self.is_as(before)
            return
        self.shows(scope, told)
        during = self.seen
        assert self.change("balances.check", body)[0] == 409
        self.locks.append(lock_id)
        if end == "half":
            half = (amount / 2).quantize(SMALLEST)
            self.finalize(-1, "confirm", half)
            was, now = self.of(scope, feature, before), self.of(scope, feature)
            if feature in ALONE and mode == "reject" and half > 0 and not now.unlimited:
                assert now.usage - was.usage == half
        elif end:
            self.finalize(-1, end, None)
            for one, at in ((one, at) for one in self.told for at in self.scopes):
                after = before if end == "release" else during
                assert self.of(at, one) == self.of(at, one, after)

    @precondition(lambda self: self.locks)
    @rule(
        place=st.integers(0, 9),
        action=st.sampled_from(("confirm", "release")),
        final=st.none() | values.map(Decimal),
    )
    def finalize(self, place: int, action: str, final: Decimal | None) -> None:
        lock_id = self.locks.pop(place % len(self.locks))
        body: Json = {"lock_id": lock_id, "action": action}
        if final is not None and action == "confirm":
            body["override_value"] = final
        self.done("balances.finalize", body)
        self.look()
        before = self.seen
        self.done("balances.finalize", body)
        self.look()
        self.is_as(before)

    # -- by hand -------------------------------------------------------------------------------

    @rule(scope=scopes, feature=features, amount=amounts, more=st.sampled_from(GRANTS))
    def grant(self, scope: str | None, feature: str, amount: str, more: Json) -> None:
        scope = self.known(scope)
        was, units = self.of(scope, feature), {"included_grant": Decimal(amount)}
        body = {} if "unlimited" in more else units
        self.done("balances.create", self.store.body(scope, feature, **body, **more))
        self.look()
        now = self.of(scope, feature)
        if not now.unlimited:
            assert (now.granted - was.granted, now.usage) == (Decimal(amount), was.usage)

    @rule(
        scope=scopes,
        feature=features,
        field=st.sampled_from(SETTERS),
        amount=st.sampled_from(("0", "4", "2.75", "90", "400", "-6")),
    )
    def set_by_hand(self, scope: str | None, feature: str, field: str, amount: str) -> None:
        """What is used comes to what was said, rollovers aside."""
        scope, before = self.known(scope), self.seen
        body = self.store.body(scope, feature, **{field: Decimal(amount)})
        status, _ = self.change("usage" if field == "value" else "balances.update", body)
        if status != 200 or self.of(scope, feature, before).unlimited:
            return

        def used(view: Json) -> Decimal:
            rolled = view.get("rollovers", ())
            gone: Decimal = sum(one["granted"] - one["balance"] for one in rolled)
            return view["usage"] - gone  # type: ignore[no-any-return]

        was, now = used(self.raw(scope, feature, before)), used(self.raw(scope, feature))
        if field == "add_to_balance":
            assert now == was - Decimal(amount)
        elif field in ("usage", "value"):
            assert now == Decimal(amount)

    @rule(scope=scopes, feature=features, place=st.integers(0, 5), carry=st.booleans())
    def end_one(self, scope: str | None, feature: str, place: int, *, carry: bool) -> None:
        scope, one = self.known(scope), self.raw(self.known(scope), feature)
        if not one or not one["breakdown"]:
            return
        row = one["breakdown"][place % len(one["breakdown"])]
        body = self.store.body(scope, feature, balance_id=row["id"], recalculate_balances=carry)
        status, _ = self.change("balances.delete", body)
        now = self.of(scope, feature)
        if status == 200 and "rollovers" not in one and not one["unlimited"]:
            assert now.granted == one["granted"] - row["included_grant"] - row["prepaid_grant"]
            assert now.usage == one["usage"] or not carry

    # -- plans, entities, controls -------------------------------------------------------------

    @rule(
        plan=st.sampled_from(PLANS),
        scope=scopes,
        terms=st.sampled_from(TERMS),
        quantity=st.sampled_from((None, None, 0, 100, 300)),
    )
    def attach(self, plan: str, scope: str | None, terms: Json, quantity: int | None) -> None:
        body = {**self.store.scope(self.known(scope)), "plan_id": self.store.name(plan), **terms}
        if quantity is not None and plan in ("pro", "plus"):
            body["feature_quantities"] = self.store.quantities(messages=quantity)
        self.change("billing.attach", body)

    @rule(
        scope=scopes,
        plan=st.sampled_from(PLANS),
        more=st.sampled_from(("cancel_immediately", "cancel_end_of_cycle", "uncancel", 0, 400)),
    )
    def update(self, scope: str | None, plan: str, more: str | int) -> None:
        body = {**self.store.scope(self.known(scope)), "plan_id": self.store.name(plan)}
        quantity = {"feature_quantities": self.store.quantities(messages=more)}  # type: ignore[arg-type]
        is_action = isinstance(more, str)
        self.change("billing.update", body | ({"cancel_action": more} if is_action else quantity))

    @rule(name=st.sampled_from(ENTITIES))
    def create_or_delete(self, name: str) -> None:
        body, is_there = self.store.scope(name), name in self.entities
        if is_there:
            self.done("entities.delete", body)
            self.entities.remove(name)
        elif self.ask("entities.create", body | {"feature_id": self.store.name("users")})[0] == 200:
            self.entities.append(name)
        self.look()

    @rule(
        scope=scopes,
        feature=st.sampled_from(("messages", "images", "credits", "tokens")),
        kind=st.sampled_from(("usage", "spend", "overage", "none")),
        limit=st.sampled_from((0, 5, 60.5)),
    )
    def control(self, scope: str | None, feature: str, kind: str, limit: float) -> None:
        controls: Json = {"usage_limits": [], "spend_limits": [], "overage_allowed": []}
        if kind == "usage":
            controls |= self.store.usage_limit(limit, "day", feature)
        elif kind != "none":
            controls |= self.store.overage(feature, enabled=kind == "spend")
            controls |= self.store.spend_limit(limit, feature) if kind == "spend" else {}
        self.controlled.add(feature)
        self.store.control(controls, self.known(scope))
        self.look()

    # -- time and loss -------------------------------------------------------------------------

    @rule(days=st.sampled_from((0, 0, 1, 10, 31)))
    def wait(self, days: int) -> None:
        self.store.advance(f"{days * DAY_MS + MINUTES_MS}ms")
        for lock_id in self.locks if days else ():  # else the gateway does it, a second later
            ending = {"lock_id": lock_id, "action": "release"}
            assert self.ask("balances.finalize", ending)[0] == 400
        self.locks = [] if days else self.locks
        self.look()

    @rule()
    def forget(self) -> None:
        before = self.seen
        self.store.forget()
        self.look()
        self.is_as(before)

    def teardown(self) -> None:
        self.store.gateway.wait_for_writer()
        found = verify_one(self.store)
        assert found.code == 0, found.out


def test_any_life_of_balances_adds_up(store: Store) -> None:
    sell(store)
    run_state_machine_as_test(
        lambda: Life(store),  # type: ignore[arg-type]  # any callable that makes a machine will do
        settings=settings(
            max_examples=settings().max_examples // 20,
            stateful_step_count=25,
            phases=[Phase.generate],  # the clock has no time for many more tries
            suppress_health_check=list(HealthCheck),
        ),
    )
