"""Whom the supervisor puts into a place, when two things happen to it at once."""

from __future__ import annotations

import socket
from typing import Any, cast

from gateway.config import Settings
from gateway.processes.supervisor import Supervisor, Worker


class _Process:
    pid = 1


class _Left(Worker):
    """A worker without a process, which notes that it was told to end."""

    is_given_up = False

    def give_up(self) -> None:
        self.is_given_up = True


def _worker() -> _Left:
    return _Left("gateway", cast("Any", _Process()), cast("Any", None))


class _Renewed(Supervisor):
    """Has ``started`` for a successor; a new set comes while that starts, with ``another``."""

    def __init__(self, started: Worker, another: Worker | None) -> None:
        with socket.socket() as listener:
            super().__init__(Settings(workers=1, writer=False), listener)
        self._started, self._another = started, another

    async def _start(self, role: object) -> Worker:
        if self._another is not None:
            self._places[0] = self._another
        return self._started

    async def in_place_of(self, dead: Worker) -> Worker | None:
        """Replace a worker that died; return who has its place then."""
        self._places[0] = dead
        await self._replace(dead, -9)
        return self._places[0]


async def test_a_worker_that_died_has_a_successor() -> None:
    successor = _worker()
    assert await _Renewed(successor, None).in_place_of(_worker()) is successor
    assert not successor.is_given_up


async def test_a_successor_that_starts_behind_a_new_set_takes_nobodys_place() -> None:
    successor, one_of_the_set = _worker(), _worker()
    assert await _Renewed(successor, one_of_the_set).in_place_of(_worker()) is one_of_the_set
    assert successor.is_given_up
