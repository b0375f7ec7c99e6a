"""What was used of one plan is used of the next one, where that is asked for; the numbers were
worked out before.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.acceptance.store import Store
from tests.fixtures.gateways import Gateway, Json

CARRY = {"carry_over_usages": {"enabled": True}}
BOUGHT = 100
"""Units that are bought where a plan sells some beforehand."""


@pytest.fixture(scope="module")
def clock_gateway(shared_gateway: Gateway) -> Gateway:
    """The one that others share: no clock is moved here."""
    return shared_gateway


class Kind(NamedTuple):
    """An item of a plan."""

    interval: str
    included: float
    price: str = ""

    def of(self, store: Store) -> Json:
        if self.price:
            return store.payg(self.included) if self.price == "use" else store.prepaid_pack()
        lasting = self.interval == "one_off"
        reset = {} if lasting else {"reset": {"interval": self.interval}}
        return store.item("messages", self.included, **reset)


def switch(store: Store, old: list[Kind], new: list[Kind], used: float) -> None:
    for name, kinds in (("pro", old), ("premium", new)):
        store.plan(name, *[kind.of(store) for kind in kinds])
        bought = any(kind.price == "before" for kind in kinds)
        more = {"feature_quantities": store.quantities(messages=BOUGHT)} if bought else {}
        store.take(name, **more, **(CARRY if name == "premium" else {}))
        if name == "pro":
            store.track(used)


MONTH_OF_200, MONTH_OF_50 = Kind("month", 200), Kind("month", 50)
BOUGHT_BEFORE = Kind("month", 0, "before")


@pytest.mark.parametrize(
    ("old", "new", "used", "left"),
    [
        ([MONTH_OF_200], [Kind("year", 30)], 50, [0]),
        ([MONTH_OF_50, Kind("one_off", 50)], [MONTH_OF_200], 70, [130]),
        ([MONTH_OF_200], [MONTH_OF_50, Kind("one_off", 500)], 120, [0, 430]),
        ([MONTH_OF_200, Kind("one_off", 50)], [MONTH_OF_50, Kind("one_off", 60)], 220, [0, 0]),
        ([BOUGHT_BEFORE, Kind("month", 50, "use")], [BOUGHT_BEFORE, MONTH_OF_50], 140, [0, 10]),
        ([MONTH_OF_200], [BOUGHT_BEFORE, Kind("month", 50, "use")], 180, [0, 0]),
    ],
)
def test_use_fills_all_that_the_next_plan_gives_before_it_is_overage(
    store: Store, old: list[Kind], new: list[Kind], used: float, left: list[float]
) -> None:
    switch(store, old, new, used)
    for _ in range(2):
        assert (store.state()[1:], store.breakdown()) == ([sum(left), used], left)
        store.forget()
    assert store.stored_usage() == used


def test_use_beyond_what_was_bought_is_paid_by_use(store: Store) -> None:
    new = [Kind("month", 0, "before"), Kind("month", 50, "use")]
    switch(store, [Kind("month", 200)], new, 180)
    usages = [one["usage"] for one in store.balance()["breakdown"]]
    assert usages == [100, 80]


def test_what_units_are_held_for_can_still_be_given_back(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("premium", store.monthly(200))
    store.take("pro")
    store.track(10)
    assert store.lock("a", 60)
    store.take("premium", **CARRY)
    assert store.state() == [200, 130, 70]
    store.release("a")
    assert store.state() == [200, 190, 10]


def test_each_entity_goes_on_with_what_it_used(store: Store) -> None:
    for name, own, shared in (("pro", 50, 100), ("premium", 60, 200)):
        store.plan(name, store.monthly(own, **store.each), store.monthly(shared))
    store.entities("a", "b")
    store.take("pro")
    store.track(70, "a")
    store.track(30)
    store.take("premium", **CARRY)
    assert [store.state(name) for name in (None, "a", "b")] == [
        [320, 220, 100],
        [260, 160, 100],
        [260, 210, 50],
    ]


@pytest.mark.parametrize("by", ["attach", "update"])
def test_what_entities_used_is_used_of_units_they_share_from_now_on(store: Store, by: str) -> None:
    store.plan("pro", store.monthly(50, **store.each))
    store.plan("premium", store.monthly(200))
    store.entities("a", "b")
    store.take("pro")
    store.track(40, "a")
    store.track(10, "b")
    if by == "attach":
        store.take("premium", **CARRY)
    else:
        store.change("pro", customize={"items": [store.monthly(200)]})
    assert [store.state(name) for name in (None, "a", "b")] == [[200, 150, 50]] * 3
    store.forget()
    assert [store.state(name) for name in (None, "a", "b")] == [[200, 150, 50]] * 3


@pytest.mark.parametrize("by", ["attach", "update"])
def test_what_all_used_is_used_of_what_the_first_entities_have_from_now_on(
    store: Store, by: str
) -> None:
    store.plan("pro", store.monthly(200))
    store.plan("premium", store.monthly(50, **store.each))
    store.entities("a", "b")
    store.take("pro")
    store.track(40, "b")
    store.track(30)
    if by == "attach":
        store.take("premium", **CARRY)
    else:
        store.change("pro", customize={"items": [store.monthly(50, **store.each)]})
    after = [[100, 30, 70], [50, 0, 50], [50, 30, 20]]
    assert [store.state(name) for name in (None, "a", "b")] == after
    store.forget()
    assert [store.state(name) for name in (None, "a", "b")] == after


def test_a_debt_of_what_all_used_is_owed_by_the_first_entity(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("premium", store.monthly(50, **store.each))
    store.entities("a", "b")
    store.take("pro")
    store.track(120, overage_behavior="overflow")
    store.take("premium", carry_over_balances={"enabled": True})
    assert [store.state(name) for name in (None, "a", "b")] == [
        [100, 80, 20],
        [50, 30, 20],
        [50, 50, 0],
    ]


def test_a_plan_of_an_entity_carries_as_one_of_its_customer(store: Store) -> None:
    store.plan("pro", store.monthly(200))
    store.plan("premium", store.monthly(50), store.lifetime(500))
    store.entities("a")
    store.take("pro", "a")
    store.track(120, "a")
    store.take("premium", "a", **CARRY)
    assert [store.state(name) for name in ("a", None)] == [[550, 430, 120]] * 2
