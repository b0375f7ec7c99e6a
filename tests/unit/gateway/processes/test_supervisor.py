"""Whom the supervisor puts into a place, when two things happen to it at once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from gateway.config import Settings
from gateway.errors import StartError
from gateway.processes.supervisor import Role, Supervisor, Worker


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


class _Crowded(Supervisor):
    """Finds room for so many processes, and then none for one; it may be stopped meanwhile."""

    def __init__(self, room: int, *, is_stopped_meanwhile: bool = False) -> None:
        with socket.socket() as listener:
            super().__init__(Settings(workers=2, writer=False), listener)
        self.room = room
        self.made: list[_Left] = []
        self._is_stopped_meanwhile = is_stopped_meanwhile

    async def _start(self, role: Role) -> Worker:
        if self._is_stopped_meanwhile:
            self._stop()
        self.room -= 1
        if self.room == -1:
            raise StartError("no process can be started: out of memory")
        self.made.append(_worker())
        return self.made[-1]

    async def in_place_of(self, dead: Worker) -> Worker | None:
        """Replace a worker that died; return who has its place then."""
        self._places[0] = dead
        await self._replace(dead, -9)
        return self._places[0]

    async def renewed(self, before: Worker) -> Worker | None:
        """Renew the set; return who has the place of one that was there before."""
        self._places[0] = before
        await self._renew()
        return self._places[0]


async def test_a_successor_there_is_no_room_for_is_started_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    crowded = _Crowded(room=0)
    assert await crowded.in_place_of(_worker()) is crowded.made[0]
    assert "has no successor: no process can be started: out of memory" in caplog.text


async def test_a_set_there_is_no_room_for_leaves_the_one_that_is_there() -> None:
    before, crowded = _worker(), _Crowded(room=1)
    assert await crowded.renewed(before) is before
    assert [one.is_given_up for one in crowded.made] == [True]
    assert not before.is_given_up


async def test_a_successor_that_starts_behind_the_end_is_given_up() -> None:
    dead, crowded = _worker(), _Crowded(room=1, is_stopped_meanwhile=True)
    assert await crowded.in_place_of(dead) is dead
    assert [one.is_given_up for one in crowded.made] == [True]


async def test_a_process_that_cannot_be_started_is_a_fault_of_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with socket.socket() as listener:
        made = Supervisor(Settings(workers=1, writer=False), listener)
        with pytest.raises(StartError, match="no process can be started"):
            await made.run(lambda: None)
