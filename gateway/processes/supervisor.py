"""Start workers, keep them running, replace them without failing a request.

One writer with what runs beside it (webhooks, eviction, the drift watch) in a process of its own,
since a machine needs them once; everything else is in each gateway process: its connection to
Redis, the catalog, the guard, the lag it looks at, the locks it ends. The embedded server, the
migration and the first key are the business of whoever starts the supervisor.

SIGHUP starts a whole new set, of the release that is installed then, and leaves the old one only
when all of it is ready; where one of it cannot start, the old set stays. SIGTERM and SIGINT stop
the gateways, then the writer, which so carries their last changes.

Failure. A worker that ends unasked is started again, after pauses that double up to
``PAUSE_SECONDS_MAX``, with one line each time; meanwhile the others take its connections. The
supervisor killed: its workers stop by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import msgspec

from gateway.config import Settings
from gateway.errors import StartError
from gateway.processes.channel import Channel, Counts, Leave, Order, Page, Ready, ToSupervisor
from gateway.processes.deadline import stop_seconds
from gateway.processes.first_key import make_first_key
from gateway.processes.ground import guarded
from gateway.processes.running import on_stop
from gateway.processes.tallies import Family, page_of, together
from gateway.wall import SystemClock
from persistence.catalog import SqlCatalog

log = logging.getLogger(__name__)

Role = Literal["gateway", "writer"]

READY_SECONDS = 60.0
"""Time a worker has to begin; loading Python and the catalog takes one or two."""

PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 10.0
WELL_SECONDS = 60.0
"""A worker that ran so long was well: the next pause is the shortest again."""


class Worker:
    """One process, from its start to its end."""

    def __init__(self, role: Role, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.role: Role = role
        self.process = process
        self.channel = channel
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.counts: list[Family] = []
        self.reason = ""
        self.began = asyncio.get_running_loop().time()

    def leave(self) -> None:
        """Ask it to finish, since another is in its place."""
        self.channel.tell(Leave())

    def give_up(self) -> None:
        """Have it end: it may serve already, or hang in its start."""
        if self.ready.done() and not self.ready.cancelled():
            self.leave()
        else:
            self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there still is somebody."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


class Supervisor:
    """All workers of one gateway."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        """Take settings with a Redis that runs, and the socket to serve on."""
        self._settings = msgspec.structs.replace(settings, writer=False)
        self._listener = listener
        self._roles: list[Role] = ["gateway"] * settings.workers
        if settings.writer:
            self._roles.append("writer")
        self._places: list[Worker | None] = [None] * len(self._roles)
        self._ends: dict[Worker, asyncio.Task[None]] = {}
        self._past: list[Family] = []
        self._pauses = [PAUSE_SECONDS] * len(self._roles)
        self._stopping = asyncio.Event()
        self._renewing = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until told to stop. Raises ``StartError`` when the first workers cannot start."""
        on_stop(self._stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._renewing.set)
        try:
            await self._fill()
            if not self._stopping.is_set():
                on_ready()
            while not self._stopping.is_set():
                await _first(self._stopping.wait(), self._renewing.wait())
                if self._renewing.is_set() and not self._stopping.is_set():
                    self._renewing.clear()
                    await self._renew()
        finally:
            self._stopping.set()
            await self._end("gateway")
            await self._end("writer")

    def _stop(self) -> None:
        if self._stopping.is_set():
            # Asked twice: somebody does not want to wait.
            for worker in self._ends:
                worker.send(signal.SIGKILL)
        self._stopping.set()

    async def _renew(self) -> None:
        before = list(self._places)
        try:
            await self._fill()
        except StartError as error:
            log.error("the workers stay, for new ones did not start: %s", error)  # noqa: TRY400 - its message says it all
            return
        if self._stopping.is_set():
            return
        leaving = [worker for worker in before if worker in self._ends]
        log.info("%d new workers serve, %d old ones finish", len(self._places), len(leaving))
        await self._see_off(leaving)

    async def _see_off(self, leaving: list[Worker]) -> None:
        """Wait for old workers, since another set meanwhile would be a third one, and kill those
        that do not end; whoever stops all of them has that care itself.
        """
        ends = [self._ends[one] for one in leaving if one in self._ends]
        if not ends:
            return
        await _first(asyncio.wait(ends, timeout=self._limit), self._stopping.wait())
        if not self._stopping.is_set():
            for worker in leaving:
                if worker in self._ends:
                    worker.send(signal.SIGKILL)

    @property
    def _limit(self) -> float:
        return stop_seconds(self._settings.drain_seconds)

    async def _fill(self) -> None:
        """Put a new worker into each place once all of them are ready; those there before leave.

        Raises ``StartError`` when one of them cannot start; then none of them stays.
        """
        started: list[Worker] = []
        try:
            for role in self._roles:
                started += [await self._start(role)]
            fault = await self._fault_of(started)
        except StartError as error:
            fault = error
        if fault is not None:
            for worker in started:
                worker.give_up()
            raise fault
        if self._stopping.is_set():
            return
        for place, worker in enumerate(started):
            before, self._places[place] = self._places[place], worker
            self._pauses[place] = PAUSE_SECONDS
            if before is not None:
                before.leave()

    async def _fault_of(self, started: list[Worker]) -> StartError | None:
        """Return why some workers do not get ready; None once all are, or nobody cares any more."""
        stopping = asyncio.create_task(self._stopping.wait())
        ready = asyncio.gather(*(worker.ready for worker in started))
        waiting: list[asyncio.Future[Any]] = [ready, stopping]
        await asyncio.wait(waiting, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        is_late = not ready.done() and not stopping.done()
        for each in waiting:
            each.cancel()
        faults = await asyncio.gather(*waiting, return_exceptions=True)
        if is_late:
            return StartError(f"a worker was not ready within {READY_SECONDS:g} seconds")
        return next((fault for fault in faults if isinstance(fault, StartError)), None)

    async def _start(self, role: Role) -> Worker:
        """Return a worker that begins. Raises ``StartError`` when there is no room for one."""
        serves = role == "gateway"
        listener = self._listener.fileno() if serves else None
        try:
            process, here = await _spawn([] if listener is None else [listener])
        except OSError as error:
            raise StartError(f"no process can be started: {error}") from error
        worker = Worker(role, process, await Channel.over(here, ToSupervisor))
        worker.channel.tell(Order(self._settings, listener))
        self._ends[worker] = asyncio.create_task(self._attend(worker))
        return worker

    async def _attend(self, worker: Worker) -> None:
        """Listen to a worker until it ends; then have another in its place, if it had one."""
        while (message := await worker.channel.hear()) is not None:
            if isinstance(message, Counts):
                worker.counts = message.families
                if message.asks_for_page:
                    worker.channel.tell(Page(page_of(self._counts())))
            elif isinstance(message, Ready):
                if not worker.ready.done():
                    worker.ready.set_result(None)
            else:
                worker.reason = message.reason
        code = await worker.process.wait()
        await worker.channel.close()
        self._past = together([self._past, [one for one in worker.counts if one.outlives]])
        if not worker.ready.done():
            worker.ready.set_exception(StartError(worker.reason or f"a worker ended with {code}"))
            # It may be nobody's concern any more.
            worker.ready.exception()
        del self._ends[worker]
        if worker in self._places and not self._stopping.is_set():
            await self._replace(worker, code)

    async def _replace(self, worker: Worker, code: int) -> None:
        place = self._places.index(worker)
        if asyncio.get_running_loop().time() - worker.began > WELL_SECONDS:
            self._pauses[place] = PAUSE_SECONDS
        told = f"ended with {code}{f' ({worker.reason})' if worker.reason else ''}"
        another: Worker | None = None
        while another is None:
            pause = self._pauses[place]
            self._pauses[place] = min(2 * pause, PAUSE_SECONDS_MAX)
            named = (worker.role, worker.process.pid)
            log.error("the %s in process %d %s; another starts in %.1f s", *named, told, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            # A new set may have come meanwhile.
            if self._places[place] is not worker or self._stopping.is_set():
                return
            try:
                another = await self._start(worker.role)
            except StartError as error:
                told = f"has no successor: {error}"
        if self._places[place] is worker and not self._stopping.is_set():
            self._places[place] = another
        else:
            another.give_up()

    def _counts(self) -> list[Family]:
        return together([self._past, *(worker.counts for worker in self._ends)])

    async def _end(self, role: Role) -> None:
        ending = {one: task for one, task in self._ends.items() if one.role == role}
        if not ending:
            return
        for worker in ending:
            worker.send(signal.SIGTERM)
        _, late = await asyncio.wait(ending.values(), timeout=self._limit)
        if late:
            for worker in ending:
                worker.send(signal.SIGKILL)
            await asyncio.wait(late)


async def supervise(
    settings: Settings, listener: socket.socket, greet: Callable[[str | None], None]
) -> None:
    """Serve through workers; ``greet`` is given the first key if one was made."""
    clock = SystemClock()
    async with guarded(settings, clock) as ground:
        made = await make_first_key(SqlCatalog(ground.database, clock), settings)
    await Supervisor(settings, listener).run(lambda: greet(made))


async def _spawn(inherited: list[int]) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Return a process that is to be a worker, and our end of the channel to it."""
    here, there = socket.socketpair()
    try:
        with there:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=there.fileno(),
                pass_fds=inherited,
                # Ctrl-C in the terminal is for the supervisor, which stops all in order.
                start_new_session=True,
            )
    except BaseException:
        here.close()
        raise
    return process, here


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when one of some waits has ended."""
    waiting = [asyncio.create_task(one) for one in waits]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _command() -> list[str]:
    """Return what starts a worker: the same code, whatever lies in the working folder."""
    # Started by ``python -m`` from a checkout, that folder is where the code is.
    here = sys.path[0] in {"", os.getcwd()}  # noqa: PTH109 - compared with what Python put there
    return [sys.executable, *([] if here else ["-P"]), "-m", "gateway.processes.worker"]


_COMMAND = _command()
