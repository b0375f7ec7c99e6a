"""Scenarios L of the reference, over HTTP: a call that is sent twice counts once; many in one call.

Each test carries the ids it plays. A repeated key is answered with the first response here, where
the reference answers 409; ``TALLYGATE_IDEMPOTENCY=conflict`` gives its answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway, Json
from tests.waiting import wait_until

DUPLICATE = (409, "duplicate_idempotency_key")


def keyed(world: World, kind: str, body: Json, key: str) -> httpx.Response:
    """Send an operation with an idempotency key of this customer."""
    return world.gateway.post(kind, body, **{"Idempotency-Key": world.name(key)})


def is_replay(answer: httpx.Response) -> bool:
    return bool(answer.headers.get("idempotency-replayed") == "true")


def assert_replayed(first: httpx.Response, second: httpx.Response) -> None:
    assert (first.status_code, is_replay(first)) == (200, False)
    assert (second.status_code, is_replay(second)) == (200, True)
    assert second.json() == first.json()


def test_l01_a_repeated_track_is_replayed_and_counts_once(world: World) -> None:
    """The reference answers 409 to the second."""
    world.attach(world.monthly(100))
    body = world.body(None, "messages", value=10)
    first, second = (keyed(world, "balances.track", body, "k") for _ in range(2))
    assert_replayed(first, second)
    assert world.state() == [100, 90, 10]
    assert world.event_values() == [10]


def test_l01_another_body_under_a_used_key_is_refused(world: World) -> None:
    world.attach(world.monthly(100))
    keyed(world, "balances.track", world.body(None, "messages", value=10), "k")
    answer = keyed(world, "balances.track", world.body(None, "messages", value=11), "k")
    assert (answer.status_code, answer.json()["code"]) == DUPLICATE
    assert world.state() == [100, 90, 10]


def test_parallel_tracks_with_one_key_count_once(world: World) -> None:
    world.attach(world.monthly(100))
    body = world.body(None, "messages", value=10)
    key = {"Idempotency-Key": world.name("k")}
    answers = world.at_once(*[("balances.track", body)] * 10, **key)
    assert {one.status_code for one in answers} == {200}
    assert sorted(map(is_replay, answers)) == [False] + [True] * 9
    assert {one.text for one in answers} == {answers[0].text}
    assert world.state() == [100, 90, 10]


def test_the_key_of_a_track_may_stand_in_its_body(world: World) -> None:
    world.attach(world.monthly(100))
    body = world.body(None, "messages", value=10, idempotency_key=world.name("k"))
    first, second = (world.gateway.post("balances.track", body) for _ in range(2))
    assert_replayed(first, second)
    assert world.state() == [100, 90, 10]


def test_a_track_with_two_keys_counts_once_whichever_of_them_comes_again(world: World) -> None:
    world.attach(world.monthly(100))

    def send(header: str, own: str, value: float = 10) -> httpx.Response:
        more = {"value": value, "idempotency_key": world.name(own)}
        return keyed(world, "balances.track", world.body(None, "messages", **more), header)

    first = send("a", "b")
    assert (first.status_code, is_replay(first)) == (200, False)
    for header in ("a", "c"):
        again = send(header, "b")
        assert (again.json(), is_replay(again)) == (first.json(), True)
    for other in (send("a", "d"), send("d", "b", 11)):
        assert (other.status_code, other.json()["code"]) == DUPLICATE
    alone = world.body(None, "messages", value=10, idempotency_key=world.name("b"))
    assert is_replay(world.gateway.post("balances.track", alone))
    assert send("d", "e").json()["balance"]["remaining"] == 80
    refused = world.body(None, "messages", value=90, overage_behavior="reject")
    refused["idempotency_key"] = world.name("f")
    for value, status in ((90, 400), (5, 200)):
        assert (
            keyed(world, "balances.track", refused | {"value": value}, "f2").status_code == status
        )
    assert world.state() == [100, 75, 25]


def test_l02_a_failed_call_frees_its_key(world: World) -> None:
    world.attach(world.monthly(10))
    body = world.body(None, "messages", value=30, overage_behavior="reject")
    for _ in range(2):
        answer = keyed(world, "balances.track", body, "k")
        assert (answer.status_code, answer.json()["code"]) == (400, "insufficient_balance")
    world.grant(50)
    answer = keyed(world, "balances.track", body, "k")
    assert (answer.status_code, is_replay(answer)) == (200, False)
    assert world.state() == [60, 30, 30]
    unknown = body | {"feature_id": world.name("unknown")}
    for _ in range(2):
        assert keyed(world, "balances.track", unknown, "l").status_code == 404


def test_l04_a_repeated_check_is_answered_again(world: World) -> None:
    """The reference answers 409 to the second. A check that takes nothing is answered anew here,
    one that uses the units is replayed.
    """
    world.attach(world.monthly(100))
    body = world.body(None, "messages", required_balance=30)
    first, second = (keyed(world, "balances.check", body, "k") for _ in range(2))
    assert [(one.status_code, is_replay(one)) for one in (first, second)] == [(200, False)] * 2
    assert first.json() == second.json()
    assert world.state() == [100, 100, 0]
    first, second = (
        keyed(world, "balances.check", body | {"send_event": True}, "l") for _ in range(2)
    )
    assert_replayed(first, second)
    assert world.state() == [100, 70, 30]


def test_l04_a_lock_is_taken_once(world: World) -> None:
    world.attach(world.monthly(100))
    body = world.lock_body("a", 30)
    first, second = (keyed(world, "balances.check", body, "k") for _ in range(2))
    assert_replayed(first, second)
    refused = (409, "lock_already_exists")
    assert world.gateway.refusal("balances.check", **body) == refused
    assert world.state() == [100, 70, 30]


def test_l05_the_numbers_of_a_duplicate(world: World) -> None:
    world.attach(world.monthly(100))
    body = world.body(None, "messages", value=25.5)
    for _ in range(2):
        answer = keyed(world, "balances.track", body, "k")
        assert answer.json()["balance"]["remaining"] == 74.5
    assert world.track(15.25)["balance"]["remaining"] == 59.25


def test_l07_a_call_that_is_delivered_twice_counts_once(world: World) -> None:
    """The reference delivers from a queue; here the sender sends again."""
    world.attach(world.monthly(87))
    body = world.body(None, "messages", value=10)
    first, second = (keyed(world, "balances.track", body, "k") for _ in range(2))
    assert_replayed(first, second)
    assert world.state()[1] == 77
    keyed(world, "balances.track", world.body(None, "messages", value=1), "l")
    assert world.state()[1] == 76


def test_l08_calls_without_a_key_or_with_other_keys_each_count(world: World) -> None:
    world.attach(world.monthly(87))
    assert world.track(5)["balance"]["remaining"] == 82
    assert world.track(5)["balance"]["remaining"] == 77
    body = world.body(None, "messages", value=5)
    for key, left in (("k", 72), ("l", 67)):
        answer = keyed(world, "balances.track", body, key)
        assert answer.json()["balance"]["remaining"] == left


def test_l08_two_customers_may_use_the_same_key(shared_gateway: Gateway) -> None:
    key = {"Idempotency-Key": f"same_{World(shared_gateway).number}"}
    for world in (World(shared_gateway), World(shared_gateway)):
        world.attach(world.monthly(87))
        body = world.body(None, "messages", value=5)
        answer = world.gateway.post("balances.track", body, **key)
        assert (answer.status_code, is_replay(answer)) == (200, False)
        assert world.state()[1] == 82


def test_l14_an_event_of_two_features_counts_once_for_each(world: World) -> None:
    world.actions()
    world.attach(world.monthly(200, "action1"), world.monthly(150, "action3"))
    event = {"event_name": world.name("action-event"), "value": 45.67}
    first, second = (
        keyed(world, "balances.track", world.scope(None) | event, "k") for _ in range(2)
    )
    assert_replayed(first, second)
    assert [world.state(None, name)[1] for name in ("action1", "action3")] == [154.33, 104.33]


def batch(world: World, *items: Json) -> None:
    answer = world.gateway.post("balances.batch_track", list(items))
    assert (answer.status_code in {200, 202}, answer.json()) == (True, {"success": True})


def wait_for(world: World, left: float) -> None:
    wait_until(lambda: world.shown()["remaining"] == left, explain=lambda: str(world.shown()))


def test_l10_a_batch_counts_every_item(world: World) -> None:
    world.attach(world.monthly(20))
    for values, left in (([5, 3], 12), ([2, 2, 2], 6)):
        batch(world, *(world.body(None, "messages", value=value) for value in values))
        wait_for(world, left)


def test_l11_an_item_that_is_in_a_batch_twice_counts_once(world: World) -> None:
    world.attach(world.monthly(20))
    batch(
        world,
        *(
            world.body(None, "messages", value=value, idempotency_key=world.name(key))
            for value, key in ((3, "k"), (3, "k"), (2, "l"))
        ),
    )
    wait_for(world, 15)
    batch(world, world.body(None, "messages", value=3, idempotency_key=world.name("k")))
    batch(world, world.body(None, "messages", value=1))
    wait_for(world, 14)


def test_l13_a_batch_with_one_wrong_item_counts_nothing(world: World) -> None:
    """The reference limits how often batches are sent as well; there is no such limit here."""
    world.attach(world.monthly(2000))
    good = world.body(None, "messages", value=1)
    without = {"customer_id": world.customer, "value": 1}
    both = good | {"event_name": "x"}
    for items in ([], [good] * 1001, [good, without], [good, both], [good, {}], {"a": 1}):
        answer = world.gateway.post("balances.batch_track", items)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_inputs")
    unknown = good | {"feature_id": world.name("unknown")}
    answer = world.gateway.post("balances.batch_track", [good, unknown])
    assert (answer.status_code, answer.json()["code"]) == (404, "feature_not_found")
    assert world.state() == [2000, 2000, 0]
    batch(world, *[good] * 1000)
    wait_for(world, 1000)


@pytest.fixture(scope="module")
def conflicting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that answers a repeated key as the reference does."""
    folder = tmp_path_factory.mktemp("gateway") / "data"
    started = Gateway(folder, environment={"TALLYGATE_IDEMPOTENCY": "conflict"})
    try:
        yield started.start()
    finally:
        started.stop()


