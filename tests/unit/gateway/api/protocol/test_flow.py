"""A client that takes nothing of its answers is left; one that is slow is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.api.protocol.flow import TAKE_SECONDS, Flow


class Wire:
    """A transport whose client takes what the test says, and the loop's timers."""

    def __init__(self) -> None:
        self.left = 0
        self.closing = False
        self.aborted = False
        self.timers: list[Timer] = []

    def get_write_buffer_size(self) -> int:
        return self.left

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        self.aborted = True

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        assert seconds == TAKE_SECONDS
        self.timers.append(Timer(call))
        return self.timers[-1]

    def pass_time(self) -> None:
        (timer,) = self.timers
        self.timers.clear()
        timer.call()


class Timer:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def flow(wire: Wire) -> Flow:
    return Flow(cast("Any", wire), [], cast("asyncio.AbstractEventLoop", wire))


def test_who_takes_nothing_while_answers_wait_is_left(wire: Wire, flow: Flow) -> None:
    wire.left = 900
    flow.pause_writing()
    wire.pass_time()
    assert wire.aborted


def test_who_takes_a_little_at_a_time_is_waited_for(wire: Wire, flow: Flow) -> None:
    wire.left = 900
    flow.pause_writing()
    for _ in range(5):
        wire.left -= 1
        wire.pass_time()
    assert not wire.aborted
    wire.pass_time()
    assert wire.aborted


def test_who_went_on_meanwhile_and_has_as_much_to_take_again_is_waited_for(
    wire: Wire, flow: Flow
) -> None:
    wire.left = 900
    flow.pause_writing()
    flow.resume_writing()
    flow.pause_writing()
    wire.pass_time()
    assert not wire.aborted


def test_who_took_everything_is_looked_at_no_more(wire: Wire, flow: Flow) -> None:
    wire.left = 900
    flow.pause_writing()
    wire.left = 0
    flow.resume_writing()
    wire.pass_time()
    assert not wire.timers


@pytest.mark.parametrize("left", [1, 0])
def test_behind_a_close_the_rest_has_to_be_taken_too(wire: Wire, flow: Flow, left: int) -> None:
    wire.left, wire.closing = left, True
    flow.watch()
    assert len(wire.timers) == left
    if left:
        wire.pass_time()
    assert wire.aborted == bool(left)


def test_a_connection_that_is_lost_leaves_no_timer(wire: Wire, flow: Flow) -> None:
    wire.left = 900
    flow.pause_writing()
    flow.end()
    assert [timer.is_cancelled for timer in wire.timers] == [True]
