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
