"""What a paused plan had comes back with it, none of it twice: what was used, what had rolled over,
what was to reset meanwhile (cold-path section 3.8).
"""

from __future__ import annotations

import pytest

from tests.acceptance.store import Store
from tests.acceptance.test_trials_that_revert import OVER, REVERTS, is_sound, sell
from tests.fixtures.gateways import Json


def test_what_resets_meanwhile_is_as_if_nothing_had_been_used(store: Store) -> None:
    """A twin that uses nothing instead has the same then: rollovers, their expiry, what is left."""
    rollover = {"max": 800, "expiry_duration_type": "month", "expiry_duration_length": 2}
    sell(store, store.monthly(500, rollover=rollover), store.lifetime(50, "words"))
    customers = []
    for _ in range(2):
        store.join()
        customers.append(store.customer)
        store.take("pro")
        store.track(400)
        store.track(20, feature="words")
    store.end_of_cycle()
    for store.customer in customers:
        store.track(40)  # of the 100 that were left
        assert (store.rollovers(), store.left(None)) == ([60], [560])
    store.customer = customers[0]
    store.take("premium", free_trial=REVERTS["free_trial"] | {"duration_length": 70})
    assert (store.rollovers(), store.left(None)) == ([], [2000])
    store.track(10)
    store.advance(f"{70 * 24 + 1}h")
    seen = []
    for store.customer in customers:
        assert store.held() == {"pro": "active"}
        seen.append((store.state(), store.rollovers(), store.left(None, feature="words")))
        assert is_sound(store)
    assert seen[0] == seen[1] == ([1000, 1000, 0], [500], [30])


def test_use_of_entities_rests_and_comes_back(store: Store) -> None:
    sell(store, store.monthly(10, **store.each), store.item("users", 5))
    store.entities("ann", "ben", "eve")
    store.take("pro")
    store.track(4, "ann")
    store.track(7, "ben")
    store.update("eve", remaining=12)
    assert store.left(None, "ann", "ben", "eve") == [21, 6, 3, 12]
    store.take("premium", **REVERTS)
    assert store.left(None, "ann") == [2000, 2000]
    store.track(100, "ann")
    store.gateway.call("entities.delete", **store.scope("ben"))
    store.entities("ben", "joe")  # another ben
    assert is_sound(store)
    store.forget()
    store.advance(OVER)
    assert store.left("ann", "ben", "eve", "joe", None) == [6, 10, 12, 10, 38]
    assert store.state(None, "users") == [5, 1, 4]
    assert is_sound(store)
    store.forget()
    assert store.left("ann", "ben", "eve", "joe", None) == [6, 10, 12, 10, 38]


@pytest.mark.parametrize("continues", [True, False])
def test_continuous_use_goes_on_in_the_trial_and_back(store: Store, *, continues: bool) -> None:
    sell(store, store.item("workflows", 5))
    more = [store.item("workflows", 9)] if continues else []
    store.plan("growth", store.monthly(1), *more)
    store.take("pro")
    store.track(3, feature="workflows")
    store.take("growth", **REVERTS)
    if continues:
        assert store.state(None, "workflows") == [9, 6, 3]
        store.track(-1, feature="workflows")
    store.advance(OVER)
    assert store.state(None, "workflows") == ([5, 3, 2] if continues else [5, 2, 3])
    assert is_sound(store)


def test_what_entities_rolled_over_rests_too(store: Store) -> None:
    rollover = {"max": 300, "expiry_duration_type": "month", "expiry_duration_length": 3}
    sell(store, store.monthly(10, rollover=rollover, **store.each))
    store.entities("ann", "ben", "eve")
    store.take("pro")
    store.track(4, "ann")
    store.track(10, "ben")
    store.end_of_cycle()
    store.track(2, "ann")
    store.track(13, "eve")
    assert [store.rollovers(one) for one in ("ann", "ben", "eve")] == [[4], [], []]
    assert store.left(None, "ann", "ben", "eve") == [31, 14, 10, 7]
    store.take("premium", **REVERTS)
    assert store.left(None, "ann", "eve") == [2000, 2000, 2000]
    store.gateway.call("entities.delete", **store.scope("eve"))
    assert is_sound(store)
    store.forget()
    store.change("premium", cancel_action="cancel_immediately")
    assert store.left(None, "ann", "ben") == [24, 14, 10]
    assert is_sound(store)
    store.track(5, "ann")
    store.end_of_cycle()
    assert store.left(None, "ann", "ben") == [39, 19, 20]
    assert is_sound(store)


def test_what_is_carried_over_does_not_come_back_twice(store: Store) -> None:
    sell(store, store.monthly(500), store.prepaid_pack("words", interval="one_off"))
    store.take("pro", feature_quantities=store.quantities(words=300))
    store.track(100)
    store.track(50, feature="words")
    over = {"enabled": True}
    store.take("premium", carry_over_balances=over, **REVERTS)
    assert store.left(None) == [2400]
    assert store.left(None, feature="words") == [250]
    store.track(30, feature="words")
    store.change("premium", cancel_action="cancel_immediately")
    assert store.left(None) == [400]
    assert store.left(None, feature="words") == [220]
    store.end_of_cycle()
    assert store.left(None) == [500]
    store.change("pro", feature_quantities=store.quantities(words=100))
    assert store.left(None, feature="words") == [320]
    assert is_sound(store)


def test_use_can_be_carried_to_the_trial_too(store: Store) -> None:
    sell(store)
    store.take("pro")
    store.track(100)
    store.take("premium", carry_over_usages={"enabled": True}, **REVERTS)
    assert store.state() == [2000, 1900, 100]
    store.change("premium", cancel_action="cancel_immediately")
    assert store.state() == [500, 400, 100]
    assert is_sound(store)


def test_a_hold_of_the_paused_plan_gives_back_when_that_is_back(store: Store) -> None:
    sell(store)
    store.take("pro")
    assert store.lock("job", 100)
    store.take("premium", **REVERTS)
    store.change("premium", cancel_action="cancel_immediately")
    store.confirm("job", 30)
    assert store.state() == [500, 470, 30]
    assert is_sound(store)


def test_what_was_used_of_a_pool_stays_used(store: Store) -> None:
    sell(store, store.monthly(500, pooled=True))
    store.entities("ann", "ben")
    store.take("pro", "ann")
    store.track(120, "ben")
    store.take("premium", "ann", **REVERTS)
    assert store.left(None, "ann", "ben") == [2000, 2000, 0]
    assert is_sound(store)
    store.advance(OVER)
    assert store.state() == [500, 380, 120]
    assert store.left("ann", "ben") == [380, 380]
    assert is_sound(store)


def test_what_the_trial_rolled_over_comes_along(store: Store) -> None:
    """Within the maximum of the plan that is back, and with what that had itself."""
    rolls: Json = {"rollover": {"max": 120, "expiry_duration_length": 4}}
    store.plan("pro", store.monthly(100, **rolls), store.monthly(10, "words", **rolls))
    store.plan("premium", store.monthly(1000, **rolls))
    store.take("pro")
    store.track(70)
    store.end_of_cycle()
    assert store.rollovers() == [30]
    store.take("premium", free_trial=REVERTS["free_trial"] | {"duration_length": 40})
    store.advance("33d")  # the first reset of the trial, counted back from its end
    assert store.rollovers() == [120]
    store.advance("8d")
    assert store.held() == {"pro": "active"}
    assert sum(store.rollovers()) == 120
    assert is_sound(store)