def test_a_repeated_key_is_a_conflict_where_that_is_set(conflicting: Gateway) -> None:
    world = World(conflicting)
    world.attach(world.monthly(100))
    body = world.body(None, "messages", value=10)
    assert keyed(world, "balances.track", body, "k").status_code == 200
    answer = keyed(world, "balances.track", body, "k")
    assert (answer.status_code, answer.json()["code"]) == DUPLICATE
    assert answer.json()["message"] == "A call with this idempotency key has been carried out"
    refused = body | {"overage_behavior": "reject", "value": 1000}
    for _ in range(2):
        assert keyed(world, "balances.track", refused, "l").status_code == 400
    assert world.state() == [100, 90, 10]


def test_a_repeated_finalize_is_a_conflict_where_that_is_set(conflicting: Gateway) -> None:
    """Of finalizes of one lock the reference lets exactly one succeed (hot-path section 1.4)."""
    world = World(conflicting)
    world.attach(world.monthly(100))
    assert world.lock("a", 8)
    confirm = ("balances.finalize", {"lock_id": world.name("a"), "action": "confirm"})
    assert sorted(one.status_code for one in world.at_once(*[confirm] * 4)) == [200, 409, 409, 409]
    assert world.no_lock("a") == 409
    assert world.state() == [100, 92, 8]
