"""Who is taken for dead, and how partitions are shared: decided from what was seen alone."""

from __future__ import annotations

import random

import pytest

from persistence.sync.leases import Lease, Watch, divide


def _lease(partition: int, owner: str = "") -> Lease:
    return Lease(partition, "0-0", owner, 0, "0-0")


def test_writer_is_silent_once_its_beat_stood_still_for_the_lease_time() -> None:
    watch = Watch(3.0)
    found = [watch.look({"a": 5}, now) for now in (100.0, 101.0, 102.0, 102.9, 103.0)]
    assert found == [{}, {}, {}, {}, {"a": 5}]


def test_writer_that_beats_is_never_silent() -> None:
    watch = Watch(3.0)
    assert not any(watch.look({"a": beat}, 1.0 * beat) for beat in range(20))


def test_a_beat_begins_the_lease_time_anew() -> None:
    watch = Watch(3.0)
    for now, beat in enumerate((1, 1, 1, 2, 2, 2)):
        assert watch.look({"a": beat}, float(now)) == {}
    assert watch.look({"a": 2}, 6.0) == {"a": 2}


def test_time_without_a_look_proves_nothing() -> None:
    watch = Watch(3.0)
    watch.look({"a": 1}, 0.0)
    assert watch.look({"a": 1}, 1_000.0) == {}
    assert watch.look({"a": 1}, 2_000.0) == {"a": 1}


def test_a_partition_is_left_once_nobody_took_it_for_the_lease_time() -> None:
    watch = Watch(3.0)
    found = []
    for now, free in ((0, [1, 2]), (1, [1, 2]), (2, [1]), (3, [1, 2]), (500, [1, 2]), (501, [2])):
        watch.look({}, float(now))
        found.append(watch.left(free))
    assert found == [set(), set(), set(), {1}, {1}, set()]


def test_writer_that_left_and_came_back_is_new() -> None:
    watch = Watch(3.0)
    watch.look({"a": 1}, 0.0)
    watch.look({}, 1.0)
    assert [watch.look({"a": 1}, float(now)) for now in (2, 3, 4)] == [{}, {}, {}]
    assert watch.look({"a": 1}, 5.0) == {"a": 1}


def test_one_writer_takes_everything_that_is_free() -> None:
    turn = divide([_lease(at) for at in range(5)], "me", [])
    assert [lease.partition for lease in turn.take] == [0, 1, 2, 3, 4]
    assert turn.release == []


def test_partitions_of_a_writer_that_is_gone_are_free() -> None:
    leases = [_lease(0, "gone"), _lease(1, "other"), _lease(2, "me")]
    turn = divide(leases, "me", ["other"])
    assert [lease.partition for lease in turn.take] == [0]


def test_surplus_is_handed_over_when_another_comes() -> None:
    turn = divide([_lease(at, "me") for at in range(5)], "me", ["other"])
    assert (turn.take, turn.release) == ([], [3, 4])


def test_what_a_writer_cannot_look_at_is_for_others() -> None:
    leases = [_lease(0, "me"), _lease(1, "me"), _lease(2), _lease(3), _lease(4, "gone")]
    turn = divide(leases, "me", [], away={1, 3})
    assert [lease.partition for lease in turn.take] == [2, 4]
    assert turn.release == [1]


def test_what_nobody_took_is_taken_beyond_the_share() -> None:
    leases = [_lease(0, "me"), _lease(1), _lease(2), _lease(3, "other")]
    assert [one.partition for one in divide(leases, "me", ["other"]).take] == [1]
    turn = divide(leases, "me", ["other"], left={1, 2})
    assert [one.partition for one in turn.take] == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_somebody_can_look_at_is_owned_again_and_again(seed: int) -> None:
    """Each writer lacks some partitions: what one can look at is had, if not all the time."""
    chance = random.Random(seed)
    names = [f"w{number}" for number in range(chance.randint(1, 4))]
    leases = [_lease(at) for at in range(chance.randint(1, 40))]
    away = {name: {at for at in range(len(leases)) if chance.random() < 0.4} for name in names}
    watches = {name: Watch(3.0) for name in names}
    had: set[int] = set()
    for now in range(40):
        for name in chance.sample(names, len(names)):
            free = [one.partition for one in leases if not one.owner]
            watches[name].look({}, float(now))
            turn = divide(leases, name, names, away[name], watches[name].left(free))
            for at in turn.release:
                leases[at] = _lease(at)
            for lease in turn.take:
                leases[lease.partition] = lease._replace(owner=name)
            assert not any(one.partition in away[name] for one in leases if one.owner == name)
        if now > 20:
            had |= {one.partition for one in leases if one.owner}
    assert had == {at for at in range(len(leases)) if any(at not in away[name] for name in names)}


@pytest.mark.parametrize("seed", range(50))
def test_shares_settle_whoever_looks_when(seed: int) -> None:
    """Each partition ends with one owner, and no two shares differ by more than the rounding."""
    chance = random.Random(seed)
    names = [f"w{number}" for number in range(chance.randint(1, 7))]
    owners = [chance.choice(["", "gone", *names]) for _ in range(chance.randint(1, 70))]
    leases = [_lease(at, owner) for at, owner in enumerate(owners)]
    for turn_number in range(20 * len(names)):
        # At random for a while, then each in its turn.
        name = names[turn_number % len(names)] if turn_number % 3 else chance.choice(names)
        turn = divide(leases, name, names)
        for at in turn.release:
            leases[at] = _lease(at)
        for lease in turn.take:
            leases[lease.partition] = lease._replace(owner=name)
    counts = [sum(lease.owner == name for lease in leases) for name in names]
    assert sum(counts) == len(leases)
    assert max(counts) <= -(-len(leases) // len(names))
