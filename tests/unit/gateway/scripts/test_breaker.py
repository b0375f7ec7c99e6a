"""When calls are refused, and how one finds out that they need not be."""

from __future__ import annotations

import pytest

from gateway import metrics
from gateway.scripts.breaker import FAULTS_MAX, PAUSE_SECONDS, PAUSE_SECONDS_MAX, Breaker


class Ticks:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def breaker(ticks: Ticks) -> Breaker:
    return Breaker(ticks)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(FAULTS_MAX):
        breaker.failed()
    return breaker


def test_fewer_faults_in_a_row_refuse_nothing(breaker: Breaker) -> None:
    for _ in range(10):
        for _ in range(FAULTS_MAX - 1):
            breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open
    assert breaker.admits()


def test_what_one_event_fails_is_one_fault(breaker: Breaker, ticks: Ticks) -> None:
    for event in range(FAULTS_MAX - 1):
        lost = [event]
        for _ in range(100):
            breaker.failed(lost)
    assert [breaker.admits() for _ in range(3)] == [True] * 3
    last = ["the last"]
    for _ in range(100):
        breaker.failed(last)
    assert not breaker.admits()
    # The others in flight have not made the pause longer.
    ticks.seconds += PAUSE_SECONDS
    assert breaker.admits()


def test_faults_in_a_row_refuse_every_call_of_the_pause(breaker: Breaker, ticks: Ticks) -> None:
    opened(breaker)
    ticks.seconds += 0.99 * PAUSE_SECONDS
    assert breaker.is_open
    assert not breaker.admits()
    assert metrics.breaker_open._value.get() == 1  # noqa: SLF001 - no public way to read it


def test_one_call_tries_after_the_pause_and_no_other_beside_it(
    breaker: Breaker, ticks: Ticks
) -> None:
    opened(breaker)
    ticks.seconds += PAUSE_SECONDS
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_a_success_admits_all_again(breaker: Breaker, ticks: Ticks) -> None:
    opened(breaker)
    ticks.seconds += PAUSE_SECONDS
    assert breaker.admits()
    breaker.succeeded()
    assert not breaker.is_open
    assert all(breaker.admits() for _ in range(3))
    assert metrics.breaker_open._value.get() == 0  # noqa: SLF001 - no public way to read it


def test_each_failed_try_doubles_the_pause_up_to_its_bound(breaker: Breaker, ticks: Ticks) -> None:
    opened(breaker)
    pauses = []
    for _ in range(6):
        begun = ticks.seconds
        while not breaker.admits():
            ticks.seconds += PAUSE_SECONDS / 10
        pauses.append(round(ticks.seconds - begun, 3))
        breaker.failed()
    assert pauses[:3] == pytest.approx([PAUSE_SECONDS, 2 * PAUSE_SECONDS, 4 * PAUSE_SECONDS], 0.2)
    assert pauses[-1] == pytest.approx(PAUSE_SECONDS_MAX, 0.1)


def test_a_try_whose_end_is_never_told_is_followed_by_another(
    breaker: Breaker, ticks: Ticks
) -> None:
    opened(breaker)
    ticks.seconds += PAUSE_SECONDS
    assert breaker.admits()
    ticks.seconds += PAUSE_SECONDS
    assert breaker.admits()
